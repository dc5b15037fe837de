"""People who sign in: their browser, and what other sites try with it."""

from __future__ import annotations

from ipaddress import ip_network

import httpx
import pytest

from apis.gateway.balancers import caller_of
from apis.gateway.guard import Scope
from apis.gateway.people import BY_ADDRESS, BY_BOTH, BY_PERSON, SESSION_S
from tests.gateway.bench import ISSUER, PASSWORD, Bench
from tests.gateway.portal import BACK, Browser, asking, came_back, token_of


@pytest.fixture
async def browser(bench: Bench) -> Browser:
    browser = Browser(bench)
    await browser.opens(asking())
    return browser


async def test_a_person_signs_in_consents_and_is_sent_back(browser: Browser) -> None:
    consent = await browser.signs_in()
    assert "Allow portal to act for you?" in consent.text
    assert "See orders" in consent.text

    back = await browser.sends("allow")

    assert back.headers["location"].startswith(f"{BACK}?code=")
    assert came_back(back)["state"] == "s-1"


async def test_who_said_no_is_sent_back_without_a_code(browser: Browser) -> None:
    await browser.signs_in()

    assert came_back(await browser.sends("deny"))["error"] == "access_denied"


@pytest.mark.parametrize(("name", "password"), [("ann", "wrong"), ("nobody", PASSWORD), ("", "")])
async def test_a_wrong_name_and_a_wrong_password_look_the_same(
    browser: Browser, name: str, password: str
) -> None:
    page = await browser.signs_in(name, password)

    assert page.status_code == 401
    assert (
        '<p class="error" id="error" role="alert">The name or the password is wrong.' in page.text
    )
    assert "<title>Error: Sign in" in page.text
    assert 'aria-invalid="true" aria-describedby="error"' in page.text


async def test_what_a_person_types_stays_text(browser: Browser) -> None:
    page = await browser.signs_in('"><script>alert(1)</script>', "x")

    assert "<script" not in page.text
    assert 'value="&quot;&gt;&lt;script&gt;' in page.text


async def test_too_many_attempts_wait_even_with_the_right_password(
    browser: Browser, bench: Bench
) -> None:
    for _ in range(BY_BOTH.burst):
        assert (await browser.signs_in("ann", "wrong")).status_code == 401

    stopped = await browser.signs_in()
    assert stopped.status_code == 429
    assert 1 <= int(stopped.headers["retry-after"]) <= BY_BOTH.window
    assert (await browser.signs_in("bob")).status_code == 200

    bench.clock.advance(int(stopped.headers["retry-after"]) + 1)
    another = Browser(bench)
    await another.opens(asking())
    assert (await another.signs_in()).status_code == 200


async def test_signing_in_often_locks_nobody_out_and_hides_no_guess(bench: Bench) -> None:
    person = "ann", PASSWORD, asked_from("192.0.2.1")
    often = [await bench.people.tried(*person) for _ in range(BY_BOTH.burst + 2)]
    guesses = [await bench.people.tried("ann", "wrong", person[2]) for _ in range(BY_BOTH.burst)]

    assert set(often) == {(True, 0.0)}
    assert set(guesses) == {(False, 0.0)}
    assert (await bench.people.tried(*person))[1] > 0


async def test_right_passwords_cost_the_address_they_come_from(bench: Bench) -> None:
    asked = asked_from("192.0.2.1")
    for n in range(BY_ADDRESS.burst - 1):
        await bench.people.wait(f"person-{n}", asked)

    assert await bench.people.tried("ann", PASSWORD, asked) == (True, 0.0)
    assert (await bench.people.tried("ann", PASSWORD, asked))[1] > 0


async def test_who_guesses_a_password_does_not_lock_out_whose_it_is(bench: Bench) -> None:
    attempts = [await bench.people.wait("ann", asked_from("192.0.2.9")) for _ in range(300)]

    assert attempts[-1] > 0
    assert await bench.people.wait("ann", asked_from("192.0.2.1")) == 0


async def test_many_addresses_together_guess_slowly(bench: Bench) -> None:
    waits = [
        await bench.people.wait("ann", asked_from(f"192.0.2.{n}")) for n in range(BY_PERSON.burst)
    ]

    assert set(waits) == {0}
    assert 0 < await bench.people.wait("ann", asked_from("198.51.100.1")) <= BY_PERSON.step


async def test_one_address_cannot_try_everybody(bench: Bench) -> None:
    asked = asked_from("192.0.2.9")
    waits = [await bench.people.wait(f"person-{n}", asked) for n in range(BY_ADDRESS.burst + 1)]

    assert [wait > 0 for wait in waits] == [False] * BY_ADDRESS.burst + [True]


