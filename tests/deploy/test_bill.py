"""The bill of materials names what the lock pins, by its hashes, and is the same every time."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

from apis.console.bill import bill
from tests.servers import ROOT

SPDX = re.compile(r"[A-Za-z0-9.+-]+(?: (?:AND|OR|WITH) [A-Za-z0-9.+-]+)*")


def read() -> dict[str, Any]:
    told: dict[str, Any] = json.loads(bill())
    return told


def test_every_package_of_the_lock_is_there_with_all_its_hashes() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    told = read()

    names = {(part["name"], part["version"]) for part in told["components"]}
    assert names == set(re.findall(r"^([\w.-]+)(?:\[.*\])?==(\S+)", lock, re.MULTILINE))
    hashes = [
        each["content"]
        for part in told["components"]
        for reference in part["externalReferences"]
        for each in reference["hashes"]
    ]
    assert sorted(hashes) == sorted(re.findall(r"sha256:([0-9a-f]{64})", lock))


def test_it_is_of_this_version_and_says_under_which_licence_each_part_is() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    told = read()

    us = told["metadata"]["component"]
    assert (us["name"], us["version"]) == (project["name"], project["version"])
    assert (told["bomFormat"], told["specVersion"]) == ("CycloneDX", "1.6")
    silent = [part["name"] for part in told["components"] if "licenses" not in part]
    assert set(silent) <= {"colorama", "async-timeout"}  # of other systems and Pythons
    for part in told["components"]:
        for each in part.get("licenses", ()):
            assert SPDX.fullmatch(each.get("expression") or each["license"].get("id", "named"))


def test_whoever_needs_a_part_is_a_part() -> None:
    told = read()

    known = {told["metadata"]["component"]["bom-ref"]}
    known |= {part["bom-ref"] for part in told["components"]}
    needed = {ref for each in told["dependencies"] for ref in each["dependsOn"]}
    assert {each["ref"] for each in told["dependencies"]} == known
    assert needed == known - {told["metadata"]["component"]["bom-ref"]}


def test_it_is_the_same_every_time() -> None:
    assert bill() == bill()
    assert "timestamp" not in bill()
