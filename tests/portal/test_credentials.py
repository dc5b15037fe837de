"""What an application proves itself by: one credential replaces another, and all of them end."""

from __future__ import annotations

import json
import re
from html import escape

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from apis.gateway.client_authentication import ASSERTION
from tests.gateway.bench import ISSUER
from tests.portal.estate import ORDERS, Host, Visitor, shown_in
from tests.portal.pages import Page

KEY = ECKey.generate_key("P-256", {"kid": "mine"})
PUBLIC = KEY.as_dict(private=False)


@pytest.fixture
async def app(ada: Visitor, hosts: tuple[Host, Host]) -> tuple[str, str]:
    await ada.signs_up()
    made = await ada.makes()
    await all_look(hosts)
    return made


async def all_look(hosts: tuple[Host, Host]) -> None:
    for host in hosts:
        await host.looks()
        await host.uses.close()


async def test_a_second_secret_replaces_the_first_while_both_are_good(
    ada: Visitor, hosts: tuple[Host, Host], app: tuple[str, str]
) -> None:
    client, old = app
    _, new = shown_in(await ada.presses(client, "new-secret"))
    await all_look(hosts)
    for host in hosts:
        assert (await host.calls(client, old)).status_code == 200
        assert (await host.calls(client, new)).status_code == 200

    page = await ada.sees(f"/portal/applications/{client}")
    [first, second] = re.findall(r'name="which" value="([0-9a-f]{8})"', page.text)
    await ada.sends("retire-secret", which=first)
    await all_look(hosts)

    for host in hosts:
        assert (await host.gets_token(client, old)).json()["error"] == "invalid_client"
        assert (await host.gets_token(client, new)).status_code == 200
    assert second in ada.page.text
    assert first not in ada.page.text


async def test_there_are_never_more_than_two_secrets(ada: Visitor, app: tuple[str, str]) -> None:
    await ada.presses(app[0], "new-secret")
    assert (await ada.presses(app[0], "new-secret")).status_code == 409


async def test_when_a_secret_was_last_used_is_shown(
    ada: Visitor, hosts: tuple[Host, Host], app: tuple[str, str]
) -> None:
    client, secret = app
    assert "<td>never</td>" in (await ada.sees(f"/portal/applications/{client}")).text

    await hosts[1].calls(client, secret)
    await all_look(hosts)

    assert "<td>never</td>" not in (await ada.sees(f"/portal/applications/{client}")).text


async def test_a_client_without_a_secret_proves_nothing(
    ada: Visitor, hosts: tuple[Host, Host], app: tuple[str, str]
) -> None:
    client, secret = app
    page = await ada.sees(f"/portal/applications/{client}")
    [only] = re.findall(r'name="which" value="([0-9a-f]{8})"', page.text)
    await ada.sends("retire-secret", which=only)
    await all_look(hosts)

    form = {"grant_type": "client_credentials", "client_id": client}
    for given in (form, form | {"client_secret": ""}, form | {"client_secret": secret}):
        answer = await hosts[0].http.post("/oauth/token", data=given)
        assert answer.json()["error"] == "invalid_client"


async def test_a_public_key_stands_in_for_a_secret(
    ada: Visitor, hosts: tuple[Host, Host], app: tuple[str, str]
) -> None:
    client, _ = app
    await ada.presses(client, "set-keys", keys=json.dumps({"keys": [PUBLIC]}))
    assert ">mine<" in ada.page.text
    await all_look(hosts)

    for n, host in enumerate(hosts):
        assert (await by_key(host, client, f"jti-{n}")).status_code == 200

    await ada.presses(client, "remove-keys")
    await all_look(hosts)
    assert (await by_key(hosts[0], client, "jti-9")).json()["error"] == "invalid_client"


async def by_key(host: Host, client: str, jti: str) -> httpx.Response:
    now = int(host.clock.timestamp())
    said = {
        "iss": client,
        "sub": client,
        "aud": ISSUER,
        "exp": now + 60,
        "jti": jti,
    }
    assertion = jwt.encode({"alg": "ES256", "kid": "mine"}, said, KEY, ["ES256"])
    form = {
        "grant_type": "client_credentials", "client_assertion_type": ASSERTION,
        "client_assertion": assertion,
    }  # fmt: skip
    return await host.http.post("/oauth/token", data=form)


PRIVATE = KEY.as_dict(private=True)
OTHER_CURVE = ECKey.generate_key("P-384").as_dict(private=False)
SHORT = RSAKey.generate_key(2048).as_dict(private=False) | {"n": "A" * 171}
SHARED = {"kty": "oct", "k": "Ab0" * 14 + "A"}


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("", "A JWK or a JWK set is needed"),
        (" ", "A JWK or a JWK set is needed"),
        ("[" * 5000, "This is no JSON."),
        ("7", "A JWK or a JWK set is needed"),
        ('{"keys": [7]}', "A JWK or a JWK set is needed"),
        ('{"keys": []}', "At least one key"),
        (json.dumps({"keys": [PUBLIC] * 5}), "at most 4"),
        (json.dumps({"keys": [PUBLIC, PUBLIC]}), "a kid of its own"),
        (json.dumps(PUBLIC | {"kid": "k" * 101}), "a kid of its own"),
        (json.dumps(PUBLIC | {"kid": 7}), "key"),
        (json.dumps(PRIVATE), "This holds a private key"),
        (json.dumps(SHARED), "This holds a private key"),
        (json.dumps(OTHER_CURVE), "An EC key on P-256 or an RSA key"),
        (json.dumps(SHORT), "An EC key on P-256 or an RSA key"),
        ('{"kty": "EC", "crv": "P-256", "x": "?", "y": 7}', "This is no key that can be read."),
        ('{"kty": "<script>"}', "This is no key that can be read."),
    ],
)
async def test_only_public_keys_that_can_be_used_are_kept(
    ada: Visitor, app: tuple[str, str], keys: str, said: str
) -> None:
    page = await ada.presses(app[0], "set-keys", keys=keys)

    assert page.status_code == 422
    assert re.search(f'id="keys-error">[^<]*{said}', page.text)
    typed = "" if "private" in said else escape(keys)
    assert f">\n{typed}</textarea>" in page.text
    assert Page(page.text).findings() == []
    kept = await ada.sends("set-keys", f"/portal/applications/{app[0]}", keys=json.dumps(PUBLIC))
    assert ">mine<" in kept.text


