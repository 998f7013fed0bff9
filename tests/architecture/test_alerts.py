"""An alert on a measure that nobody takes would never ring."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
SUFFIXES = re.compile(r"_(total|count|sum|bucket)$")


def expressions() -> list[str]:
    rules: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "alerts.yml").read_text())
    return [rule["expr"] for group in rules["groups"] for rule in group["rules"]]


def test_every_measure_that_an_alert_looks_at_is_taken() -> None:
    source = "".join(
        path.read_text() for folder in ("api", "workers") for path in (ROOT / folder).rglob("*.py")
    )
    named = {name for expression in expressions() for name in re.findall(r"tradelog_\w+", expression)}
    assert len(named) >= 7
    assert [name for name in sorted(named) if f'"{SUFFIXES.sub("", name)}"' not in source] == []


def test_prometheus_reads_them() -> None:
    configured: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "prometheus.yml").read_text())
    assert configured["rule_files"] == ["/etc/prometheus/alerts.yml"]
    mounts = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["prometheus"]["volumes"]
    assert "./deploy/alerts.yml:/etc/prometheus/alerts.yml:ro" in mounts
