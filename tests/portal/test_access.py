"""More than the sandbox: asked for by one person, decided by another, once, and told to both."""

from __future__ import annotations

import re

import pytest
import sqlalchemy as sa

from apis.runtime.audit import AUDIT
from apis.runtime.store import Store
from tests.portal.estate import POLICY, Host, Visitor, name_of
from tests.portal.pages import Page

Application = tuple[str, str]


@pytest.fixture
async def app(ada: Visitor, hosts: tuple[Host, Host]) -> Application:
    await ada.signs_up()
    made = await ada.makes()
    for host in hosts:
        await host.looks()
    return made


@pytest.fixture
async def bob(hosts: tuple[Host, Host]) -> Visitor:
    """Who decides."""
    bob = Visitor(*hosts)
    await bob.signs_in("bob")
    return bob


async def opens_the_wish(approver: Visitor) -> str:
    page = await approver.sees("/portal/approvals")
    found = re.search("/portal/approvals/[0-9a-f]+", page.text)
    assert found, page.text
    await approver.sees(found[0])
    return found[0]


async def test_what_another_person_approves_is_given_within_a_second(
    ada: Visitor, bob: Visitor, hosts: tuple[Host, Host], app: Application
) -> None:
    client, secret = app
    assert ">open<" in (await ada.asks_for(client)).text

    await opens_the_wish(bob)
    await bob.sends("approve", customers="C-1, C-2", answer="Welcome.")

    for host in hosts:
        await host.looks()
        context = (await host.calls(client, secret)).json()["context"]
        assert context["scopes"] == ["orders.read", "orders.write"]
        assert context["rows"] == {"customers": ["C-1", "C-2"]}
    page = await ada.sees(f"/portal/applications/{client}")
    for told in (">approved<", ">bob<", "Welcome.", ">granted<", "100,000 calls a minute"):
        assert told in page.text


async def test_what_is_granted_does_not_end_with_the_sandbox(
    ada: Visitor, bob: Visitor, hosts: tuple[Host, Host], app: Application
) -> None:
    client, secret = app
    await ada.asks_for(client)
    await opens_the_wish(bob)
    await bob.sends("approve")

    hosts[0].clock.advance(31 * 86_400)
    await hosts[0].looks()

    context = (await hosts[0].calls(client, secret)).json()["context"]
    assert context["rows"] == {"customers": []}


async def test_what_is_rejected_says_why_and_changes_nothing(
    ada: Visitor, bob: Visitor, hosts: tuple[Host, Host], app: Application
) -> None:
    client, secret = app
    await ada.asks_for(client)
    wish = await opens_the_wish(bob)

    assert (await bob.sends("reject")).status_code == 422
    await bob.sends("reject", wish, answer="Whose orders are these?")

    for host in hosts:
        await host.looks()
    page = await ada.sees(f"/portal/applications/{client}")
    for told in (">rejected<", ">bob<", "Whose orders are these?", ">sandbox<"):
        assert told in page.text
    assert (await hosts[0].calls(client, secret)).json()["context"]["scopes"] == ["orders.read"]
    assert ">open<" in (await ada.asks_for(client, reason="Our own.")).text


@pytest.mark.parametrize(
    ("action", "typed", "field", "said"),
    [
        ("approve", {"answer": "x" * 1_001}, "answer", "At most 1000 characters."),
        ("approve", {"answer": "\u202eevil"}, "answer", "Control and direction characters"),
        ("approve", {"entities": "DE NOSUCH"}, "entities", "There is no legal entity NOSUCH."),
        ("approve", {"customers": "C-1\u202e"}, "customers", "An id has at most 200 characters"),
        ("approve", {"customers": "C" * 201}, "customers", "An id has at most 200 characters"),
        ("approve", {"customers": " ".join(map(str, range(51)))}, "customers", "At most 50 ids."),
        ("reject", {"answer": ""}, "answer", "Say why you reject it"),
        ("reject", {"answer": "x" * 1_001}, "answer", "At most 1000 characters."),
    ],
)
async def test_a_decision_with_a_mistake_decides_nothing_and_nobody_types_it_again(  # noqa: PLR0917 - a case
    ada: Visitor, bob: Visitor, app: Application, action: str, typed: dict[str, str], field: str,
    said: str,
) -> None:  # fmt: skip
    await ada.asks_for(app[0])
    await opens_the_wish(bob)
    given = {"customers": "C-1", "entities": "DE", "answer": "Welcome."} | typed

    page = await bob.sends(action, **given)

    assert page.status_code == 422
    assert re.search(rf'id="{field}-error">{said}', page.text)
    assert page.text.count('aria-invalid="true"') == 1
    assert f'value="{given["customers"]}"' in page.text
    assert f'value="{given["entities"]}"' in page.text
    assert f">\n{given['answer']}</textarea>" in page.text
    assert Page(page.text).findings() == []
    assert ">open<" in (await ada.sees(f"/portal/applications/{app[0]}")).text


