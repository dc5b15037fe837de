"""Every page of the portal: reached by links, well formed, nothing inline or from elsewhere."""

from __future__ import annotations

from urllib.parse import urldefrag

import httpx
import pytest

from apis.portal.layout import POLICY
from tests.gateway.bench import ISSUER, Bench
from tests.gateway.portal import Browser
from tests.portal.pages import Page, absolute

ELSEWHERE = ("mailto:", "https://iana.org/", "https://www.iana.org/")


async def crawled(http: httpx.AsyncClient) -> dict[str, httpx.Response]:
    """Every page that links lead to, from the front."""
    found: dict[str, httpx.Response] = {}
    left = ["/portal", "/portal/problems", "/portal/events", "/portal/sign-in"]
    while left:
        path = left.pop()
        if path in found or path.startswith("/oauth/"):
            continue
        answer = found[path] = await http.get(path)
        if answer.headers["content-type"].startswith("text/html"):
            links = [urldefrag(absolute(path, link))[0] for link in Page(answer.text).links]
            left += [link for link in links if link.startswith("/")]
    return found


@pytest.mark.parametrize("person", [None, "ann"])
async def test_every_page_is_there_well_formed_and_with_nothing_inline(
    bench: Bench, person: str | None
) -> None:
    browser = Browser(bench)
    if person:
        await browser.opens("/portal/sign-in")
        await browser.signs_in(person)

    pages = await crawled(browser.http)

    assert len(pages) > (140 if person else 130)
    for path, answer in pages.items():
        assert answer.status_code in {200, 303}, path
        assert answer.headers["content-security-policy"] == POLICY, path
        if answer.headers["content-type"].startswith("text/html") and answer.text:
            page = Page(answer.text)
            assert page.findings() == [], path
            for link in page.links:
                assert link.startswith(("/", "#", *ELSEWHERE)), (path, link)
                if link.startswith("#"):
                    assert link[1:] in page.ids, (path, link)


async def test_who_is_not_of_the_firm_sees_nothing_internal(bench: Bench) -> None:
    pages = await crawled(bench.http)

    assert "/portal/apis/experience/delivery/v1" in pages
    assert not [path for path in pages if "/system/" in path or "/process/" in path]
    for path in (path for path in pages if path.startswith("/portal/apis") or path == "/portal"):
        for word in ("salesforce", "kantata", "netsuite", "deal-to-project", "demo-approver"):
            assert word not in pages[path].text.lower(), (path, word)
    for path in ("/portal/apis/system/kantata", "/portal/apis/process/deal-to-project/v1"):
        assert (await bench.http.get(path)).status_code == 404
        assert (await bench.http.get(f"{path}/openapi.json")).status_code == 404
    assert "deal.won" not in pages["/portal/events"].text


async def test_a_partner_who_signed_in_is_not_of_the_firm(bench: Bench) -> None:
    person = bench.policy.gateway.people["bob"]
    assert person.rows is not None
    browser = Browser(bench)
    await browser.opens("/portal/sign-in")

    page = await browser.signs_in("bob")

    assert ">bob<" in page.text
    assert "Salesforce" not in page.text


@pytest.mark.parametrize(
    ("query", "seen", "unseen"),
    [
        ("q=project+billing", "Deal to project", "Work queue"),
        ("tier=system", "Kantata", "Deal to project"),
        ("state=deprecated", "Delivery", "Kantata"),
        ("state=blocked", "No API fits", "Kantata"),
        ("q=%3Cscript%3Ealert(1)", "&lt;script&gt;", "<script>alert"),
    ],
)
async def test_apis_are_found_without_a_script(
    bench: Bench, query: str, seen: str, unseen: str
) -> None:
    browser = Browser(bench)
    await browser.opens("/portal/sign-in")
    await browser.signs_in()

    page = await browser.opens(f"/portal?{query}")

    assert seen in page.text
    assert unseen not in page.text


async def test_what_a_browser_may_keep_is_only_what_everybody_gets(bench: Bench) -> None:
    assert (await bench.http.get("/portal")).headers["cache-control"] == "no-store"
    kept = (await bench.http.get("/portal/portal.css")).headers["cache-control"]
    assert kept == "public, max-age=3600"


async def test_pages_take_get_alone_and_unknown_ones_are_told_as_pages(bench: Bench) -> None:
    refused = await bench.http.delete("/portal")
    unknown = await bench.http.get("/portal/apis/process/nothing")

    assert refused.status_code == 405
    assert refused.headers["allow"] == "GET"
    assert unknown.status_code == 404
    assert "There is no such page" in unknown.text
    assert (await bench.http.head("/portal")).content == b""


async def test_the_addresses_shown_are_the_gateway_s_own(bench: Bench) -> None:
    page = (await bench.http.get("/portal/apis/experience/delivery/v1")).text

    assert f"curl -sS -X GET &#x27;{ISSUER}/experience/delivery/v1/projects" in page
    document = (await bench.http.get("/portal/apis/experience/delivery/v1/openapi.json")).json()
    assert document["servers"] == [{"url": f"{ISSUER}/experience/delivery/v1"}]
