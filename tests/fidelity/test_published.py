"""What Spectral and AsyncAPI's parser, unchanged, say of everything that is published."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

PUBLISHED = ROOT / "contracts/published"
DOCUMENTS = sorted(PUBLISHED.glob("openapi/*/*/v*.json"))
EVENTS = PUBLISHED / "asyncapi.json"


def linted(node: tuple[str, Path], *files: Path) -> subprocess.CompletedProcess[str]:
    program, folder = node
    command = [program, "node_modules/@stoplight/spectral-cli/dist/index.js", "lint"]
    options = ["--ruleset", "spectral.yaml", "--fail-severity", "warn", "--format", "text"]
    return subprocess.run(
        [*command, *options, *map(str, files)], cwd=folder, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip


def test_spectral_finds_nothing_in_any_document(node: tuple[str, Path]) -> None:
    found = linted(node, *DOCUMENTS, EVENTS)

    assert found.returncode == 0, found.stdout + found.stderr


def test_spectral_would_find_something(node: tuple[str, Path], tmp_path: Path) -> None:
    document = json.loads(DOCUMENTS[0].read_bytes())
    del document["info"]["contact"]
    broken = tmp_path / "v1.json"
    broken.write_text(json.dumps(document))

    found = linted(node, broken)

    assert found.returncode == 1
    assert "info-contact" in found.stdout


@pytest.mark.parametrize("channel", [None, "deal.won"])
def test_asyncapi_s_parser_takes_the_document_and_would_refuse_a_broken_one(
    node: tuple[str, Path], channel: str | None
) -> None:
    program, folder = node
    document = json.loads(EVENTS.read_bytes())
    if channel:
        del document["channels"][channel]

    done = subprocess.run(
        [program, "asyncapi_parser.mjs"], cwd=folder, input=json.dumps(document), text=True,
        capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    told = json.loads(done.stdout)

    if channel:
        assert any("invalid-ref" in each for each in told["found"])
    else:
        assert told == {"version": "3.1.0", "events": 16, "found": []}
