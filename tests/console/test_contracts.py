"""A change that breaks callers is refused, approved by its fingerprint, and then let be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from contracts.schemas import digest
from tests.forked import says
from tests.servers import ROOT

DELIVERY, SPOKEN = "experience/delivery/v1", "experience/delivery/v2"


class Place(NamedTuple):
    """A folder with what is published, as a project has it."""

    home: Path

    @property
    def document(self) -> Path:
        return self.home / f"contracts/published/openapi/{DELIVERY}.json"

    @property
    def env(self) -> dict[str, str]:
        """The environment of somebody who has set nothing."""
        env = {
            name: value for name, value in os.environ.items() if not name.startswith("THROUGHLINE")
        }
        return {**env, "THROUGHLINE_HOME": str(self.home / "var"), "PYTHONPATH": str(ROOT)}

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command of `throughline contracts`."""
        done = says(["contracts", *command], self.env, self.home)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def drafts(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Documents are made from the routes here."""
        done = subprocess.run(
            [sys.executable, "-m", "apis.runtime.openapi", *options],
            env=self.env, cwd=self.home, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def edits(self, change: Any, file: str = f"openapi/{DELIVERY}.json") -> str:
        """Change a published file by hand, as somebody's commit would; its sum from now on."""
        path = self.home / "contracts/published" / file
        document = json.loads(path.read_bytes())
        change(document)
        path.write_text(text := json.dumps(document, indent=2, sort_keys=True) + "\n")
        return digest(text)

    def remembers(self, manifest: str, **sums: str) -> None:
        """Write sums into a manifest, as who knows of it would."""
        self.edits(lambda told: told.update(sums), manifest)

    def findings(self) -> set[tuple[str, str, str]]:
        """What `check` finds: rule, document and place."""
        found = json.loads(self.run("check", "--json").stdout)
        return {
            (each["rule"], each["document"], each["pointer"])
            for each in (*found["findings"], *found["refused"])
        }

    def refused(self) -> list[str]:
        """The fingerprints of what breaks callers, approved or not."""
        found = json.loads(self.run("diff", "--json").stdout)
        return [each["fingerprint"] for each in found["changes"] if each["level"] == "error"]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    shutil.copytree(ROOT / "contracts/published", tmp_path / "contracts/published")
    shutil.copy(ROOT / "contracts/exemptions.yaml", tmp_path / "contracts")
    shutil.copy(ROOT / "gateway.yaml", tmp_path)
    shutil.rmtree(tmp_path / "contracts/published/released", ignore_errors=True)
    place = Place(tmp_path)
    done = place.run("release")
    assert done.returncode == 0, done.stderr
    assert DELIVERY in done.stdout.splitlines()
    return place


def without_state(document: dict[str, Any]) -> None:
    parameters = document["paths"]["/projects"]["get"]["parameters"]
    parameters[:] = [each for each in parameters if each["name"] != "state"]


def without_health(document: dict[str, Any]) -> None:
    del document["paths"]["/projects/{id}/health"]


def test_a_breaking_change_is_refused_then_approved_by_its_fingerprint_and_nothing_else_is(
    place: Place,
) -> None:
    place.edits(without_state)
    done = place.run("diff", DELIVERY)
    assert done.returncode == 1
    assert "request-parameter-removed" in done.stdout
    [fingerprint] = place.refused()
    assert f"refused {fingerprint}" in done.stdout

    approved = place.run("approve", fingerprint, "--reason", "nobody asked for it", "--by", "ann")
    assert approved.returncode == 0, approved.stderr
    [kept] = json.loads((place.home / "contracts/published/approvals.json").read_bytes())
    assert (kept["fingerprint"], kept["by"], kept["reason"]) == (
        fingerprint, "ann", "nobody asked for it",
    )  # fmt: skip
    assert (kept["consumers"], kept["days"]) == ([], 0)
    assert "who used it is not known here" in approved.stdout
    assert place.run("diff", DELIVERY).returncode == 0

    place.edits(without_health)
    done = place.run("diff", DELIVERY)
    assert done.returncode == 1
    assert "api-path-removed-without-deprecation" in done.stdout
    assert f"refused {fingerprint}" not in done.stdout


def test_an_approval_whose_change_is_gone_is_stale(place: Place) -> None:
    before = place.document.read_text()
    place.edits(without_state)
    [fingerprint] = place.refused()
    place.run("approve", fingerprint, "--reason", "nobody asked for it")

    place.document.write_text(before)
    done = place.run("check")

    assert done.returncode == 1
    assert f"the approval {fingerprint} of {DELIVERY} is stale" in done.stderr


def test_a_release_takes_what_was_approved_and_refuses_what_was_not(place: Place) -> None:
    place.edits(without_state)
    refused = place.run("release")
    assert refused.returncode == 2
    [fingerprint] = place.refused()
    assert fingerprint in refused.stderr

    place.run("approve", fingerprint, "--reason", "nobody asked for it")
    assert place.run("release", DELIVERY).returncode == 0

    assert place.refused() == []
    assert json.loads((place.home / "contracts/published/approvals.json").read_bytes()) == []


def test_a_version_that_is_no_longer_published_is_a_change(place: Place) -> None:
    place.document.unlink()

    done = place.run("diff")

    assert done.returncode == 1
    assert "api-version-removed-before-sunset" in done.stdout


def test_what_was_released_is_never_edited(place: Place) -> None:
    released = place.home / f"contracts/published/released/{DELIVERY}.json"
    released.write_text(released.read_text().replace("Delivery", "Deliveries"))

    done = place.run("diff")

    assert done.returncode == 2
    assert "released documents are never edited" in done.stderr


def test_what_is_published_is_what_the_routes_say_and_keeps_the_rules(place: Place) -> None:
    assert place.run("check").returncode == 0, place.run("check").stderr

    def unowned(document: dict[str, Any]) -> None:
        document["info"]["x-owner"] = ""

    place.edits(unowned)
    done = place.run("check", "--json")

    assert done.returncode == 1
    found = {(each["rule"], each["pointer"]) for each in json.loads(done.stdout)["findings"]}
    assert found == {("generated", "/info/x-owner"), ("info-complete", "/info/x-owner")}


@pytest.mark.parametrize(
    ("was", "now"),
    [
        pytest.param("\n", "\r\n", id="other ends of lines"),
        pytest.param('"required": true', '"required": 1', id="a number for true"),
    ],
)
def test_what_is_published_is_what_the_routes_say_to_the_byte(
    place: Place, was: str, now: str
) -> None:
    text = place.document.read_bytes()
    place.document.write_bytes(text.replace(was.encode(), now.encode()))

    assert place.document.read_bytes() != text
    assert ("generated", DELIVERY, "") in place.findings()


def test_two_files_are_compared(place: Place) -> None:
    old = place.home / "old.json"
    shutil.copy(place.document, old)
    place.edits(without_health)

    assert place.run("diff", str(old), str(old)).returncode == 0
    assert place.run("diff", str(old), str(place.document)).returncode == 1
    done = place.run("diff", str(old), str(place.home / "nowhere.json"))
    assert done.returncode == 2
    assert "No such file" in done.stderr


API = {"openapi": "3.1.0", "info": {"title": "an API", "version": "1"}, "paths": {}}


@pytest.mark.parametrize(
    ("old", "told", "where"),
    [
        ({"type": "object"}, {"type": "object", "required": [["a"]]}, "new.json#/required/0: "),
        ({"type": "object"}, {"type": [["string"]]}, "new.json#/type: "),
        (API, API | {"webhooks": []}, "new.json#: "),
    ],
)
def test_a_file_that_is_no_contract_is_told_where(
    place: Place, old: dict[str, object], told: dict[str, object], where: str
) -> None:
    was, now = place.home / "old.json", place.home / "new.json"
    was.write_text(json.dumps(old))
    now.write_text(json.dumps(told))

    done = place.run("diff", str(was), str(now))

    assert done.returncode == 2
    assert where in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("diff", "experience/nosuch/v1"), "there is no experience/nosuch/v1"),
        (("approve", "0123456789ab", "--reason", "x"), "no breaking change has the fingerprint"),
        (("release", "experience/nosuch/v1"), "there is no experience/nosuch/v1"),
        (("consumers", "--api", "delivery/v1"), "gateway.yaml has no delivery/v1"),
        (("can-retire", DELIVERY), "no gateway has made its tables"),
        (("consumers", "--days", "91"), "uses are kept for 90 days"),
        (("approve", "0123456789ab", "--reason", " "), "Invalid value for '--reason'"),
        (("approve", "0123456789ab", "--reason", "x", "--by", ""), "Invalid value for '--by'"),
        (("consent", "demo", DELIVERY, "--reason", "x", "--by", " "), "Invalid value for '--by'"),
    ],
)
def test_what_cannot_be_done_is_said(place: Place, command: tuple[str, ...], told: str) -> None:
    done = place.run(*command)

    assert done.returncode == 2
    assert told in done.stderr


