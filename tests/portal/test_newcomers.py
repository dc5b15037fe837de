"""A newcomer: from signing up to the first good answer, and no further than the sandbox."""

from __future__ import annotations

import json
import re

import pytest
import sqlalchemy as sa

from apis.gateway.policy import PolicyError
from apis.gateway.registered import PEOPLE
from apis.portal.newcomers import BY_ADDRESS
from apis.runtime.audit import AUDIT
from apis.runtime.store import Store
from tests.gateway.bench import NOW
from tests.gateway.portal import BACK, asking
from tests.portal.estate import POLICY, Host, Hosts, Visitor, name_of, newcomer, shown_in

DAY = 86_400


async def test_a_newcomer_has_a_good_answer_without_anybody_s_help(
    ada: Visitor, hosts: tuple[Host, Host]
) -> None:
    await ada.signs_up()
    client, secret = await ada.makes()
    assert "curl -i" in ada.page.text
    assert f"client_id={client}" in ada.page.text

    for host in hosts:
        await host.looks()
        answer = await host.calls(client, secret)
        assert answer.status_code == 200
        context = answer.json()["context"]
        assert context["rows"] == {"customers": []}
        assert context["scopes"] == ["orders.read"]
        assert context.get("roles", []) == []


async def test_a_secret_opens_the_host_that_showed_it_at_once(
    ada: Visitor, hosts: tuple[Host, Host]
) -> None:
    await ada.signs_up()

    client, secret = await ada.makes()

    showed = hosts[ada.turn % 2]
    assert (await showed.calls(client, secret)).status_code == 200


async def test_a_form_that_is_sent_again_makes_no_second_application(ada: Visitor) -> None:
    await ada.signs_up()
    sent = {"title": "Shop", "purpose": "To see orders"}
    await ada.sees("/portal/applications/new")
    client, _ = shown_in(await ada.sends(form="of one page", **sent))

    await ada.sees("/portal/applications/new")
    again = await ada.sends(form="of one page", **sent)

    assert again.status_code == 409
    assert "Shop is made already" in again.text
    page = await ada.sees("/portal/applications")
    mine = re.findall(r'"/portal/applications/(app-[0-9a-f]+)"', page.text)
    assert mine == [client]


async def test_every_host_knows_a_newcomer_at_once(ada: Visitor) -> None:
    page = await ada.signs_up()

    assert page.status_code == 200
    assert "Hello Ada" in page.text
    assert name_of(await ada.sees("/portal/applications")) == name_of(page)


async def test_a_newcomer_signs_in_again_by_the_name_that_was_made_for_them(
    ada: Visitor, hosts: tuple[Host, Host]
) -> None:
    name = name_of(await ada.signs_up())
    later = Visitor(*hosts)

    await later.signs_in(name, "three loose words")

    assert name in (await later.sees("/portal/applications")).text


async def test_only_hashes_are_kept(ada: Visitor, store: Store) -> None:
    await ada.signs_up()
    _, secret = await ada.makes()

    tables = store.read_now(everything)

    assert secret not in tables
    assert "three loose words" not in tables
    assert "$argon2id$" in tables


def everything(connection: sa.Connection) -> str:
    found = []
    for table in PEOPLE.metadata.sorted_tables:
        if table.schema == "gateway":
            found += [str(tuple(row)) for row in connection.execute(sa.select(table))]
    return "\n".join(found)


