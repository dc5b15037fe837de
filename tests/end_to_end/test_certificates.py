"""Who comes in by TLS and by mutual TLS, and what a token is worth without its certificate."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.end_to_end.authority import DAY, Authority
from tests.house import House, address, port
from tests.servers import free_port

PARTNER = "partner.example"
SECRET = "a-secret-of-the-robot"
FORM = {"grant_type": "client_credentials"}
Pair = tuple[Path, Path]


class Firm:
    """A gateway with a listener for anybody and one for partners, and their authority."""

    def __init__(self, home: Path) -> None:
        self.ours = Authority(home, "ours")
        self.theirs = Authority(home, "theirs")
        self.tls, self.mutual = free_port(), free_port()
        self.ours.signs("localhost")
        policy = yaml.safe_load(Path("gateway.yaml").read_text())
        server = {
            "certificate": f"file:{self.ours.folder}/localhost.pem",
            "key": f"file:{self.ours.folder}/localhost.key",
        }
        partners = {
            "client_ca": f"file:{self.theirs.certificate}",
            "crl": f"file:{self.theirs.crl}",
            "names": [PARTNER, "second.example"],
        }
        policy["listeners"] = {
            "anybody": {"port": self.tls, **server},
            "partners": {"port": self.mutual, **server, **partners},
        }
        policy["clients"]["robot"] = {
            "plan": "internal",
            "secret": "env:ROBOT",
            "scopes": ["catalog.read"],
            "certificate": "required",
        }
        (home / "gateway.yaml").write_text(yaml.safe_dump(policy))
        self.house = House(
            home,
            f"sqlite:///{home}/throughline.sqlite",
            None,
            THROUGHLINE_GATEWAY=str(home / "gateway.yaml"),
            THROUGHLINE_CLOCK="",
            THROUGHLINE_HEADER_TIMEOUT="2",
            ROBOT=SECRET,
        )
        tiers = ("system", "process", "experience")
        away = address(free_port())
        self.house.env["THROUGHLINE_PEERS"] = ",".join(f"{tier}={away}" for tier in tiers)

    def asks(
        self, path: str = "/healthz", *, by: int, shows: Pair | None = None, **more: Any
    ) -> Any:
        """One request on a connection of its own."""
        trusted = ssl.create_default_context(cafile=self.ours.certificate)
        if shows is not None:
            trusted.load_cert_chain(*shows)
        with httpx.Client(verify=trusted, trust_env=False, timeout=20) as client:
            return client.request(
                more.pop("method", "GET"), f"https://localhost:{by}{path}", **more
            )

    def token(self, shows: Pair | None, by: int) -> httpx.Response:
        """What the robot gets for its secret and its certificate."""
        return self.asks(
            "/oauth/token",
            by=by,
            shows=shows,
            method="POST",
            data=FORM,
            auth=("robot", SECRET),
        )

    def catalog(self, token: str, by: int, shows: Pair | None = None) -> httpx.Response:
        return self.asks(
            "/catalog", by=by, shows=shows, headers={"Authorization": f"Bearer {token}"}
        )


@pytest.fixture(scope="module")
def firm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firm]:
    firm = Firm(tmp_path_factory.mktemp("certificates"))
    firm.house.start("gateway", "serve", "gateway")
    firm.house.answers("gateway", f"{firm.house.gateway}/healthz")
    yield firm
    firm.house.close()


@pytest.fixture(scope="module")
def partner(firm: Firm) -> Pair:
    return firm.theirs.signs(PARTNER)


def test_anybody_comes_in_by_tls_and_a_partner_by_mutual_tls(firm: Firm, partner: Pair) -> None:
    assert firm.asks(by=firm.tls).status_code == 200
    assert firm.asks(by=firm.mutual, shows=partner).status_code == 200


@pytest.mark.parametrize("who", ["nobody", "expired", "another authority", "revoked"])
def test_a_certificate_that_is_not_good_ends_the_handshake(firm: Firm, who: str) -> None:
    good = firm.theirs.signs(PARTNER, file="revoked")
    firm.theirs.revokes(good[0])
    shown = {
        "nobody": None,
        "expired": firm.theirs.signs(PARTNER, file="expired", until=-DAY),
        "another authority": firm.ours.signs(PARTNER),
        "revoked": good,
    }[who]

    refused(firm, shown)


def refused(firm: Firm, shown: Pair | None) -> None:
    """Wait until a certificate is refused: the list of revoked ones is read while it serves."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            firm.asks(by=firm.mutual, shows=shown)
        except (httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError):
            return
    pytest.fail("it came in")


