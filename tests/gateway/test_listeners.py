"""A listener that makes no sense is told with its place, all of them at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from apis.gateway.compiled import compile_policy
from apis.gateway.documents import load_documents
from apis.gateway.policy import PolicyError, load_gateway

HERE = Path(__file__).parent
POLICY = (HERE / "gateway.yaml").read_text()
EVERYWHERE = "0.0.0.0"  # noqa: S104 - what is refused without TLS
PAIR = {"certificate": "file:/a.pem", "key": "home:a.key"}
SENSELESS: list[tuple[dict[str, Any], str]] = [
    ({"host": EVERYWHERE}, "others can reach this address: name a certificate and a key"),
    ({"certificate": "file:/a.pem"}, "a certificate and its key belong together"),
    ({"client_ca": "file:/a.pem"}, "`client_ca` needs TLS"),
    ({**PAIR, "crl": "file:/a.pem"}, "`crl` and `names` are about client certificates"),
    ({**PAIR, "plain": True}, "`plain` and a certificate exclude each other"),
    ({**PAIR, "port": 70_000}, "port: a port is 1 to 65535"),
    ({**PAIR, "key": "-----BEGIN"}, "key: a file is named as file:/path or home:name"),
]


def mistakes(listeners: dict[str, dict[str, Any]]) -> list[str]:
    text = f"{POLICY}\nlisteners:\n"
    text += "".join(f"  {name}: {json.dumps(each)}\n" for name, each in listeners.items())
    try:
        compile_policy(load_gateway(text), load_documents(HERE / "published"))
    except PolicyError as error:
        return error.mistakes
    return []


def test_every_mistake_has_its_place() -> None:
    listeners = {f"l{n}": {"port": 9000 + n, **each} for n, (each, _) in enumerate(SENSELESS)}
    first = len(POLICY.splitlines()) + 3

    told = mistakes(listeners)

    for n, (_, words) in enumerate(SENSELESS):
        place = f"gateway.yaml:{first + n}: listeners.l{n}"
        assert any(each.startswith(place) and words in each for each in told), (place, told)
    assert len(told) == len(SENSELESS)


@pytest.mark.parametrize(
    "good",
    [
        {},
        {"host": EVERYWHERE, "plain": True},
        {"host": EVERYWHERE, **PAIR},
        {"host": EVERYWHERE, **PAIR, "client_ca": "file:/b", "crl": "file:/c", "names": ["x"]},
    ],
)
def test_listeners_that_make_sense(good: dict[str, Any]) -> None:
    assert mistakes({"outside": {"port": 9443, **good}}) == []


def test_two_listeners_do_not_share_an_address() -> None:
    told = mistakes({"one": {"port": 9443}, "two": {"port": 9443}})

    assert ["one has this address already" in each for each in told] == [True]
