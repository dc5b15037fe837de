"""What people see of their own calls, and nobody sees of another's."""

from __future__ import annotations

import re

import pytest

from apis.portal.own_log import PAGE
from tests.portal.estate import ORDERS, Host, Visitor

Application = tuple[str, str]


@pytest.fixture
async def app(ada: Visitor, hosts: tuple[Host, Host]) -> Application:
    await ada.signs_up()
    made = await ada.makes()
    for host in hosts:
        await host.looks()
    return made


async def calls(host: Host, app: Application, path: str = ORDERS, **headers: str) -> None:
    token = (await host.gets_token(*app)).json()["access_token"]
    given = {"authorization": f"Bearer {token}"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    await host.http.get(path, headers=given)


async def written(hosts: tuple[Host, Host]) -> None:
    for host in hosts:
        await host.decisions.flush()


async def test_every_call_of_any_host_is_listed_with_its_answer(
    ada: Visitor, hosts: tuple[Host, Host], app: Application
) -> None:
    for host in hosts:
        await calls(host, app, x_request_id=f"call-{hosts.index(host)}")
    await calls(hosts[0], app, f"{ORDERS}?nothing=1", x_request_id="call-3")
    await written(hosts)

    page = await ada.sees("/portal/requests")

    for told in ("call-0", "call-1", "call-3", "listOrders", ">200<", ">422<", "validation-failed"):
        assert told in page.text


async def test_one_call_says_what_was_decided_and_leads_to_what_its_problem_means(
    ada: Visitor, hosts: tuple[Host, Host], app: Application
) -> None:
    await calls(hosts[0], app, f"{ORDERS}?nothing=1", x_request_id="call-1")
    await written(hosts)

    page = await ada.sees("/portal/requests/call-1")

    for told in (
        "process/orders", ">v3<", ">listOrders<", "The token has the scope orders.read.",
        "Within the limits of the plan.", '<a href="/problems/validation-failed">',
        "quota: 19 left",
    ):  # fmt: skip
        assert told in page.text


async def test_another_s_call_and_none_look_the_same(
    hosts: tuple[Host, Host], app: Application
) -> None:
    await calls(hosts[0], app, x_request_id="of-ada")
    await hosts[0].http.get(ORDERS, headers=hosts[0].bearer("clerk") | {"x-request-id": "of-clerk"})
    await written(hosts)
    eve = Visitor(*hosts)
    await eve.signs_up()
    await eve.makes()

    answers = [
        await eve.sees(f"/portal/requests/{each}") for each in ("of-ada", "of-clerk", "of-no")
    ]

    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1
    listed = (await eve.sees("/portal/requests")).text
    assert "of-ada" not in listed
    assert "of-clerk" not in listed
    asked = await eve.sees(f"/portal/requests?client={app[0]}")
    assert "of-ada" not in asked.text


async def test_nothing_internal_is_told_of_a_call(
    ada: Visitor, hosts: tuple[Host, Host], app: Application
) -> None:
    await calls(hosts[0], app, f"{ORDERS}/broken", x_request_id="call-1")
    await written(hosts)

    page = await ada.sees("/portal/requests/call-1")

    assert ">500<" in page.text
    for internal in ("secret-canary", "RuntimeError", "gateway.yaml", "127.0.0.1", "plans.small"):
        assert internal not in page.text


CLOSED = "/system/salesforce/v1/deals/0065"
INTERNAL = ("getDeal", "salesforce.read", "getDecision", "decisions.read")


async def test_of_an_api_that_is_not_for_them_only_what_they_sent_is_told(
    ada: Visitor, hosts: tuple[Host, Host], app: Application
) -> None:
    await calls(hosts[0], app, CLOSED, x_request_id="closed-1")
    await calls(hosts[0], app, "/decisions/closed-1", x_request_id="closed-2")
    await written(hosts)

    one, two = [await ada.sees(f"/portal/requests/{each}") for each in ("closed-1", "closed-2")]
    log = await ada.sees("/portal/requests")
    filtered = await ada.sees("/portal/requests?operation=getDeal")
    application = await ada.sees(f"/portal/applications/{app[0]}")

    for page in (one, two):
        for told in (">403<", "insufficient-scope", "An API that is not for you"):
            assert told in page.text
    assert "/system/salesforce/v1/..." in one.text
    assert log.text.count("An API that is not for you") == 2
    assert "No call fits." in filtered.text
    assert "An API that is not for you." in application.text
    for page in (one, two, log, application):
        assert not [word for word in INTERNAL if word in page.text]


async def test_who_is_of_the_firm_is_told_of_every_call(hosts: tuple[Host, Host]) -> None:
    ann = Visitor(*hosts)
    await ann.signs_in("ann")
    app = await ann.makes()
    for host in hosts:
        await host.looks()
    await calls(hosts[0], app, CLOSED, x_request_id="closed-1")
    await written(hosts)

    page = await ann.sees("/portal/requests/closed-1")

    for told in (">getDeal<", ">system/salesforce<", "has not got the scope salesforce.read"):
        assert told in page.text
    assert "closed-1" in (await ann.sees("/portal/requests?operation=getDeal")).text


async def test_calls_are_filtered_by_answer_operation_and_application(
    ada: Visitor, hosts: tuple[Host, Host], app: Application
) -> None:
    await calls(hosts[0], app, x_request_id="good-1")
    await calls(hosts[0], app, f"{ORDERS}?no=1", x_request_id="bad-1")
    await calls(hosts[0], app, f"{ORDERS}/7", x_request_id="one-1")
    await written(hosts)

    found = {
        query: {each for each in ("good-1", "bad-1", "one-1") if each in page.text}
        for query in (
            "status=good", "status=refused", "status=failed", "operation=getOrder",
            f"client={app[0]}", "client=app-0000000000", "status=<script>",
        )
        if (page := await ada.sees(f"/portal/requests?{query.replace('<script>', '%3Cscript%3E')}"))
    }  # fmt: skip

    assert found == {
        "status=good": {"good-1", "one-1"},
        "status=refused": {"bad-1"},
        "status=failed": set(),
        "operation=getOrder": {"one-1"},
        f"client={app[0]}": {"good-1", "bad-1", "one-1"},
        "client=app-0000000000": set(),
        "status=<script>": {"good-1", "bad-1", "one-1"},
    }


async def test_many_calls_come_page_by_page(
    ada: Visitor, hosts: tuple[Host, Host], app: Application
) -> None:
    token = (await hosts[0].gets_token(*app)).json()["access_token"]
    for n in range(PAGE + 3):
        headers = {"authorization": f"Bearer {token}", "x-request-id": f"call-{n:03}"}
        await hosts[0].http.get(f"{ORDERS}?no=1", headers=headers)
    await written(hosts)

    first = await ada.sees("/portal/requests?status=refused")
    assert ids(first.text) == [f"call-{n:03}" for n in range(PAGE + 2, 2, -1)]
    older = re.search(r'href="(/portal/requests\?[^"]*before[^"]*)"', first.text)
    assert older
    second = await ada.sees(older[1].replace("&amp;", "&"))

    assert ids(second.text) == ["call-002", "call-001", "call-000"]
    assert "Older calls" not in second.text


def ids(text: str) -> list[str]:
    return re.findall(r"/portal/requests/(call-\d+)", text)


@pytest.mark.parametrize("before", ["x", "nan", "inf", "-1", "1e400", "%3Cscript%3E"])
async def test_a_page_that_does_not_exist_is_no_error(
    ada: Visitor, app: Application, before: str
) -> None:
    assert app
    assert (await ada.sees(f"/portal/requests?before={before}")).status_code == 200


async def test_an_application_shows_what_it_used_what_is_left_and_why_it_was_refused(
    ada: Visitor, hosts: tuple[Host, Host], app: Application
) -> None:
    for _ in range(3):
        await calls(hosts[0], app)
    await calls(hosts[1], app, "/process/orders/v3/orders/7/lines/1")
    await calls(hosts[0], app, f"{ORDERS}?no=1")
    await written(hosts)

    text = re.sub("<[^>]+>", " ", (await ada.sees(f"/portal/applications/{app[0]}")).text)
    text = " ".join(text.split())

    assert "60 calls a minute 20 calls a day" in text
    assert "15 of 20 calls are left until the quota begins anew" in text
    assert "listOrders process/orders/v3 4 4" in text
    assert "getLine process/orders/v3 1 1" in text
    assert "The request holds values that are not accepted. 1" in text


async def test_a_quota_that_is_used_up_is_told(
    ada: Visitor, hosts: tuple[Host, Host], app: Application
) -> None:
    token = (await hosts[0].gets_token(*app)).json()["access_token"]
    answers = [(await hosts[0].asks(token)).status_code for _ in range(22)]
    await written(hosts)

    page = await ada.sees(f"/portal/applications/{app[0]}")

    assert answers == [200] * 20 + [429] * 2
    assert "0 of 20 calls are left" in page.text
    assert "Used up: the quota of the plan small." in page.text