def test_a_certificate_for_another_name_is_told_so(firm: Firm) -> None:
    answer = firm.asks(by=firm.mutual, shows=firm.theirs.signs("stranger.example"))

    assert (answer.status_code, answer.json()["code"]) == (403, "certificate-refused")
    assert "stranger.example" in answer.json()["detail"]
    assert answer.headers["connection"] == "close"


def test_tls_before_1_2_and_plain_http_are_not_spoken(firm: Firm) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("DEFAULT@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1

    with pytest.raises(httpx.ConnectError), httpx.Client(verify=old, trust_env=False) as client:
        client.get(f"https://localhost:{firm.tls}/healthz")
    with pytest.raises(httpx.HTTPError):
        firm.house.http.get(f"http://127.0.0.1:{firm.tls}/healthz")


def test_half_a_request_is_not_waited_for_on_any_listener(firm: Firm) -> None:
    trusted = ssl.create_default_context(cafile=firm.ours.certificate)
    plain = socket.create_connection(("127.0.0.1", int(port(firm.house.gateway))), timeout=20)
    bare = socket.create_connection(("localhost", firm.tls), timeout=20)
    with plain, bare, trusted.wrap_socket(bare, server_hostname="localhost") as secret:
        for each in (plain, secret):
            each.sendall(b"GET /healthz HTTP/1.1\r\nHost: loc")
        answers = [b"".join(iter(partial(each.recv, 65_536), b"")) for each in (plain, secret)]

    assert [answer.startswith(b"HTTP/1.1 408 ") for answer in answers] == [True, True]


def test_a_token_is_worth_nothing_without_the_certificate_it_is_bound_to(
    firm: Firm, partner: Pair
) -> None:
    second = firm.theirs.signs("second.example")

    token = firm.token(partner, firm.mutual).json()["access_token"]
    with_it = firm.catalog(token, firm.mutual, partner)
    answers = [firm.catalog(token, firm.tls), firm.catalog(token, firm.mutual, second)]

    assert with_it.status_code == 200
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid-token")
        assert answer.headers["www-authenticate"].startswith('Bearer error="invalid_token"')


def test_a_client_that_must_show_a_certificate_gets_no_token_without(firm: Firm) -> None:
    answer = firm.token(None, firm.tls)

    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    metadata = firm.asks("/.well-known/oauth-authorization-server", by=firm.tls).json()
    assert metadata["tls_client_certificate_bound_access_tokens"] is True


def test_a_new_certificate_is_used_without_a_restart(firm: Firm) -> None:
    pid = firm.house.pid_file("gateway").read_text()
    before = ssl.get_server_certificate(("localhost", firm.tls))
    (firm.ours.folder / "localhost.pem").write_text("half a file")
    firm.ours.signs("localhost")

    end = time.monotonic() + 20
    while (now := ssl.get_server_certificate(("localhost", firm.tls))) == before:
        assert time.monotonic() < end
    assert now.strip() == (firm.ours.folder / "localhost.pem").read_text().strip()
    assert firm.asks(by=firm.tls).status_code == 200
    assert firm.house.pid_file("gateway").read_text() == pid


def test_plain_http_that_others_can_reach_is_refused(tmp_path: Path) -> None:
    house = House(tmp_path, "", None, THROUGHLINE_HOST="0.0.0.0")  # noqa: S104 - what is refused
    house.env["THROUGHLINE_DATABASE_URL"] = f"sqlite:///{tmp_path}/x.sqlite"

    code, words = house.says("serve", "gateway", "--port", port(house.gateway))
    house.close()

    assert code == 2
    assert "others can reach 0.0.0.0, and this port speaks plain HTTP" in words
    assert "THROUGHLINE_PLAIN_HTTP=1" in words
