"""What Schemathesis, unchanged, finds when it holds the gateway to its published documents.

A fixed seed and a few examples an operation, and the ways to get a body wrong at one operation
of those that take it; THROUGHLINE_EXAMPLES=200 looks longer, everywhere.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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
HELD = re.compile(r'"#/components/schemas/(\w+)"')
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
    "--phases", "examples,coverage,fuzzing",
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


def known(document: str) -> Iterator[str]:
    """The operations whose body holds only what bodies before it hold, such as a project."""
    told = json.loads((PUBLISHED / f"{document}.json").read_bytes())
    seen = set()
    for operation in (each for path in told["paths"].values() for each in path.values()):
        content = operation.get("requestBody", {}).get("content", {})
        for name in HELD.findall(json.dumps(content)):
            held = set(HELD.findall(json.dumps(told["components"]["schemas"][name])))
            if held and held <= seen:
                yield operation["operationId"]
            seen |= held


def configured(document: str, folder: Path) -> Path:
    """The configuration, without what another operation shows."""
    folder.mkdir(parents=True)
    rules = [CONFIG.read_text()]
    if not EXAMPLES and (ids := list(known(document))):
        rules.append(f"[[operations]]\ninclude-operation-id = {ids}\n")
        rules.append("[operations.phases.coverage]\nenabled = false\n")
    made = folder / CONFIG.name
    made.write_text("\n".join(rules))
    return made


def explored(
    deployment: dict[str, Any], document: str, folder: Path
) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).parent / "st"]
    command += ["--config-file", configured(document, folder)]
    command += ["run", PUBLISHED / f"{document}.json"]
    command += ["--url", f"{deployment['gateway']}/{document}", *OPTIONS]
    command += ["--header", f"Authorization: Bearer {token(deployment)}"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def findings(request, deployment, tmp_path_factory):
    """What is found at each document that was asked for; two are looked at at once."""
    home = tmp_path_factory.mktemp("explored")
    with ThreadPoolExecutor(2) as pool:
        wanted = {each.callspec.params["document"] for each in request.session.items
                  if each.path == request.path}  # fmt: skip
        yield {
            document: pool.submit(explored, deployment, document, home / document)
            for document in sorted(wanted, reverse=True)  # those of the connections are the longest
        }


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_gateway_keeps_what_its_documents_say(
    findings: dict[str, Future[subprocess.CompletedProcess[str]]], document: str
) -> None:
    found = findings[document].result()

    assert found.returncode == 0, found.stdout + found.stderr
