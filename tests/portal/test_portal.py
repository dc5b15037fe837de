"""The portal's frame: what is around a page, who it is for, and how people come in."""

from __future__ import annotations

import pytest

from apis.portal.layout import SIGN_IN_PATH
from tests.gateway.bench import Bench
from tests.gateway.portal import Browser


async def test_a_person_signs_in_at_the_portal_and_goes_on_to_where_they_came_from(
    bench: Bench,
) -> None:
    browser = Browser(bench)
    await browser.opens(f"{SIGN_IN_PATH}?next=/portal/events")

    page = await browser.signs_in()

    assert page.request.url.path == "/portal/events"
    assert ">ann<" in page.text


@pytest.mark.parametrize("to", ["https://evil.example", "//evil.example", "/portal\\@evil", "/x"])
async def test_signing_in_leads_to_no_other_site(bench: Bench, to: str) -> None:
    browser = Browser(bench)
    await browser.http.get(SIGN_IN_PATH, params={"next": to})
    await browser.opens(SIGN_IN_PATH)

    page = await browser.signs_in()

    assert page.request.url.path == "/portal"


async def test_a_wrong_password_is_told_and_a_form_from_elsewhere_is_refused(bench: Bench) -> None:
    browser = Browser(bench)
    await browser.opens(SIGN_IN_PATH)

    assert (await browser.signs_in("ann", "wrong")).status_code == 401
    elsewhere = {"origin": "https://evil.example"}
    sent = await browser.http.post(SIGN_IN_PATH, data={"name": "ann"}, headers=elsewhere)
    assert sent.status_code == 403
