"""`make sbom`: what a release is made of, as CycloneDX 1.6, from the lock.

The same lock and the same packages give the same bytes: there is no time and no chance in it.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
import uuid
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import msgspec

LOCK = Path("requirements.lock")
PROJECT = Path("pyproject.toml")
PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(\S+)", re.MULTILINE)
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
VIA = re.compile(r"# via(?: (\S+)|(?P<more>(?:\n\s+#   \S+.*)+))")
SPDX = {  # what packages call their licence in the classifiers -> its identifier
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}


class Part(msgspec.Struct, frozen=True):
    """One package of the lock: its files' hashes, and who needs it."""

    name: str
    version: str
    hashes: tuple[str, ...]
    needed_by: tuple[str, ...]

    @property
    def purl(self) -> str:
        """Its name for the world."""
        return f"pkg:pypi/{self.name}@{self.version}"


def parts(lock: str) -> Iterator[Part]:
    """Every package of a lock."""
    for block in re.split(r"\n(?=[A-Za-z0-9])", lock):
        if found := PINNED.match(block):
            via = VIA.search(block)
            names = re.findall(r"([A-Za-z0-9._-]+)", via.group(1)) if via and via.group(1) else []
            if via and via.group("more"):
                names = re.findall(r"#   ([A-Za-z0-9._-]+)", via.group("more"))
            yield Part(found[1], found[2], tuple(HASH.findall(block)), tuple(names))


def bill() -> str:
    """The whole document."""
    project = tomllib.loads(PROJECT.read_text("utf-8"))["project"]
    name, version = project["name"], project["version"]
    us = Part(name, version, (), ())
    found = sorted(parts(LOCK.read_text("utf-8")), key=lambda part: part.name)
    document: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "lifecycles": [{"phase": "build"}],
            "component": {
                "type": "application",
                "bom-ref": us.purl,
                "name": name,
                "version": version,
                "purl": us.purl,
                "licenses": [{"license": {"id": project["license"]}}],
            },
        },
        "components": [component(part) for part in found],
        "dependencies": [
            {
                "ref": part.purl,
                "dependsOn": [each.purl for each in found if part.name in each.needed_by],
            }
            for part in (us, *found)
        ],
    }
    content = json.dumps(document, sort_keys=True)
    document["serialNumber"] = uuid.uuid5(uuid.NAMESPACE_URL, content).urn
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def component(part: Part) -> dict[str, Any]:
    """One package: where its files are, each by its hash, and under which licence it is."""
    place = f"https://pypi.org/project/{part.name}/{part.version}/#files"
    hashes = [{"alg": "SHA-256", "content": each} for each in sorted(part.hashes)]
    told: dict[str, Any] = {
        "type": "library",
        "bom-ref": part.purl,
        "name": part.name,
        "version": part.version,
        "purl": part.purl,
        "externalReferences": [{"type": "distribution", "url": place, "hashes": hashes}],
    }
    try:
        licence = licence_of(distribution(part.name))
    except PackageNotFoundError:  # of another system or another Python
        return told
    return told | ({"licenses": [licence]} if licence else {})


def licence_of(package: Distribution) -> dict[str, Any] | None:
    """What a package says of its licence: the expression, its classifier, or its own words."""
    said = package.metadata
    names = ("License-Expression", "License")
    expression = next(filter(None, (said[name] for name in names if name in said)), "")
    if expression in SPDX:
        return {"license": {"id": SPDX[expression]}}
    if "License-Expression" in said or expression in SPDX.values():
        return {"expression": expression} if " " in expression else {"license": {"id": expression}}
    for each in said.get_all("Classifier") or ():
        kind, _, name = each.rpartition(" :: ")
        if kind.startswith("License") and name in SPDX:
            return {"license": {"id": SPDX[name]}}
    words = expression.strip().splitlines()
    return {"license": {"name": words[0]}} if words else None


if __name__ == "__main__":
    sys.stdout.write(bill())