async def test_an_api_key_of_an_own_client_is_good_until_it_is_revoked(
    ada: Visitor, hosts: tuple[Host, Host], app: tuple[str, str]
) -> None:
    client, _ = app
    _, key = shown_in(await ada.presses(client, "new-api-key"))
    assert f"X-API-Key: {key}" in ada.page.text.replace("&#x27;", "'")
    for host in hosts:
        assert (await host.http.get(ORDERS, headers={"x-api-key": key})).status_code == 200

    page = await ada.sees(f"/portal/applications/{client}")
    *_, which = re.findall(r'name="which" value="([0-9a-f]{8})"', page.text)
    await ada.sends("revoke-api-key", which=which)
    await all_look(hosts)

    for host in hosts:
        assert (await host.http.get(ORDERS, headers={"x-api-key": key})).status_code == 401


async def test_a_deleted_application_takes_its_tokens_along(
    ada: Visitor, hosts: tuple[Host, Host], app: tuple[str, str]
) -> None:
    client, secret = app
    token = (await hosts[0].gets_token(client, secret)).json()["access_token"]
    _, key = shown_in(await ada.presses(client, "new-api-key"))
    assert (await hosts[1].asks(token)).status_code == 200

    await ada.presses(client, "delete", sure="yes")
    await all_look(hosts)

    for host in hosts:
        assert (await host.asks(token)).status_code == 401
        assert (await host.gets_token(client, secret)).status_code == 401
        assert (await host.http.get(ORDERS, headers={"x-api-key": key})).status_code == 401
    assert (await ada.sees(f"/portal/applications/{client}")).status_code == 404


async def test_a_person_has_so_many_applications_and_no_more(ada: Visitor) -> None:
    await ada.signs_up()
    for title in ("One", "Two"):
        await ada.makes(title)

    await ada.sees("/portal/applications/new")
    refused = await ada.sends(title="Three", purpose="More")

    assert refused.status_code == 409
    assert "Delete one" in refused.text


@pytest.mark.parametrize(
    ("title", "purpose"), [("", "x"), ("x", ""), ("A" * 81, "x"), ("x", "A" * 1001), ("\x07", "x")]
)
async def test_an_application_needs_a_name_and_a_purpose(
    ada: Visitor, title: str, purpose: str
) -> None:
    await ada.signs_up()
    await ada.sees("/portal/applications/new")

    assert (await ada.sends(title=title, purpose=purpose)).status_code == 422


ACTIONS = (
    "new-secret", "retire-secret", "set-keys", "remove-keys", "new-api-key", "revoke-api-key",
    "delete",
)  # fmt: skip


@pytest.mark.parametrize("action", ACTIONS)
async def test_nobody_touches_another_s_application(
    hosts: tuple[Host, Host], app: tuple[str, str], action: str
) -> None:
    client, secret = app
    eve = Visitor(*hosts)
    await eve.signs_up(called="Eve")
    await eve.sees("/portal/applications/new")
    fields = {"sure": "yes", "which": "0" * 8, "keys": json.dumps(PUBLIC)}

    foreign = await eve.sends(action, f"/portal/applications/{client}", **fields)
    await eve.sees("/portal/applications/new")
    absent = await eve.sends(action, "/portal/applications/app-0000000000", **fields)

    assert foreign.status_code == absent.status_code == 404
    assert foreign.content == absent.content
    await all_look(hosts)
    assert (await hosts[0].calls(client, secret)).status_code == 200


async def test_another_s_application_and_none_look_the_same(
    hosts: tuple[Host, Host], app: tuple[str, str]
) -> None:
    eve = Visitor(*hosts)
    await eve.signs_up(called="Eve")

    foreign = await eve.sees(f"/portal/applications/{app[0]}")
    absent = await eve.sees("/portal/applications/app-0000000000")

    assert foreign.status_code == absent.status_code == 404
    assert foreign.content == absent.content


@pytest.mark.parametrize("action", [*ACTIONS, "", "burn"])
async def test_a_form_without_the_page_s_token_changes_nothing(
    ada: Visitor, hosts: tuple[Host, Host], app: tuple[str, str], action: str
) -> None:
    client, secret = app
    form = {"action": action, "sure": "yes", "token": "0" * 64}

    refused = await ada.posts(f"/portal/applications/{client}", form)

    assert refused.status_code == 403
    await all_look(hosts)
    assert (await hosts[0].calls(client, secret)).status_code == 200


async def test_who_is_not_signed_in_is_asked_to_and_comes_back(hosts: tuple[Host, Host]) -> None:
    stranger = Visitor(*hosts)
    page = await stranger.sees("/portal/requests?status=refused")

    assert page.request.url.params["next"] == "/portal/requests?status=refused"
