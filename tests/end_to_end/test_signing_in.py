"""A newcomer signs in with the password of the demo, and calls with a token of a person."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.house import House, gateways_alone
from tests.servers import free_port

SAMPLE = "http://127.0.0.1:8400/back"
FORM_TOKEN = re.compile('name="token" value="([0-9a-f]+)"')


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    policy = tmp_path / "gateway.yaml"
    back = f"http://127.0.0.1:{free_port()}/back"
    policy.write_text(Path("gateway.yaml").read_text("utf-8").replace(SAMPLE, back))
    with gateways_alone(tmp_path, None, THROUGHLINE_GATEWAY=str(policy)) as house:
        house.start("gateway", "serve", "gateway")
        house.answers("gateway", f"{house.gateway}/healthz")
        yield house


class Visit:
    """`throughline sign-in` in a terminal, and a browser that follows where it is sent."""

    def __init__(self, house: House) -> None:
        self.terminal = subprocess.Popen(
            [sys.executable, "-u", "-m", "apis.cli", "sign-in"],
            env=house.env, cwd=house.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        house.processes["sign-in"] = self.terminal
        assert self.terminal.stdout is not None
        address = next(line for line in self.terminal.stdout if line.startswith(b"http"))
        origin = {"origin": house.gateway}
        self.browser = httpx.Client(trust_env=False, follow_redirects=True, headers=origin)
        self.page = self.browser.get(address.decode().strip())

    def sends(self, action: str, **fields: str) -> str:
        """Fill in the form that is shown; what the next page says."""
        token = FORM_TOKEN.findall(self.page.text)[0]
        form = {"token": token, "action": action, **fields}
        self.page = self.browser.post(self.page.url, data=form)
        return self.page.text

    def ends(self) -> tuple[int, str]:
        """The exit code of the terminal, and the rest of what it says."""
        words, _ = self.terminal.communicate(timeout=30)
        self.browser.close()
        return self.terminal.returncode, words.decode()


def test_a_person_signs_in_allows_the_portal_and_calls_with_their_token(house: House) -> None:
    people = json.loads((house.home / "people.json").read_text())
    password = people["demo-person"]["password"]
    visit = Visit(house)

    wrong = visit.sends("sign-in", name="demo-person", password="not it")
    asked = visit.sends("sign-in", name="demo-person", password=password)
    done = visit.sends("allow")
    code, words = visit.ends()

    assert "The name or the password is wrong." in wrong
    assert "Allow demo-portal to act for you?" in asked
    assert "Back to the terminal" in done
    assert code == 0, words
    assert "demo-portal has: catalog.read projects.read" in words
    token = words.partition("Authorization: Bearer ")[2].partition("'")[0]
    bearer = {"authorization": f"Bearer {token}"}
    assert house.http.get(f"{house.gateway}/catalog", headers=bearer).status_code == 200

    refused = Visit(house)
    refused.sends("sign-in", name="demo-person", password=password)
    refused.sends("deny")

    assert refused.ends() == (2, "Error: demo-portal may not act for you: access_denied\n")