async def test_who_decides_is_told_which_legal_entities_there_are(
    ada: Visitor, bob: Visitor, hosts: tuple[Host, Host], app: Application
) -> None:
    client, secret = app
    await ada.asks_for(client)
    await opens_the_wish(bob)
    assert "of DE, UK." in bob.page.text
    assert "They are not checked" in bob.page.text

    await bob.sends("approve", customers="C-1", entities="UK,DE")

    await hosts[0].looks()
    context = (await hosts[0].calls(client, secret)).json()["context"]
    assert context["rows"] == {"customers": ["C-1"], "entities": ["UK", "DE"]}


async def test_who_asked_takes_it_back(ada: Visitor, bob: Visitor, app: Application) -> None:
    await ada.asks_for(app[0])
    wish = await opens_the_wish(bob)

    which = wish.rpartition("/")[2]
    await ada.sends("withdraw", f"/portal/applications/{app[0]}/access", which=which)

    assert ">withdrawn<" in ada.page.text
    assert (await bob.sends("approve", wish)).status_code == 409


@pytest.mark.parametrize("second", ["approve", "reject"])
async def test_a_decision_is_made_once(
    ada: Visitor, bob: Visitor, hosts: tuple[Host, Host], app: Application, second: str
) -> None:
    await ada.asks_for(app[0])
    wish = await opens_the_wish(bob)
    ann = Visitor(*hosts)
    await ann.signs_in("ann")
    await ann.sees(wish)
    await bob.sends("approve")

    late = await ann.sends(second, wish, answer="No.")

    assert late.status_code == 409
    assert "Somebody decided on this already" in late.text


async def test_nobody_decides_on_their_own(hosts: tuple[Host, Host]) -> None:
    bob = Visitor(*hosts)
    await bob.signs_in("bob")
    client, _ = await bob.makes()
    await bob.asks_for(client)
    wish = await opens_the_wish(bob)

    assert "Who asks does not decide" in bob.page.text
    for action in ("approve", "reject"):
        await bob.sees("/portal/applications/new")
        refused = await bob.sends(action, wish, answer="To me.")
        assert refused.status_code == 403


@pytest.mark.parametrize("email", ["Ann@example.com", "ann+two@EXAMPLE.com"])
async def test_nobody_decides_on_what_they_asked_by_another_account(
    hosts: tuple[Host, Host], email: str
) -> None:
    newcomer, ann = Visitor(*hosts), Visitor(*hosts)
    await newcomer.signs_up(email=email)
    client, _ = await newcomer.makes()
    await newcomer.asks_for(client)
    await ann.signs_in("ann")  # whose person is ann@example.com

    wish = await opens_the_wish(ann)
    assert "Who asks does not decide" in ann.page.text
    await ann.sees("/portal/applications/new")

    assert (await ann.sends("approve", wish)).status_code == 403


async def test_without_the_role_nobody_sees_what_others_ask_for(
    ada: Visitor, bob: Visitor, app: Application
) -> None:
    await ada.asks_for(app[0])
    wish = await opens_the_wish(bob)

    assert (await ada.sees("/portal/approvals")).status_code == 403
    assert (await ada.sees(wish)).status_code == 403
    await ada.sees("/portal/applications/new")
    assert (await ada.sends("approve", wish)).status_code == 403