# What binds -----------------------------------------------------------------------------------


def test_this_project_breaks_none_of_its_promises(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "contracts/published", tmp_path / "contracts/published")
    shutil.copy(ROOT / "contracts/exemptions.yaml", tmp_path / "contracts")
    shutil.copy(ROOT / "gateway.yaml", tmp_path)

    done = Place(tmp_path).run("check")

    assert done.returncode == 0, done.stderr


def test_a_version_that_is_served_and_was_never_released_is_found(place: Place) -> None:
    shutil.rmtree(place.home / "contracts/published/released")
    place.run("release", DELIVERY)

    found = {document for rule, document, _ in place.findings() if rule == "released"}

    assert {SPOKEN, "process/connections/v1", "system/kantata/v1"} <= found
    assert DELIVERY not in found
    assert f"{SPOKEN} was never released" in place.run("diff").stdout


def test_what_is_taken_from_the_current_version_is_refused_and_said_when_it_is_drafted(
    place: Place,
) -> None:
    def once_more(document: dict[str, Any]) -> None:
        summary = document["components"]["schemas"]["ProjectSummary"]
        summary["properties"]["rank"] = {"type": "string", "maxLength": 9}
        summary["required"].append("rank")

    published = f"openapi/{SPOKEN}.json"
    place.edits(once_more, published)
    assert place.run("release", SPOKEN).returncode == 0  # a release that had more than the code

    undrafted = place.drafts()
    drafted = place.drafts("--draft")
    done = place.run("diff")

    assert undrafted.returncode == 1
    assert "is published: make another version of it" in undrafted.stderr
    assert drafted.stdout.splitlines() == [SPOKEN]
    assert "rank was removed" in drafted.stderr
    assert done.returncode == 1
    assert "response-required-property-removed" in done.stdout


