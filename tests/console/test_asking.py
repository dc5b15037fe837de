"""Who asks the gateway from a terminal: a client of the policy, by the secret that lies here."""

from __future__ import annotations

from pathlib import Path

import pytest

from apis.console.calls import Proof, proof_of
from apis.console.journeys import place_of
from apis.gateway.policy import Gateway, load_gateway
from apis.runtime.settings import Settings
from contracts.errors import ThroughlineError

CLIENTS = """\
version: 1
plans: {internal: {rate: 600/min}}
apis: {}
clients:
  ours: {plan: internal, secret: "env:OURS_SECRET", scopes: [work-items.read]}
  night: {plan: internal, secret: ["file:HOME/new", "file:HOME/old"]}
  open: {plan: internal, secret: "file:HOME/open"}
  many: {plan: internal, secret: "file:HOME/many.json"}
  keyed: {plan: internal, keys: "file:HOME/keys.json"}
  portal: {plan: internal, secret: "file:HOME/old", redirects: ["https://portal.example/back"]}
  bound: {plan: internal, secret: "file:HOME/old", certificate: required}
"""
DEMO = '  demo: {plan: internal, secret: "home:clients.json"}\n'
ABLE = "name one with --client: ours, night, open, many"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name, text in (("old", "o-1\n"), ("many.json", '{"many": {"client_secret": "m-1"}}')):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    (tmp_path / "open").write_text("x")
    (tmp_path / "open").chmod(0o644)
    return tmp_path


def policy(home: Path, more: str = "") -> Gateway:
    return load_gateway(CLIENTS.replace("HOME", str(home)) + more)


def test_any_client_whose_secret_lies_here_may_be_named(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OURS_SECRET", "s-1")

    found = [proof_of(policy(home), home, name) for name in ("ours", "night", "many")]

    assert found == [Proof("ours", "s-1"), Proof("night", "o-1"), Proof("many", "m-1")]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (None, "no client is named"),
        ("nobody", "gateway.yaml:4: clients: there is no nobody"),
        ("ours", "gateway.yaml:5: clients.ours.secret: the environment has no OURS_SECRET"),
        ("open", "can be read by others: chmod 600"),
        ("keyed", "gateway.yaml:9: clients.keyed.secret: it has no secret"),
        ("portal", "it acts for people who sign in, never for itself"),
        ("bound", "its tokens need its certificate"),
    ],
)
def test_who_cannot_ask_is_told_why_and_who_can(home: Path, name: str | None, told: str) -> None:
    with pytest.raises(ThroughlineError) as refused:
        proof_of(policy(home), home, name)

    assert told in refused.value.detail
    remedy = "ask where the gateway runs" if name in {"ours", "open"} else ABLE
    assert remedy in str(refused.value.remedy)


def test_without_a_name_the_demos_client_asks_and_a_gateway_makes_its_secret(home: Path) -> None:
    with pytest.raises(ThroughlineError, match=r"clients\.json is not there") as told:
        proof_of(policy(home, DEMO), home, None)
    assert told.value.remedy.startswith("the gateway writes it at its first start")

    (home / "clients.json").write_text('{"demo": {"client_secret": "d-1"}}')
    (home / "clients.json").chmod(0o600)

    assert proof_of(policy(home, DEMO), home, None) == Proof("demo", "d-1")


def test_a_policy_without_a_client_that_could_ask_says_how_to_make_one(home: Path) -> None:
    text = CLIENTS.partition("clients:")[0] + "clients: {}\n"

    with pytest.raises(ThroughlineError) as refused:
        proof_of(load_gateway(text), home, None)

    assert refused.value.remedy == "enter one in it: docs/running.md says how"


@pytest.mark.parametrize(
    ("listens", "place"),
    [
        (None, ("http://127.0.0.1:8082", None)),
        ("0.0.0.0", ("http://127.0.0.1:8082", None)),  # noqa: S104 - what an operator writes
        ("::", ("http://[::1]:8082", None)),
        ("10.1.2.3", ("http://10.1.2.3:8082", "api.example.com")),
        ("fd00::1", ("http://[fd00::1]:8082", "api.example.com")),
    ],
)
def test_the_gateway_of_this_machine_is_asked_where_it_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listens: str | None, place: tuple[str, str]
) -> None:
    env = {
        "THROUGHLINE_HOME": str(tmp_path), "THROUGHLINE_ISSUER": "https://api.example.com",
        "PORT": "8082",
    }  # fmt: skip
    monkeypatch.delenv("THROUGHLINE_HOST", raising=False)
    if listens:
        monkeypatch.setenv("THROUGHLINE_HOST", listens)

    assert place_of(Settings.from_env(env)) == place


def test_a_gateway_that_was_given_another_port_is_found(tmp_path: Path) -> None:
    settings = Settings.from_env({"THROUGHLINE_HOME": str(tmp_path)})
    (tmp_path / "run" / "gateway.pid").write_text("1")
    (tmp_path / "run" / "gateway.port").write_text("9000")

    assert place_of(settings).base == "http://127.0.0.1:9000"