async def test_the_audit_says_who_and_when_and_nothing_personal(ada: Visitor, store: Store) -> None:
    name = name_of(await ada.signs_up(email="ada.canary@example.com"))
    client, _ = await ada.makes(title="A title of hers", purpose="Her purpose")

    rows = store.read_now(lambda each: each.execute(sa.select(AUDIT["gateway"])).all())

    told = [(row.actor, row.action, row.key) for row in rows]
    assert told == [
        (name, "person.joined", name),
        (name, "application.made", client),
        (name, "secret.made", client),
    ]
    assert all(row.cause and row.at.startswith(f"{NOW:%Y-%m-%d}") for row in rows)
    kept = "".join(map(str, rows))
    assert "canary" not in kept
    assert "hers" not in kept


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"called": ""}, "This is needed."),
        ({"called": "A" * 101}, "At most 100 characters."),
        ({"called": "A\u202eda"}, "Control and direction characters"),
        ({"called": "A\x00da"}, "Control and direction characters"),
        ({"email": "nobody"}, "An address is written like"),
        ({"email": "a@b@example.com"}, "An address is written like"),
        ({"email": f"{'a' * 250}@example.com"}, "At most 254 characters."),
        ({"password": "short", "again": "short"}, "Between 12 and 1000 characters."),
        ({"password": "a" * 1001, "again": "a" * 1001}, "Between 12 and 1000 characters."),
        ({"email": "ada.love@example.com", "password": "ADA.love@example.com"}, "Not your name"),
        ({"again": "three other words"}, "The two passwords are not the same."),
        ({"terms": ""}, "Accept the terms"),
        ({"terms": "maybe"}, "Accept the terms"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_told_where_it_stands(
    ada: Visitor, store: Store, changes: dict[str, str], said: str
) -> None:
    page = await ada.signs_up(**changes)

    assert page.status_code == 422
    assert said in page.text
    assert "<title>Error: Sign up" in page.text
    assert not store.read_now(lambda each: each.execute(sa.select(PEOPLE)).all())


async def test_an_address_that_is_known_looks_like_any_other(hosts: tuple[Host, Host]) -> None:
    first, second = Visitor(*hosts), Visitor(*hosts)
    one = await first.signs_up()
    other = await second.signs_up()

    assert one.status_code == other.status_code == 200
    assert name_of(one) != name_of(other)
    assert one.text.replace(name_of(one), "") == other.text.replace(name_of(other), "")


async def test_a_form_that_comes_twice_makes_one_person(ada: Visitor, store: Store) -> None:
    await ada.sees("/portal/sign-up")
    form = {"token": ada.page.text.partition('name="token" value="')[2][:64], **newcomer()}
    kept = dict(ada.cookies)

    answers = []
    for _ in range(2):
        ada.cookies.clear()
        ada.cookies.update(kept)
        answers.append((await ada.posts("/portal/sign-up", form)).status_code)

    assert answers == [303, 303]
    assert len(store.read_now(lambda each: each.execute(sa.select(PEOPLE)).all())) == 1


@pytest.mark.parametrize(
    ("token", "headers"),
    [
        ("", {}),
        ("0" * 64, {}),
        (None, {"origin": "https://evil.example"}),
        (None, {"origin": "null"}),
    ],
)
async def test_a_form_from_elsewhere_makes_nobody(
    ada: Visitor, store: Store, token: str | None, headers: dict[str, str]
) -> None:
    page = await ada.sees("/portal/sign-up")
    own = page.text.partition('name="token" value="')[2][:64]

    sent = newcomer() | {"token": own if token is None else token}
    refused = await ada.posts("/portal/sign-up", sent, **headers)

    assert refused.status_code == 403
    assert not store.read_now(lambda each: each.execute(sa.select(PEOPLE)).all())


async def test_one_address_signs_up_so_many_and_no_more(opens: Hosts) -> None:
    host = opens()
    answers = [(await Visitor(host).signs_up()).status_code for _ in range(BY_ADDRESS.burst + 1)]

    assert answers == [200] * BY_ADDRESS.burst + [429]


async def test_where_sign_up_is_closed_nobody_new_comes_in_and_who_is_there_stays(
    ada: Visitor, hosts: tuple[Host, Host]
) -> None:
    await ada.signs_up()
    client, secret = await ada.makes()
    other = Visitor(*hosts)
    await other.sees("/portal/sign-up")

    for host in hosts:
        host.reads(POLICY.replace("sign_up: open", "sign_up: closed"))
        await host.looks()

    assert (await other.sends(**newcomer())).status_code == 403
    assert (await other.sees("/portal/sign-up")).status_code == 403
    assert (await hosts[0].calls(client, secret)).status_code == 200


async def test_without_a_portal_in_the_policy_nothing_registered_acts(
    ada: Visitor, hosts: tuple[Host, Host]
) -> None:
    name = name_of(await ada.signs_up())
    client, secret = await ada.makes()

    for host in hosts:
        host.reads(POLICY.partition("portal:\n  sign_up")[0])
        await host.looks()

    assert (await hosts[0].gets_token(client, secret)).status_code == 401
    assert "is wrong" in (await Visitor(*hosts).signs_in(name, "three loose words")).text
    assert (await ada.sees("/portal/applications")).status_code == 404
    assert (await ada.sees("/portal/sign-up")).status_code == 404


async def test_a_newcomer_asks_for_no_more_than_the_sandbox_at_the_token_endpoint(
    ada: Visitor, hosts: tuple[Host, Host]
) -> None:
    await ada.signs_up()
    client, secret = await ada.makes()
    host = hosts[0]
    await host.looks()

    form = {"grant_type": "client_credentials", "scope": "orders.read orders.write"}
    refused = await host.http.post("/oauth/token", data=form, auth=(client, secret))

    assert refused.json()["error"] == "invalid_scope"
    for path, status in (
        ("/catalog", 403),
        ("/decisions", 403),
        ("/system/salesforce/v1/about", 404),
    ):
        assert (await host.calls(client, secret, path)).status_code in {status, 403}


async def test_a_tighter_sandbox_holds_for_who_is_there_already(
    ada: Visitor, hosts: tuple[Host, Host]
) -> None:
    await ada.signs_up()
    client, secret = await ada.makes()
    host = hosts[0]
    await host.looks()
    token = (await host.gets_token(client, secret)).json()["access_token"]

    host.reads(POLICY.replace("scopes: [orders.read], rows: {customers: []}, days",
                              "scopes: [catalog.read], rows: {entities: [DE]}, days"))  # fmt: skip

    assert (await host.asks(token)).status_code == 403


async def test_a_sandbox_that_is_over_gives_no_token_and_takes_none(
    ada: Visitor, hosts: tuple[Host, Host]
) -> None:
    await ada.signs_up()
    client, secret = await ada.makes()
    host = hosts[0]
    await host.looks()
    await host.calls(client, secret)

    host.clock.advance(30 * DAY - 60)
    await host.looks()
    token = (await host.gets_token(client, secret)).json()["access_token"]
    assert (await host.asks(token)).status_code == 200

    host.clock.advance(61)
    await host.looks()

    assert (await host.gets_token(client, secret)).json()["error"] == "invalid_client"
    assert (await host.asks(token)).status_code == 401


async def test_an_account_of_the_portal_lets_no_application_act_for_it(ada: Visitor) -> None:
    await ada.signs_up()

    page = await ada.sees(asking())
    assert page.status_code == 403
    assert "cannot act for you" in page.text

    allowed = await ada.sends("allow", str(ada.page.request.url.raw_path, "ascii"))
    assert allowed.status_code == 403
    assert BACK not in allowed.headers.get("location", "")


@pytest.mark.parametrize("kind", ["clients", "people"])
async def test_a_file_that_takes_a_registered_name_refuses_the_start(
    ada: Visitor, opens: Hosts, kind: str
) -> None:
    name = name_of(await ada.signs_up())
    client, _ = await ada.makes()
    taken = client if kind == "clients" else name
    entry = {
        "clients": f"  {taken}: {{plan: internal, secret: env:HOME}}\n",
        "people": f'  {taken}: {{password: "home:people.json"}}\n',
    }[kind]

    with pytest.raises(PolicyError) as wrong:
        opens(POLICY.replace(f"{kind}:\n", f"{kind}:\n{entry}", 1))

    [told] = wrong.value.mistakes
    assert f"{kind}.{taken}: this name is registered in the portal" in told
    assert told.startswith("gateway.yaml:")


@pytest.mark.parametrize("field", ["called", "title", "purpose"])
async def test_what_a_newcomer_types_stays_text(ada: Visitor, field: str) -> None:
    evil = '"><script>alert(1)</script><b x="'
    await ada.signs_up(**({"called": evil} if field == "called" else {}))
    client, _ = await ada.makes(**({field: evil} if field != "called" else {}))

    pages = [
        await ada.sees(path) for path in ("/portal/applications", f"/portal/applications/{client}")
    ]

    for page in pages:
        assert "<script>alert" not in page.text
        assert "<b x" not in page.text
        assert "'unsafe" not in page.headers["content-security-policy"]


async def test_nothing_of_a_person_is_in_a_log(ada: Visitor, hosts: tuple[Host, Host]) -> None:
    await ada.signs_up()
    _, secret = await ada.makes(purpose="a purpose of her own")

    told = json.dumps([host.log for host in hosts])

    assert "request" in told
    for private in ("ada@example.com", "three loose words", secret, "purpose of her own"):
        assert private not in told
