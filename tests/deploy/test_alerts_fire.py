"""Prometheus itself evaluates the rules: `tests/deploy/alerts.yaml` says what fires when."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.files import DEPLOY
from tests.deploy.test_alerts import RULES
from tests.servers import ROOT, CannotStartError, unpacked

TOLD: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "alerts.yaml").read_text())
CASES: list[dict[str, Any]] = TOLD["cases"]
UNPACKED = ROOT / ".venv" / "prometheus"
SEVERITY = {rule["alert"]: rule["labels"]["severity"] for rule in RULES}

pytestmark = pytest.mark.one_form


@pytest.fixture(scope="module")
def promtool() -> str:
    """Prometheus's own judge of rules: installed, else unpacked from Debian's package."""
    if found := shutil.which("promtool"):
        return found
    path = UNPACKED / "usr" / "bin" / "promtool"
    try:
        if not path.exists():
            unpacked(UNPACKED, "prometheus", advice="install promtool")
    except CannotStartError as error:
        pytest.skip(str(error))
    return str(path)


def runs(*command: str | Path) -> tuple[int, str]:
    """A program's exit code and everything it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    return done.returncode, done.stdout + done.stderr


def alert(told: str) -> str:
    """`Name{a="b"}` as the series that Prometheus keeps of a firing alert."""
    name, _, labels = told.partition("{")
    told = labels.rstrip("}") and f", {labels.rstrip('}')}"
    return f'ALERTS{{alertname="{name}", alertstate="firing", severity="{SEVERITY[name]}"{told}}}'


def as_promtool_reads(case: dict[str, Any]) -> dict[str, Any]:
    """A case in promtool's own form: at each moment, all that fires."""
    series = TOLD["well"] | case.get("series", {})
    gone = tuple(case.get("without", ()))
    kept = {name: values for name, values in series.items() if not (gone and name.startswith(gone))}
    moments = [
        {
            "expr": 'ALERTS{alertstate="firing"}',
            "eval_time": moment,
            "exp_samples": [{"labels": alert(told), "value": 1} for told in fires],
        }
        for moment, fires in case["fires"].items()
    ]
    return {
        "rule_files": [str(DEPLOY / "alerts.yaml")],
        "evaluation_interval": "30s",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": name, "values": values} for name, values in kept.items()
                ],
                "promql_expr_test": moments,
            }
        ],
    }


def test_prometheus_takes_the_rules(promtool: str) -> None:
    code, said = runs(promtool, "check", "rules", DEPLOY / "alerts.yaml")

    assert code == 0, said
    assert f"{len(RULES)} rules found" in said


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_what_fires(promtool: str, case: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "case.yaml").write_text(json.dumps(as_promtool_reads(case)))

    code, said = runs(promtool, "test", "rules", tmp_path / "case.yaml")

    assert code == 0, said


def test_every_alert_fires_in_some_case() -> None:
    fired = {
        re.split("{", told)[0]
        for case in CASES
        for fires in case["fires"].values()
        for told in fires
    }

    assert fired == set(SEVERITY)
