"""Every rule lets a good document be, and names the place of a bad one: rows of data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from apis.console.contract_checks import Exemption, exempted, faults, shape
from contracts import lint_events, lint_rules
from contracts.changes import Document
from contracts.events import CATALOG
from contracts.lint import Around, Finding, Look, findings
from contracts.schemas import text_of

DATA = yaml.safe_load((Path(__file__).parent / "lint_cases.yaml").read_text("utf-8"))
AROUND = Around(
    vendors=("salesforce", "netsuite"),
    own={"ProjectMatch": {"type": "object", "title": "ProjectMatch"}},
    faults=faults,
    shape=shape,
)


def patched(document: Any, patch: Any) -> Any:
    """A merge patch (RFC 7386) on a copy."""
    if not isinstance(patch, dict):
        return patch
    made = deepcopy(document) if isinstance(document, dict) else {}
    for name, value in patch.items():
        if value is None:
            made.pop(name, None)
        else:
            made[name] = patched(made.get(name), value)
    return made


def told(patch: Document) -> list[Finding]:
    document = patched(DATA["keeps"], patch)
    return list(findings(Look(DATA["document"], document, AROUND), lint_rules.RULES))


def named(case: dict[str, Any]) -> str:
    return f"{case['rule']} {case['at']}"


def test_the_document_keeps_every_rule():
    assert told({}) == []


@pytest.mark.parametrize("case", DATA["rules"], ids=named)
def test_a_document_that_keeps_the_rule_is_let_be(case):
    looked_at = {case["rule"], "spec-valid"}  # no other rule looks at a document that is none
    assert [each for each in told(case["keeps"]) if each.rule in looked_at] == []


@pytest.mark.parametrize("case", DATA["rules"], ids=named)
def test_a_document_that_breaks_the_rule_is_named_with_its_place_and_a_remedy(case):
    found = [each for each in told(case["breaks"]) if each.rule == case["rule"]]

    assert case["at"] in [each.pointer for each in found]
    assert all(each.remedy and each.says for each in found)


def test_every_rule_has_a_document_that_keeps_it_and_one_that_breaks_it():
    assert {case["rule"] for case in DATA["rules"]} == {rule.id for rule in lint_rules.RULES}


# Events ---------------------------------------------------------------------------------------


def schema() -> Document:
    made: Document = json.loads(text_of(CATALOG["deal.won"].payload))
    return made


def of_event(name: str, document: Document) -> set[tuple[str, str]]:
    found = findings(Look(name, document, AROUND), lint_events.RULES)
    return {(each.rule, each.pointer) for each in found}


def changed(part: str, **fields: Any) -> Document:
    made = schema()
    made["$defs"][part]["properties"].update(fields)
    return made


def bad_events() -> Iterator[tuple[str, str, Document, str]]:
    broken = "/$defs/DealWon/properties"
    yield "event-registered", "deal.imagined", schema(), ""
    missing = schema()
    del missing["$defs"]["Deal"]["properties"]["external_id"]
    yield "event-key", "deal.won", missing, "/$defs/Deal"
    yield "event-sensitive", "deal.won", changed("DealWon", iban={"type": "null"}), f"{broken}/iban"
    hidden = changed("DealWon", margin={"type": "null", "x-visible-to": ["finance"]})
    yield "event-sensitive", "deal.won", hidden, f"{broken}/margin"
    yield "field-names", "deal.won", changed("DealWon", isNew={}), f"{broken}/isNew"
    yield "string-bounds", "deal.won", changed("DealWon", memo={"type": "string"}), f"{broken}/memo"
    yield "number-format", "deal.won", changed("DealWon", n={"type": "integer"}), f"{broken}/n"


@pytest.mark.parametrize(("rule", "name", "document", "at"), list(bad_events()))
def test_an_event_that_breaks_a_rule_is_named_with_its_place(rule, name, document, at):
    assert (rule, at) in of_event(name, document)


def test_a_good_event_is_let_be():
    assert of_event("deal.won", schema()) == set()


# What is let be -------------------------------------------------------------------------------


def finding(**changed: str) -> Finding:
    made = {"rule": "dry-run", "document": "system/crm/v1", "pointer": "/paths/~1deals/put"}
    return Finding(**{**made, "says": "-", "remedy": "-", **changed})


def test_an_exemption_lets_be_what_it_names_and_nothing_else(tmp_path: Path):
    file = tmp_path / "exemptions.yaml"
    row = {"rule": "dry-run", "document": "system/*", "at": "*", "reason": "asked in the context"}
    file.write_text(yaml.safe_dump([row]))
    other = finding(document="process/deals/v1")

    assert exempted([finding(), other], file) == [other]


def test_an_exemption_that_lets_nothing_be_is_a_finding(tmp_path: Path):
    file = tmp_path / "exemptions.yaml"
    row = {"rule": "dry-run", "document": "system/*", "at": "*", "reason": "asked in the context"}
    file.write_text(yaml.safe_dump([row]))

    assert [each.rule for each in exempted([], file)] == ["exemption-unused"]


def test_an_operation_is_named_by_its_id_too():
    row = Exemption(rule="dry-run", document="*", at="*Deal", reason="as it must be")
    assert row.covers(finding(operation="markDeal"))
    assert not row.covers(finding(operation="listDeals"))
