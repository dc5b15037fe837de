"""What Schemathesis, unchanged, finds when it holds the gateway to its published documents.

A fixed seed and a few examples an operation; THROUGHLINE_EXAMPLES=200 looks longer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "contracts/published/openapi"
DOCUMENTS = [
    path.relative_to(PUBLISHED).with_suffix("").as_posix()
    for path in sorted(PUBLISHED.glob("*/*/v*.json"))
]
CONFIG = Path(__file__).parent / "schemathesis.toml"
EXAMPLES = os.environ.get("THROUGHLINE_EXAMPLES")
# Not `positive_data_acceptance`: a value of the right shape may still be no cursor or no decision
# that is open, and marks that hide or turn text are refused in any text.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
)
OPTIONS = (
    "--checks", ",".join(CHECKS),
    "--max-examples", EXAMPLES or "5",
    "--seed", "1",
    "--generation-database", "none",
    "--continue-on-failure",
    "--no-shrink",
    "--no-color",
    "--warnings", "off",
)  # fmt: skip


@pytest.fixture(scope="module")
def deployment():
    """All tiers behind a gateway, a client that may do everything, and two deals won."""
    command = [ROOT / ".venv/bin/python", "-m", "tests.explored"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as running:
        told = running.stdout.readline()
        assert told, "the deployment did not open: it has said why"
        yield json.loads(told)
        running.stdin.close()


def token(deployment: dict[str, Any]) -> str:
    with requests.Session() as session:
        session.trust_env = False
        answer = session.post(
            f"{deployment['gateway']}/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(deployment["client"], deployment["secret"]),
            timeout=10,
        )
    answer.raise_for_status()
    return answer.json()["access_token"]


def phases(document: str) -> str:
    """A connection's records are large: 4,000 ways to send a project are for a longer look."""
    return "coverage,fuzzing" if EXAMPLES or not document.startswith("system/") else "fuzzing"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_gateway_keeps_what_its_documents_say(deployment, document, tmp_path):
    command = [Path(sys.executable).parent / "st", "--config-file", CONFIG]
    command += ["run", PUBLISHED / f"{document}.json", "--phases", phases(document)]
    command += ["--url", f"{deployment['gateway']}/{document}", *OPTIONS]
    command += ["--header", f"Authorization: Bearer {token(deployment)}"]

    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert found.returncode == 0, found.stdout + found.stderr
