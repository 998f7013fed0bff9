"""The import contracts hold, and each of them can fail: one that cannot be broken protects nothing."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
LAYERS: Final = "Imports point downwards, and siblings do not know each other"
PURE_DOMAIN: Final = "The domain imports the standard library and msgspec"
ADAPTERS: Final = "Only the wiring names concrete adapters"
CONTEXTS: Final = "A domain context knows another one's events and nothing else of it"
CONTRACTS: Final = {LAYERS, PURE_DOMAIN, ADAPTERS, CONTEXTS}


def broken_contracts(tree: Path) -> set[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    linted = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    verdicts = dict(re.findall(r"^(.+?) (KEPT|BROKEN)\b", linted.stdout, flags=re.MULTILINE))
    assert verdicts.keys() == CONTRACTS, linted.stdout + linted.stderr
    broken = {name for name, verdict in verdicts.items() if verdict == "BROKEN"}
    assert linted.returncode == (1 if broken else 0)
    return broken


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The tree as the linter sees it, free to be broken."""
    ignore = shutil.ignore_patterns("__pycache__", "*.json")
    for package in ("domain", "application", "projections", "api", "workers", "tests/architecture"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignore)
    for file in ("pyproject.toml", "tests/__init__.py"):
        shutil.copy(ROOT / file, tmp_path / file)
    return tmp_path


def test_the_tree_keeps_every_contract() -> None:
    assert broken_contracts(ROOT) == set()


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("api/broken.py", "import workers.relay", LAYERS),
        ("workers/broken.py", "import api.wire", LAYERS),
        ("application/broken.py", "import projections.ports", LAYERS),
        ("projections/broken.py", "import application.ports", LAYERS),
        ("domain/broken.py", "import application.errors", LAYERS),
        ("domain/broken.py", "import httpx", PURE_DOMAIN),
        ("domain/broken.py", "import time", PURE_DOMAIN),
        ("api/broken.py", "import application.adapters.clock", ADAPTERS),
        ("application/broken.py", "import application.adapters.clock", ADAPTERS),
        ("projections/broken.py", "import projections.adapters.positions", ADAPTERS),
        ("domain/carts/broken.py", "import domain.orders.order", CONTEXTS),
    ],
)
def test_one_wrong_import_breaks_its_contract_and_no_other(
    copy: Path, module: str, line: str, contract: str
) -> None:
    (copy / module).write_text(f'"""Breaks a contract."""\n\n{line}\n')
    assert broken_contracts(copy) == {contract}
