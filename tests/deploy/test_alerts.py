"""Every alert stands on a metric that exists, and has a page that says what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from apis.cli import main
from tests.deploy.files import DEPLOY
from tests.servers import ROOT

RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((DEPLOY / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
METRIC = re.compile(r"\bthroughline_[a-z_]+\b")
MADE = set(METRIC.findall((ROOT / "apis/runtime/metrics.py").read_text()))
SUFFIX = re.compile(r"_(total|count|bucket|sum)$")
COMMAND = re.compile(r"`throughline ([a-z][a-z -]*)")
PAGES = sorted((ROOT / "docs/runbooks").glob("*.md"))
PARTS = [
    "## What it means",
    "## How to see it",
    "## What to do",
    "## How to know it is over",
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_has_a_runbook_and_a_metric_that_exists(rule: Any) -> None:
    page = ROOT / rule["annotations"]["runbook"]

    assert page.read_text().startswith(f"# {rule['alert']}\n")
    named = {SUFFIX.sub("", name) for name in METRIC.findall(rule["expr"])}
    assert named
    assert named <= MADE
    assert rule["labels"]["severity"] in {"page", "ticket"}


def test_every_runbook_belongs_to_an_alert() -> None:
    assert {ROOT / rule["annotations"]["runbook"] for rule in RULES} == set(PAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_runbook_says_what_to_do_with_commands_and_metrics_that_exist(page: Path) -> None:
    text = page.read_text()

    assert re.findall(r"^## .*$", text, re.MULTILINE) == PARTS
    for words in COMMAND.findall(text):
        command: click.Command = main
        for word in words.split():
            if not isinstance(command, click.Group) or word.startswith("-"):
                break
            command = command.commands[word]
    assert {SUFFIX.sub("", name) for name in METRIC.findall(text)} <= MADE