def test_what_may_be_added_is_drafted_without_a_word(place: Place) -> None:
    def less(document: dict[str, Any]) -> None:
        del document["components"]["schemas"]["ProjectSummary"]["properties"]["number"]

    place.edits(less, f"openapi/{SPOKEN}.json")
    assert place.run("release", SPOKEN).returncode == 0, place.run("release", SPOKEN).stderr

    drafted = place.drafts("--draft")

    assert (drafted.stdout, drafted.stderr) == (f"{SPOKEN}\n", "")
    assert place.run("check").returncode == 0


def test_an_older_major_is_held_against_its_release_and_may_only_be_marked(place: Place) -> None:
    def marked(document: dict[str, Any]) -> None:
        operation = document["paths"]["/projects/{id}/health"]["get"]
        operation |= {"deprecated": True, "x-since": "2026-11-22", "x-sunset": "2099-06-30"}

    def bogus(document: dict[str, Any]) -> None:
        more = {"name": "bogus", "in": "query", "schema": {"type": "string", "maxLength": 9}}
        document["paths"]["/projects"]["get"]["parameters"].append(more)
        summary = document["components"]["schemas"]["ProjectSummary"]
        summary["properties"]["bogus"] = {"type": "string", "maxLength": 9}
        summary["required"].append("bogus")

    place.edits(marked)
    assert not {rule for rule, _, _ in place.findings()} & {"generated"}
    place.edits(bogus)

    where = "/components/schemas/ProjectSummary/properties/bogus"
    assert ("generated", DELIVERY, where) in place.findings()


def test_an_older_schema_is_not_made_to_fit(place: Place) -> None:
    def narrower(schema: dict[str, Any]) -> None:
        del schema["$defs"]["Deal"]["properties"]["name"]

    summed = place.edits(narrower, "deal/1.0.json")
    assert ("generated", "deal/1.0", "") in place.findings()

    place.remembers("manifest.json", **{"deal/1.0.json": summed})
    where = "/$defs/Deal/properties/name"
    assert ("schema-changed", "deal/1.0", where) in place.findings()


def test_an_event_of_a_released_version_says_what_it_said(place: Place) -> None:
    def before(schema: dict[str, Any]) -> None:
        schema["$defs"]["DealLost"]["properties"]["price"] = {"type": "string"}

    summed = place.edits(before, "released/deal.lost/1.0.json")
    place.remembers("released/manifest.json", **{"deal.lost/1.0.json": summed})

    where = "/$defs/DealLost/properties/price"
    assert ("schema-changed", "deal.lost/1.0", where) in place.findings()


def test_an_event_type_that_is_registered_no_more_is_found(place: Place) -> None:
    published = place.home / "contracts/published"
    for folder in (published, published / "released"):
        (folder / "deal.paid").mkdir()
        shutil.copy(published / "deal.lost/1.0.json", folder / "deal.paid")
        summed = digest((folder / "deal.paid/1.0.json").read_text())
        place.remembers(f"{folder.relative_to(published)}/manifest.json", **{
            "deal.paid/1.0.json": summed
        })  # fmt: skip

    found = place.findings()

    assert {("generated", "deal.paid/1.0", ""), ("schema-removed", "deal.paid/1.0", "")} <= found
    assert "nothing is registered" not in place.run("diff", SPOKEN).stdout


def test_a_baseline_that_is_taken_out_of_the_manifest_is_no_baseline(place: Place) -> None:
    place.edits(lambda told: told.pop(f"{DELIVERY}.json"), "released/manifest.json")

    done = place.run("diff")

    assert done.returncode == 2
    assert "released documents are never edited" in done.stderr
