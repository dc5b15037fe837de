"""Published schemas are promises: never edited, and kept by the code of today."""

import json
import shutil
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from contracts.canonical.billing import Invoice
from contracts.canonical.deal import Deal
from contracts.canonical.party import Customer
from contracts.schema_changes import schema_changes
from contracts.schemas import (
    MANIFEST,
    PUBLISHED,
    breaking,
    contracts,
    digest,
    manifest_of,
    publish,
    schema,
    text_of,
)
from contracts.versions import CONVERTERS, current


def versions_of(name: str) -> list[str]:
    found = (file.stem for file in (PUBLISHED / name).glob("*.json"))
    return sorted(found, key=lambda version: [int(part) for part in version.split(".")])


def published(name: str, version: str) -> dict[str, Any]:
    return json.loads((PUBLISHED / name / f"{version}.json").read_text("utf-8"))


@pytest.mark.parametrize("name", sorted(contracts()))
def test_what_is_published_is_what_the_code_says(name):
    place = PUBLISHED / name / f"{current(name)}.json"
    assert place.read_text("utf-8") == text_of(contracts()[name]), (
        f"{name} changed: give it its next version, or, while it is unreleased, "
        "run `python -m contracts.schemas --draft`"
    )


def test_no_published_file_was_edited_added_or_lost():
    files = [file for name in contracts() for file in (PUBLISHED / name).glob("*.json")]
    found = {
        file.relative_to(PUBLISHED).as_posix(): digest(file.read_text("utf-8")) for file in files
    }
    assert found == manifest_of(PUBLISHED)


@pytest.mark.parametrize("name", sorted(contracts()))
def test_the_next_minor_version_breaks_nobody_and_converts_both_ways(name):
    for older, newer in pairwise(versions_of(name)):
        assert (name, older, newer) in CONVERTERS
        assert (name, newer, older) in CONVERTERS
        if older.split(".")[0] == newer.split(".")[0]:
            found = schema_changes(published(name, older), published(name, newer), name=name)
            assert [each for each in found if each.level == "error"] == []
    assert breaking(PUBLISHED, name) == []


@pytest.mark.parametrize("name", sorted(contracts()))
def test_a_published_schema_is_a_valid_schema(name):
    jsonschema.Draft202012Validator.check_schema(published(name, current(name)))


def test_the_schema_accepts_what_the_code_sends():
    told = msgspec.json.decode(msgspec.json.encode(Deal(state="won", name="Rollout")))
    jsonschema.validate(told, published("deal", current("deal")))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(told | {"state": "closed"}, published("deal", current("deal")))


def test_the_schema_says_who_may_see_a_field():
    fields = schema(Customer)["$defs"]["Customer"]["properties"]
    assert fields["bank_accounts"]["x-visible-to"] == ["finance"]


# Publishing -----------------------------------------------------------------------------------


def test_publishing_twice_writes_once(tmp_path: Path):
    assert len(publish(tmp_path)) == len(contracts()) + 1  # and the AsyncAPI document
    assert publish(tmp_path) == []


def test_a_released_schema_only_gets_other_words(tmp_path: Path):
    publish(tmp_path)
    (tmp_path / "released/invoice").mkdir(parents=True)
    shutil.copy(tmp_path / MANIFEST, tmp_path / "released")

    def released(change) -> None:
        told = schema(Invoice)
        change(told["$defs"]["Invoice"])
        for folder in (tmp_path, tmp_path / "released"):
            (folder / "invoice/1.0.json").write_text(json.dumps(told))
        manifest = manifest_of(tmp_path) | {"invoice/1.0.json": digest(json.dumps(told))}
        (tmp_path / MANIFEST).write_text(json.dumps(manifest))

    released(lambda it: it.update(description="What they owe us."))
    assert publish(tmp_path, draft=True) == ["invoice/1.0.json"]
    released(lambda it: it["properties"].update(memo={"type": "string"}))
    with pytest.raises(ValueError, match=r"invoice/1\.0\.json was released"):
        publish(tmp_path, draft=True)


