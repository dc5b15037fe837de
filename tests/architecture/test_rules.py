"""The project keeps its own rules, and each rule notices when it is broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture import code, shape
from tests.architecture.tree import Project, Rule

RULES = [*shape.RULES, *code.RULES]
THIS = Project(Path(__file__).parents[2])


def words(rule: Rule) -> str:
    return rule.sentence.replace(" ", "-")


@pytest.mark.parametrize("rule", RULES, ids=words)
def test_the_project_keeps_its_rule(rule: Rule) -> None:
    offences = sorted(rule.offences(THIS))

    assert not offences, f"{rule.sentence}:\n" + "\n".join(offences)


@pytest.mark.parametrize("rule", RULES, ids=words)
def test_a_broken_rule_is_noticed(rule: Rule, tmp_path: Path) -> None:
    for name, text in rule.planted.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    assert list(rule.offences(Project(tmp_path)))


def test_every_rule_looks_at_something() -> None:
    assert {file.top for file in THIS.code} >= {"contracts", "apis", "system_apis"}
    assert THIS.vendors()