@pytest.mark.parametrize(
    ("peer", "forwarded", "caller"),
    [
        ("192.0.2.9", "", "192.0.2.9"),
        ("192.0.2.9", "198.51.100.1", "192.0.2.9"),
        ("10.0.0.2", "", "10.0.0.2"),
        ("10.0.0.2", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.2", "203.0.113.7, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.2", "198.51.100.1, 10.0.0.3", "198.51.100.1"),
        ("10.0.0.2", "198.51.100.1:4711", "198.51.100.1"),
        ("::ffff:10.0.0.2", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.2", "[2001:db8:0:1::7]:4711", "2001:db8:0:1::/64"),
        ("2001:db8:0:1::8", "", "2001:db8:0:1::/64"),
    ],
)
def test_only_a_balancer_of_ours_says_who_asks(peer: str, forwarded: str, caller: str) -> None:
    assert caller_of(asked_from(peer, forwarded), [ip_network("10.0.0.0/8")]) == caller


def asked_from(peer: str, forwarded: str = "") -> Scope:
    """A request from an address, with what is said on the way about whose it is."""
    return {"client": (peer, 1), "headers": [(b"x-forwarded-for", forwarded.encode())]}


async def test_a_session_s_cookie_is_new_and_no_script_reads_it(browser: Browser) -> None:
    before = browser.http.cookies["throughline"]
    token = token_of(browser)
    data = {"token": token, "action": "sign-in", "name": "ann", "password": PASSWORD}

    page = await browser.http.post(browser.page.url, data=data)

    cookie = page.headers["set-cookie"]
    assert before not in cookie
    assert cookie.endswith("; Path=/; HttpOnly; SameSite=Lax")


async def test_a_session_ends_after_its_time_and_when_it_is_signed_out(
    browser: Browser, bench: Bench
) -> None:
    await browser.signs_in()
    assert "Allow portal" in (await browser.opens(asking())).text

    bench.clock.advance(SESSION_S + 1)
    assert "Sign in" in (await browser.opens(asking())).text

    await browser.signs_in()
    stolen = browser.http.cookies["throughline"]
    await browser.opens("/oauth/sign-out")
    assert "You are signed out" in (await browser.sends("sign-out")).text
    browser.http.cookies.set("throughline", stolen)
    assert "Sign in" in (await browser.opens(asking())).text


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:8080.evil.example"},
        {"origin": "", "sec-fetch-site": "cross-site"},
        {"origin": "", "sec-fetch-site": "same-site"},
    ],
    ids=str,
)
async def test_consent_cannot_be_given_from_another_site(
    browser: Browser, headers: dict[str, str]
) -> None:
    await browser.signs_in()
    token = token_of(browser)

    answer = await browser.http.post(
        asking(), data={"token": token, "action": "allow"}, headers=headers
    )

    assert answer.status_code == 403
    assert "location" not in answer.headers


@pytest.mark.parametrize("token", ["", "0" * 64, None])
async def test_consent_needs_the_token_of_the_page(browser: Browser, token: str | None) -> None:
    await browser.signs_in()
    data = {"action": "allow"} | ({} if token is None else {"token": token})

    assert (await browser.http.post(asking(), data=data)).status_code == 403


async def test_the_token_of_another_browser_is_none(browser: Browser, bench: Bench) -> None:
    await browser.signs_in()
    other = Browser(bench)
    await other.opens(asking())
    token = token_of(other)

    answer = await browser.http.post(asking(), data={"token": token, "action": "allow"})

    assert answer.status_code == 403


async def test_a_page_gives_nothing_to_scripts_and_frames(browser: Browser) -> None:
    headers = browser.page.headers

    assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'; ")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"
    assert "<script" not in browser.page.text
    assert "style=" not in browser.page.text


async def test_over_tls_the_cookie_is_the_host_s_alone(bench: Bench) -> None:
    bench.tokens.issuer = "https://127.0.0.1:8080"
    bench.app.use(type(bench.app.front)(bench.policy, bench.app.front.targets, bench.edge))
    transport = httpx.ASGITransport(bench.app)

    async with httpx.AsyncClient(transport=transport, base_url=ISSUER) as http:
        page = await http.get(asking())

    assert page.headers["set-cookie"].startswith("__Host-throughline=")
    assert page.headers["set-cookie"].endswith("; Path=/; HttpOnly; SameSite=Lax; Secure")
    assert page.headers["strict-transport-security"] == "max-age=31536000"
