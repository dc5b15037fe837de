"""What runbooks and the page on restores say, done in a deployment without the demo's clients."""

from __future__ import annotations

import re
import secrets
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from click.testing import CliRunner

from apis.cli import main
from tests.house import House, opened
from tests.servers import ROOT
from tests.systems import Salesforce

RUNNING = (ROOT / "docs/running.md").read_text()
PAGES = [*sorted((ROOT / "docs/runbooks").glob("*.md")), ROOT / "docs/backup.md"]
SAID = re.compile(r"(?:`|^)throughline ([a-z][^`\n]*)", re.MULTILINE)
BACKUP = "/backups/2026-11-22"
LEFT = re.compile("worker|restore")
"""One needs several processes (tests/end_to_end/test_processes.py), the other none: below."""
COMMANDS = sorted({
    words for page in PAGES for words in SAID.findall(page.read_text()) if not LEFT.match(words)
})  # fmt: skip
ASKING = ("work", "journey", "explain")
RUNS = "/process/deal-to-project/v1/runs"


class Firm(NamedTuple):
    """A deployment, and what stands for the words in angle brackets."""

    house: House
    given: dict[str, str]

    def says(self, words: str) -> tuple[int, str]:
        """Exit code and words of a command as a page has it."""
        for name, value in self.given.items():
            words = words.replace(name, value)
        assert "<" not in words, words
        done = CliRunner(env=self.house.env).invoke(main, shlex.split(words))
        return done.exit_code, done.output + str(done.exception or "")


def operators() -> dict[str, Any]:
    """The client that the page on running it tells operators to make."""
    [block] = re.findall(r"```yaml\n(clients:\n.*?)```", RUNNING, re.DOTALL)
    clients: dict[str, Any] = yaml.safe_load(block)["clients"]
    return clients


def policy(folder: Path) -> str:
    """The sample without its demo, and with the operators' client."""
    kept = yaml.safe_load((ROOT / "gateway.yaml").read_text())
    del kept["people"], kept["portal"]
    kept["plans"] = {"internal": kept["plans"]["internal"]}
    [client] = operators().values()
    secret = folder / "operations"
    secret.write_text(secrets.token_hex(32))
    secret.chmod(0o600)
    kept["clients"] = {"operations": client | {"secret": f"file:{secret}"}}
    file = folder / "gateway.yaml"
    file.write_text(yaml.safe_dump(kept))
    return str(file)


@pytest.fixture(scope="module")
def firm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firm]:
    """One process on SQLite, with a deal whose run was started by the operators' client."""
    folder: Path = tmp_path_factory.mktemp("operated")
    file = policy(folder)
    with opened(folder / "home", None, THROUGHLINE_GATEWAY=file) as house:
        deal = Salesforce(house).wins_deal(price=2000)
        form = {"grant_type": "client_credentials"}
        proof = "operations", (folder / "operations").read_text()
        token = house.http.post(f"{house.gateway}/oauth/token", data=form, auth=proof).json()
        bearer = {"authorization": f"Bearer {token['access_token']}", "idempotency-key": '"1"'}
        runs, refused = house.gateway + RUNS, house.http.get(house.gateway + RUNS)
        house.http.post(runs, json={"deal": deal.source}, headers=bearer).raise_for_status()
        _, key = house.says("api-keys", "make", "--client", "operations", "--scope", "runs.read")
        [made] = re.findall(r"Its id is (\S+);", key)
        given = {
            "<deal>": deal.id, "<request id>": refused.headers["x-request-id"],
            "<role>": "delivery-director", "<file>": file, "<id>": made,
            BACKUP: str(folder / "backup"), "<folder>": str(folder / "late"),
        }  # fmt: skip
        yield Firm(house, given)


def test_the_pages_name_the_commands_that_ask_the_gateway() -> None:
    assert {words.split()[0] for words in COMMANDS} > {*ASKING, "backup", "clients", "gateway"}


@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_of_the_pages_does_what_it_is_named_for(firm: Firm, words: str) -> None:
    code, told = firm.says(words)

    assert code == 0, told


def test_without_a_client_the_error_names_who_could_ask(firm: Firm) -> None:
    code, told = firm.says("work")

    assert code == 1
    assert "no client is named: name one with --client: operations\n" in told


def test_the_client_of_operators_is_one_that_production_may_have(firm: Firm) -> None:
    _, told = firm.says("check --production")

    assert "clients.operations" not in told


def test_after_a_restore_the_page_is_followed_to_its_end(firm: Firm, tmp_path: Path) -> None:
    firm.given[BACKUP] = str(tmp_path / "backup")
    assert firm.says(f"backup {BACKUP}")[0] == 0

    firm.house.stop("up")
    restored = firm.says(f"restore {BACKUP}")
    marked = firm.says("restore --mark")
    firm.house.opens_in_one_process()
    asked = firm.says("work --client operations")
    reconciled = firm.says("restore --reconciled")

    for code, told in (restored, marked, asked, reconciled):
        assert code == 0, told
