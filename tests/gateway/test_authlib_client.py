"""Authlib's own client, which was not written here, through every grant."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from authlib.oauth2.rfc7523 import PrivateKeyJWT

from tests.gateway.bench import ISSUER, Bench
from tests.gateway.portal import BACK, Browser

pytestmark = pytest.mark.filterwarnings("ignore:.*httpx.*:DeprecationWarning")
ORDERS = "/process/orders/v3/orders"
URL = f"{ISSUER}/oauth"


def client(bench: Bench, name: str, secret: Any = None, **more: str) -> Any:
    from authlib.integrations.httpx_client import AsyncOAuth2Client  # noqa: PLC0415 - it warns

    return AsyncOAuth2Client(
        name,
        secret or bench.secrets.get(name),
        transport=httpx.ASGITransport(bench.app),
        base_url=ISSUER,
        **more,
    )


@pytest.mark.parametrize("how", ["client_secret_basic", "client_secret_post"])
async def test_it_gets_a_token_for_itself_and_uses_it(bench: Bench, how: str) -> None:
    bench.clock.set(datetime.now(UTC))  # Authlib knows the real time only
    reader = client(bench, "reader", token_endpoint_auth_method=how)

    token = await reader.fetch_token(f"{URL}/token", grant_type="client_credentials")
    answer = await reader.get(ORDERS)

    assert token["scope"] == "orders.read"
    assert answer.status_code == 200


async def test_it_proves_itself_by_a_signed_assertion(bench: Bench) -> None:
    bench.clock.set(datetime.now(UTC))
    robot = client(bench, "robot", bench.robot, token_endpoint_auth_method="private_key_jwt")
    endpoint = f"{URL}/token"
    claims = {"exp": int(bench.clock.timestamp()) + 60}  # it asks for an hour unless it is told
    robot.register_client_auth_method(PrivateKeyJWT(endpoint, claims=claims, alg="ES256"))

    token = await robot.fetch_token(endpoint, grant_type="client_credentials")

    assert token["scope"] == "orders.read"


async def test_it_sends_a_person_gets_a_code_refreshes_asks_and_revokes(bench: Bench) -> None:
    bench.clock.set(datetime.now(UTC))
    portal = client(
        bench, "portal", redirect_uri=BACK, code_challenge_method="S256", scope="orders.read"
    )
    verifier = "a-verifier-of-at-least-forty-three-characters"
    address, state = portal.create_authorization_url(f"{URL}/authorize", code_verifier=verifier)
    browser = Browser(bench)
    await browser.opens(address.removeprefix(ISSUER))
    await browser.signs_in()
    back = (await browser.sends("allow")).headers["location"]

    token = await portal.fetch_token(
        f"{URL}/token", authorization_response=back, code_verifier=verifier, state=state
    )
    first = await portal.get(ORDERS)
    renewed = await portal.refresh_token(f"{URL}/token")
    asked = await portal.introspect_token(f"{URL}/introspect", token=renewed["access_token"])
    revoked = await portal.revoke_token(
        f"{URL}/revoke", token=renewed["refresh_token"], token_type_hint="refresh_token"
    )
    after = await portal.get(ORDERS)

    assert first.status_code == 200
    assert renewed["refresh_token"] != token["refresh_token"]
    assert (asked.json()["active"], asked.json()["sub"]) == (True, "ann")
    assert revoked.status_code == 200
    assert after.status_code == 401
