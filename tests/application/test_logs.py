import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from application.adapters.logs import MASK, configure


@pytest.fixture
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.usefixtures("_restored")
class TestLogLines:
    def test_hold_no_secrets_and_nothing_personal_at_any_depth(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        configure()
        structlog.get_logger().info(
            "told",
            password="p",
            refresh_token="t",
            email="e",
            order={"phone": "1", "lines": [{"zipCode": "2", "n": 3}]},
        )
        line = json.loads(capsys.readouterr().out)
        assert line.items() >= {
            "event": "told", "level": "info", "password": MASK, "refresh_token": MASK, "email": MASK,
            "order": {"phone": MASK, "lines": [{"zipCode": MASK, "n": 3}]},
        }.items()  # fmt: skip

    def test_of_libraries_look_like_ours(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure("warning")
        logging.getLogger("library").warning("%s is odd", "it")
        logging.getLogger("library").info("unheard")
        structlog.get_logger().info("unheard")
        line = json.loads(capsys.readouterr().out)
        assert (line["event"], line["level"], line["logger"]) == ("it is odd", "warning", "library")
