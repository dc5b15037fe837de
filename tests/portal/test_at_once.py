"""Forms that several hosts take at the same moment: each limit holds, each decision is one."""

from __future__ import annotations

import asyncio
import re

import httpx

from tests.gateway.bench import ISSUER
from tests.gateway.portal import TOKEN
from tests.portal.estate import Host, Visitor

Hosts = tuple[Host, Host]


async def at_once(hosts: Hosts, who: Visitor, path: str, *forms: dict[str, str]) -> list[int]:
    """The answers to forms of one browser, sent together to the hosts in turn."""
    found = TOKEN.search(who.page.text)
    assert found
    token, cookies = found[1], dict(who.cookies)

    async def sent(host: Host, form: dict[str, str]) -> int:
        transport = httpx.ASGITransport(host.app)
        async with httpx.AsyncClient(
            transport=transport, base_url=ISSUER, cookies=cookies, headers={"origin": ISSUER}
        ) as http:
            return (await http.post(path, data={"token": token} | form)).status_code

    sending = [sent(hosts[n % 2], form) for n, form in enumerate(forms)]
    return sorted(await asyncio.gather(*sending))


async def test_what_is_sent_many_times_at_once_counts_as_often_as_it_may(
    ada: Visitor, hosts: Hosts
) -> None:
    await ada.signs_up()
    await ada.sees("/portal/applications/new")
    made = {"title": "Shop", "purpose": "To see orders"}
    assert (
        await at_once(hosts, ada, "/portal/applications/new", *[made] * 8) == [200] * 2 + [409] * 6
    )

    page = await ada.sees("/portal/applications")
    own = re.findall('href="(/portal/applications/app-[0-9a-f]+)"', page.text)[0]
    await ada.sees(own)
    assert await at_once(hosts, ada, own, *[{"action": "new-secret"}] * 4) == [200] + [409] * 3
    wish = {"action": "ask", "plan": "internal", "api": "", "reason": "We sell."}
    assert await at_once(hosts, ada, f"{own}/access", *[wish] * 4) == [303] + [409] * 3


async def test_of_many_decisions_at_once_one_counts(ada: Visitor, hosts: Hosts) -> None:
    await ada.signs_up()
    client, _ = await ada.makes()
    await ada.asks_for(client)
    bob = Visitor(*hosts)
    await bob.signs_in("bob")
    page = await bob.sees("/portal/approvals")
    [wish] = re.findall('href="(/portal/approvals/[0-9a-f]+)"', page.text)
    await bob.sees(wish)

    decisions = [{"action": action, "answer": "x"} for action in ("approve", "reject") * 3]
    assert await at_once(hosts, bob, wish, *decisions) == [303] + [409] * 5
