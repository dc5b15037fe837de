"""A change that breaks callers is refused, approved by its fingerprint, and then let be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.forked import says
from tests.servers import ROOT

DELIVERY = "experience/delivery/v1"


class Place(NamedTuple):
    """A folder with what is published, as a project has it."""

    home: Path

    @property
    def document(self) -> Path:
        return self.home / f"contracts/published/openapi/{DELIVERY}.json"

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command of `throughline contracts`."""
        env = {
            name: value for name, value in os.environ.items() if not name.startswith("THROUGHLINE")
        }
        env["THROUGHLINE_HOME"] = str(self.home / "var")
        done = says(["contracts", *command], env, self.home)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def edits(self, change: Any) -> None:
        """Change the published document by hand, as somebody's commit would."""
        document = json.loads(self.document.read_bytes())
        change(document)
        self.document.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")

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
    assert kept["consumers"] == []
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


def test_two_files_are_compared(place: Place) -> None:
    old = place.home / "old.json"
    shutil.copy(place.document, old)
    place.edits(without_health)

    assert place.run("diff", str(old), str(old)).returncode == 0
    assert place.run("diff", str(old), str(place.document)).returncode == 1
    done = place.run("diff", str(old), str(place.home / "nowhere.json"))
    assert done.returncode == 2
    assert "No such file" in done.stderr


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("diff", "experience/nosuch/v1"), "there is no experience/nosuch/v1"),
        (("approve", "0123456789ab", "--reason", "x"), "no breaking change has the fingerprint"),
        (("release", "experience/nosuch/v1"), "there is no experience/nosuch/v1"),
        (("consumers", "--api", "delivery/v1"), "gateway.yaml has no delivery/v1"),
        (("can-retire", DELIVERY), "no gateway has made its tables"),
    ],
)
def test_what_cannot_be_done_is_said(place: Place, command: tuple[str, ...], told: str) -> None:
    done = place.run(*command)

    assert done.returncode == 2
    assert told in done.stderr