def test_what_is_registered_no_more_goes_only_if_it_was_never_released(tmp_path: Path):
    publish(tmp_path)
    (tmp_path / "deal.paid").mkdir()
    (tmp_path / "deal.paid/1.0.json").write_text("{}")
    manifest = json.dumps(manifest_of(tmp_path) | {"deal.paid/1.0.json": digest("{}")})
    (tmp_path / MANIFEST).write_text(manifest)
    with pytest.raises(ValueError, match=r"deal\.paid/1\.0\.json was promised"):
        publish(tmp_path)

    assert publish(tmp_path, draft=True) == ["deal.paid/1.0.json"]

    (tmp_path / MANIFEST).write_text(manifest)
    (tmp_path / "released").mkdir()
    (tmp_path / "released" / MANIFEST).write_text(manifest)
    with pytest.raises(ValueError, match=r"deal\.paid/1\.0\.json was promised"):
        publish(tmp_path, draft=True)


def test_a_published_schema_is_not_written_over(tmp_path: Path):
    publish(tmp_path)
    manifest = manifest_of(tmp_path) | {"invoice/1.0.json": "another sum"}
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"invoice/1\.0\.json is published"):
        publish(tmp_path)
    assert publish(tmp_path, draft=True) == ["invoice/1.0.json"]


# What breaks a client -------------------------------------------------------------------------


def changed(change) -> list[str]:
    old = schema(Invoice)
    new = deepcopy(old)
    change(new["$defs"]["Invoice"])
    found = schema_changes(old, new, name="invoice")
    return [f"{each.place}: {each.rule}" for each in found if each.level == "error"]


def test_a_new_optional_field_breaks_nobody():
    assert changed(lambda it: it["properties"].update(memo={"type": "string"})) == []


def test_a_better_description_breaks_nobody():
    assert changed(lambda it: it["properties"]["net"].update(description="without tax")) == []


def test_a_new_value_of_a_list_breaks_nobody():
    assert changed(lambda it: it["properties"]["state"]["enum"].append("archived")) == []


def test_a_field_that_may_now_be_empty_breaks_nobody():
    def relax(it):
        it["properties"]["net"] = {"anyOf": [it["properties"]["net"], {"type": "null"}]}

    assert changed(relax) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda it: it["properties"].pop("number"), "/number: request-property-removed"),
        (lambda it: it["required"].append("number"), "/number: request-property-became-required"),
        (
            lambda it: it["properties"]["state"]["enum"].remove("void"),
            "/state: request-property-enum-value-removed",
        ),
        (
            lambda it: it["properties"].update(number={"type": "string"}),
            "/number: request-property-became-not-nullable",
        ),
        (
            lambda it: it["properties"]["lines"].update(items={"type": "string"}),
            "/lines/*: request-property-type-changed",
        ),
        (
            lambda it: it["properties"]["currency"].update(maxLength=3),
            "/currency: request-property-max-length-set",
        ),
    ],
)
def test_what_a_client_would_trip_over_is_named(change, told):
    assert changed(change) == [told]


def test_a_part_that_nothing_refers_to_may_go():
    old = schema(Invoice)
    assert schema_changes({**old, "$defs": {**old["$defs"], "Gone": {}}}, old, name="it") == []


def test_a_version_that_breaks_those_who_hold_to_the_last_is_not_published(tmp_path: Path):
    before = published("deal", "1.0")
    before["$defs"]["Deal"]["properties"]["territory"] = {"type": "string"}
    (tmp_path / "deal").mkdir()
    (tmp_path / "deal/1.0.json").write_text(json.dumps(before))

    with pytest.raises(ValueError, match=r"deal/1\.1\.json breaks .*: /territory was removed"):
        publish(tmp_path)
    assert not (tmp_path / "deal/1.1.json").exists()
