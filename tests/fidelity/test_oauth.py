"""openid-client (JavaScript) against the gateway as its own process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from conftest import READY_S, ROOT, wait_for

POLICY = """\
version: 1
plans: {{internal: {{rate: 6000/min}}}}
clients:
  machine: {{plan: internal, secret: home:clients.json, scopes: [catalog.read]}}
  robot: {{plan: internal, keys: "home:robot.json", scopes: [catalog.read]}}
  portal:
    {{plan: internal, secret: home:clients.json, scopes: [catalog.read], redirects: ["{redirect}"]}}
people:
  ann: {{password: "home:people.json"}}
apis:
  process:
    work-queue: {{app: "process_apis.work_queue:app", scopes: {{catalog.read: [{operations}]}}}}
"""
OPERATIONS = "listWorkItems, getWorkItem, assignWorkItem, commentWorkItem, decideWorkItem"
REDIRECT = "https://portal.example/back"
MAKE_KEY = """
import json
from joserfc.jwk import ECKey
print(json.dumps(ECKey.generate_key("P-256", auto_kid=True).as_dict(private=True)))
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path, dict[str, Any]]]:
    """The gateway, as an operator starts it, with a key of the robot."""
    home = tmp_path_factory.mktemp("home")
    python = str(ROOT / ".venv/bin/python")
    key = json.loads(subprocess.check_output([python, "-c", MAKE_KEY], text=True))
    public = {name: value for name, value in key.items() if name != "d"}
    (home / "robot.json").write_text(json.dumps({"keys": [public]}))
    policy = POLICY.format(redirect=REDIRECT, operations=OPERATIONS)
    (home / "gateway.yaml").write_text(policy)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    issuer = f"http://127.0.0.1:{port}"
    told = {
        "THROUGHLINE_HOME": str(home), "THROUGHLINE_GATEWAY": str(home / "gateway.yaml"),
        "THROUGHLINE_PEERS": "process=http://127.0.0.1:9", "THROUGHLINE_ISSUER": issuer,
    }  # fmt: skip
    kept = {k: v for k, v in os.environ.items() if not k.startswith("THROUGHLINE_")}
    command = [python, "-m", "apis.cli", "serve", "gateway", "--port", str(port)]
    with subprocess.Popen(command, cwd=ROOT, env={**kept, **told}) as running:
        wait_for(port, running)
        requests.get(f"{issuer}/healthz", timeout=READY_S).raise_for_status()  # it has its secrets
        yield issuer, home, key
        running.terminate()
        running.wait(READY_S)


def test_openid_client_finds_every_grant_and_every_refusal(
    gateway: tuple[str, Path, dict[str, Any]], node: tuple[str, Path]
) -> None:
    issuer, home, key = gateway
    program, folder = node
    clients = json.loads((home / "clients.json").read_bytes())
    people = json.loads((home / "people.json").read_bytes())
    given = {
        "issuer": issuer,
        "redirect": REDIRECT,
        "key": key,
        "secrets": {name: entry["client_secret"] for name, entry in clients.items()},
        "person": {"name": "ann", "password": people["ann"]["password"]},
    }

    done = subprocess.run(
        [program, "openid_client.mjs"], cwd=folder, input=json.dumps(given), text=True,
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "basic": {"scope": "catalog.read", "status": 200},
        "post": {"scope": "catalog.read", "status": 200},
        "private_key_jwt": "catalog.read",
        "pkce": True,
        "iss": True,
        "rotated": True,
        "introspected": {"active": True, "sub": "ann", "client": "portal"},
        "revoked": False,
        "code_again": "invalid_grant",
        "refresh_again": "invalid_grant",
        "wrong_secret": "OAUTH_WWW_AUTHENTICATE_CHALLENGE",  # its name for a 401
        "wrong_verifier": "invalid_grant",
        "mixed_up": "OAUTH_INVALID_RESPONSE",
    }


def test_the_metadata_names_where_the_resource_s_tokens_come_from(
    gateway: tuple[str, Path, dict[str, Any]],
) -> None:
    issuer, _, _ = gateway

    refused = requests.get(f"{issuer}/catalog", timeout=10)
    place = refused.headers["www-authenticate"].partition('resource_metadata="')[2].rstrip('"')
    found = requests.get(place, timeout=10).json()

    assert refused.status_code == 401
    assert (found["resource"], found["authorization_servers"]) == (issuer, [issuer])