@pytest.mark.parametrize(
    "wish",
    [
        {"plan": "small"},
        {"plan": "nothing"},
        {"plan": ""},
        {"api": "system/salesforce"},
        {"api": "process/nothing"},
        {"reason": ""},
        {"reason": "A" * 1001},
        {"reason": "\u202eevil"},
    ],
)
async def test_only_what_is_offered_may_be_asked_for_and_never_without_a_reason(
    ada: Visitor, app: Application, wish: dict[str, str]
) -> None:
    page = await ada.asks_for(app[0], **wish)

    assert page.status_code == 422
    typed = wish.get("reason", "We sell.")
    assert f">\n{typed}</textarea>" in page.text  # nobody types it again


async def test_one_thing_is_asked_for_at_a_time(ada: Visitor, app: Application) -> None:
    page = await ada.asks_for(app[0])
    assert page.status_code == 200
    assert (await ada.asks_for(app[0])).status_code == 409


async def test_what_the_policy_takes_back_is_gone_for_who_was_granted_it(
    ada: Visitor, bob: Visitor, hosts: tuple[Host, Host], app: Application
) -> None:
    client, secret = app
    await ada.asks_for(client)
    await opens_the_wish(bob)
    await bob.sends("approve")
    host = hosts[0]
    await host.looks()

    host.reads(POLICY.replace("audience: partner", "audience: internal"))
    context = (await host.calls(client, secret)).json()["context"]
    assert context["scopes"] == ["orders.read"]

    host.reads(POLICY.replace("plans: [internal]", "plans: []"))
    assert (await host.gets_token(client, secret)).status_code == 401


async def test_what_is_offered_no_more_cannot_be_approved(
    ada: Visitor, bob: Visitor, hosts: tuple[Host, Host], app: Application
) -> None:
    await ada.asks_for(app[0])
    await opens_the_wish(bob)
    for host in hosts:
        host.reads(POLICY.replace("plans: [internal]", "plans: []"))

    assert (await bob.sends("approve")).status_code == 422


async def test_a_deleted_application_asks_for_nothing(
    ada: Visitor, bob: Visitor, app: Application
) -> None:
    await ada.asks_for(app[0])
    wish = await opens_the_wish(bob)

    await ada.presses(app[0], "delete", sure="yes")

    assert (await bob.sends("approve", wish)).status_code == 409
    assert "The application was deleted" in (await bob.sees(wish)).text


async def test_a_form_from_elsewhere_decides_nothing(
    ada: Visitor, bob: Visitor, app: Application
) -> None:
    await ada.asks_for(app[0])
    wish = await opens_the_wish(bob)

    refused = await bob.posts(wish, {"action": "approve", "token": "0" * 64})

    assert refused.status_code == 403
    assert ">open<" in (await ada.sees(f"/portal/applications/{app[0]}")).text


async def test_every_step_is_in_the_audit_with_who_took_it(
    ada: Visitor, bob: Visitor, store: Store, app: Application
) -> None:
    await ada.asks_for(app[0], reason="canary in the reason")
    await opens_the_wish(bob)
    await bob.sends("approve", customers="C-1", answer="canary in the answer")
    ada_s = name_of(await ada.sees("/portal/applications"))

    rows = store.read_now(lambda each: each.execute(sa.select(AUDIT["gateway"])).all())

    told = [(row.actor, row.action) for row in rows if row.key == app[0]][2:]
    assert told == [
        (ada_s, "access.asked"),
        ("bob", "access.approved"),
        ("bob", "application.granted"),
    ]
    assert '"customers":["C-1"]' in rows[-1].detail
    assert "canary" not in "".join(map(str, rows))


@pytest.mark.parametrize("field", ["reason", "answer", "customers"])
async def test_what_is_typed_stays_text(
    ada: Visitor, bob: Visitor, app: Application, field: str
) -> None:
    evil = '"><script>alert(1)</script>'
    await ada.asks_for(app[0], **({"reason": evil} if field == "reason" else {}))
    wish = await opens_the_wish(bob)
    await bob.sends("approve", **({field: evil} if field != "reason" else {}))

    pages = [
        await ada.sees(f"/portal/applications/{app[0]}"),
        await bob.sees("/portal/approvals"),
        await bob.sees(wish),
    ]

    assert not any("<script>alert" in page.text for page in pages)
