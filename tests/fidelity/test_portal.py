"""The portal in a browser, from signing up to the first good answer and on, at two widths."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from playwright.sync_api import Browser, expect

from tests.fidelity.browser import DESKTOP, PHONE, House, Person, asking, browser, house, packages

FIVE_MINUTES = 300
A_SECOND = 1.0
People = Callable[..., Person]


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("home")) as opened:
        yield opened


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = packages(tmp_path_factory.mktemp("axe"))
    return (folder / "axe-core/axe.min.js").read_text()


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture
def people(deployment: House, chrome: Browser, axe: str) -> Iterator[People]:
    """People at browsers, who look at every page at two widths."""
    came: list[Person] = []

    def person(**options: Any) -> Person:
        came.append(Person(deployment, chrome, axe, sizes=(PHONE, DESKTOP), **options))
        return came[-1]

    yield person
    for each in came:
        each.close()


def token(house: House, client: str, secret: str) -> requests.Response:
    """What the gateway says to a credential."""
    form = {"grant_type": "client_credentials"}
    return requests.post(f"{house.url}/oauth/token", form, auth=(client, secret), timeout=10)


def called(house: House, client: str, secret: str) -> requests.Response:
    """A token for a credential, which counts when its page is shown, then a call with it."""
    given = token(house, client, secret)
    assert given.status_code == 200, given.text
    bearer = {"Authorization": f"Bearer {given.json()['access_token']}"}
    return requests.get(f"{house.url}/experience/delivery/v2/projects", headers=bearer, timeout=10)


def test_a_newcomer_goes_from_nothing_to_a_granted_application(
    people: People, deployment: House
) -> None:
    ada = people()
    began = time.monotonic()

    ada.opens("/portal")
    name = ada.signs_up("Ada")
    client, secret = ada.makes("Shop window")
    pasted = ada.page.locator("pre code").inner_text()
    ada.follows("try it in the browser")
    first_good_answer_in_the_browser(ada, client, secret)
    assert time.monotonic() - began < FIVE_MINUTES

    answer = subprocess.run(["sh", "-c", pasted], capture_output=True, text=True, check=True)
    assert answer.stdout.startswith("HTTP/1.1 200")

    ada.opens(f"/portal/applications/{client}")
    expect(ada.page.get_by_text("listProjects answered well")).to_be_visible()
    looks_at_a_call(ada)
    replaces_the_secret(ada, deployment, client, secret)
    asks_and_is_granted(ada, people(), deployment, client, name)


def first_good_answer_in_the_browser(ada: Person, client: str, secret: str) -> None:
    page = ada.page
    assert page.get_by_label("Client id", exact=True).input_value() == client
    ada.fills(Client_secret=secret)
    page.get_by_role("button", name="Get a token").click()
    expect(page.locator("#token-told")).to_contain_text("A token for projects.read")
    operation = page.locator("#listProjects")
    operation.get_by_text("Try it", exact=True).click()
    operation.get_by_role("button", name="Send").click()
    expect(operation.locator(".answer .badge")).to_have_text("200 OK")
    ada.looks()


def looks_at_a_call(ada: Person) -> None:
    ada.follows("see its calls")
    rows = ada.page.locator("tbody tr")
    expect(rows.first).to_contain_text("200")
    with ada.page.expect_navigation():
        rows.filter(has_text="listProjects").first.get_by_role("link").click()
    ada.looks()
    expect(ada.page.get_by_text("The token has the scope projects.read.")).to_be_visible()


def replaces_the_secret(ada: Person, house: House, client: str, old: str) -> None:
    ada.opens(f"/portal/applications/{client}")
    ada.presses("Make a second secret")
    _, new = ada.shown()
    assert called(house, client, old).status_code == 200
    assert called(house, client, new).status_code == 200
    ada.opens(f"/portal/applications/{client}")
    first = ada.page.get_by_role("button", name="Retire").first.inner_text()
    ada.presses(first)
    end = time.monotonic() + A_SECOND
    while (refused := token(house, client, old)).status_code == 200:
        assert time.monotonic() < end, "the old secret is good for more than a second"
        assert called(house, client, new).status_code == 200
    assert refused.json()["error"] == "invalid_client"
    assert called(house, client, new).status_code == 200


def asks_and_is_granted(ada: Person, owner: Person, house: House, client: str, name: str) -> None:
    ada.opens(f"/portal/applications/{client}")
    ada.unfolds("Ask for more")
    ada.looks()
    ada.page.get_by_label("Scopes of").select_option("experience/delivery")
    ada.fills(Why="We show the projects of our customer C-1.")
    ada.presses("Ask for it")
    expect(ada.page.get_by_text("open", exact=True)).to_be_visible()

    owner.signs_in("demo-owner", house.password("demo-owner"), "/portal/approvals")
    wish = owner.page.locator("main li").filter(has_text=client).first
    with owner.page.expect_navigation():
        wish.get_by_role("link").first.click()
    owner.looks()
    expect(owner.page.get_by_text(f"Ada ({name})")).to_be_visible()
    owner.fills(Customers="C-1", Answer="Welcome.")
    owner.presses("Approve")

    ada.opens(f"/portal/applications/{client}")
    for told in ("granted", "approved", "demo-owner", "Welcome."):
        expect(ada.page.get_by_text(told, exact=told == "granted").first).to_be_visible()
    expect(ada.page.get_by_text("60 calls a minute")).to_be_visible()


def test_a_person_signs_in_and_consents(people: People, deployment: House) -> None:
    person = people()
    person.opens(asking(deployment))
    person.fills(Name="demo-person", Password="not this")
    person.page.get_by_role("button", name="Sign in").click()
    expect(person.page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
    person.looks()
    person.wrong = [told for told in person.wrong if "status of 401" not in told]
    person.fills(Name="demo-person", Password=deployment.password("demo-person"))
    person.presses("Sign in")
    expect(person.page.get_by_text("Allow demo-portal to act for you?")).to_be_visible()
    with person.page.expect_navigation(url=f"{deployment.back}*"):
        person.page.get_by_role("button", name="Allow", exact=True).click()

    brought = parse_qs(urlsplit(person.page.url).query)
    assert brought["state"] == ["s-1"]
    assert brought["code"]
    person.opens("/oauth/sign-out")
    person.presses("Sign out")


def test_every_page_that_anybody_may_read_is_fit_to_be_read(people: People) -> None:
    reader = people()
    for path in ("/portal", "/portal/sign-in", "/portal/sign-up", "/portal/events"):
        reader.opens(path)
    reader.opens("/portal/problems")
    reader.opens("/problems/rate-limited")
    reader.opens("/portal/apis/experience/delivery")
    reader.opens("/portal/apis/experience/delivery/v1")


def test_nothing_of_it_needs_a_script(people: People, deployment: House) -> None:
    ada = people(java_script_enabled=False)
    page = ada.page
    page.goto("/portal/sign-up")
    ada.fills(Your_name="Ada", Password="three loose words", **{"E-mail": "ada@example.com"})
    ada.fills(The_same_password_again="three loose words")
    page.get_by_label("I accept these terms").check()
    page.get_by_role("button", name="Sign up").click()
    page.get_by_role("link", name="New application").click()
    ada.fills(Name="Plain", What_for="No script.")
    page.get_by_role("button", name="Make it").click()

    assert called(deployment, *ada.shown()).status_code == 200
