"""What a policy allows that nobody should run: the demo's clients, no end, no owner, no limits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import date, timedelta
from ipaddress import ip_network

from apis.console.unsafe_keys import parts
from apis.gateway.client_authentication import CLIENTS_FILE
from apis.gateway.listeners import is_loopback
from apis.gateway.people import PEOPLE_FILE
from apis.gateway.policy import Client, Gateway, Modes, place_of
from apis.gateway.windows import plan_limits
from apis.runtime.clients import CALL_S
from apis.runtime.metadata import Connection, Metadata
from apis.runtime.typed_yaml import Finding, Place

DEMO = "demo"
A_YEAR = timedelta(days=366)
WIDEST = {4: 8, 6: 7}
"""The prefixes of the widest private networks, 10.0.0.0/8 and fc00::/7."""
PERIODS = {"s": 1, "min": 60, "h": 3_600, "day": 86_400}


def policy_findings(gateway: Gateway, metadata: Metadata, today: date) -> Iterator[Finding]:
    """Each with its place; the remedy is the end of the line."""
    for name, client in gateway.clients.items():
        yield from client_findings(name, client, today)
    for name, person in gateway.people.items():
        if name.startswith(DEMO) or person.password == f"home:{PEOPLE_FILE}":
            told = "the demo's person, whose password lies in the home: take it out"
            yield ("people", name), told
    yield from plan_findings(gateway)
    yield from balancer_findings(gateway)
    for name, api in gateway.apis.items():
        modes: list[tuple[Place, Modes]] = [(("modes",), api.modes)]
        modes += [
            (("versions", major, "modes"), each.modes) for major, each in api.versions.items()
        ]
        for place, mode in modes:
            for member in ("authorization", "limits", "requests"):
                if (said := getattr(mode, member)) in {"observe", "off"}:
                    told = f"{said}: it is not enforced: leave it out"
                    yield (*place_of(name), *place, member), told
        if not api.owner:
            yield place_of(name), "it has no owner, so nobody is told when it fails: owner: <role>"
    yield from time_findings(gateway, metadata)


def client_findings(name: str, client: Client, today: date) -> Iterator[Finding]:
    """What each client must have: its own secret, an owner and an end."""
    place = ("clients", name)
    if name.startswith(DEMO):
        yield place, "a client of the demo: take it out"
        return
    if f"home:{CLIENTS_FILE}" in client.secrets:
        told = f"made here and kept in {CLIENTS_FILE}: file:/path of a secret of its own, mode 600"
        yield (*place, "secret"), told
    for each in client.redirects:
        url = parts(each)
        if url.scheme != "https":
            told = f"{each} is no https, so its codes can be read on the way: https://..."
            if is_loopback(url.hostname or ""):
                told = f"{each} is this machine: the portal's address"
            yield (*place, "redirects"), told
    if not client.owner:
        yield place, "it has no owner: owner: <who answers for it>"
    if client.until is None:
        yield place, "it never ends: until: <a day within a year>"
    elif client.until < today:
        yield (*place, "until"), "its last day is over: take it out, or agree on another day"
    elif client.until > today + A_YEAR:
        yield (*place, "until"), "its last day is far off: until: <a day within a year>"


def plan_findings(gateway: Gateway) -> Iterator[Finding]:
    """Plans that limit nothing, or stop limiting."""
    for name, plan in gateway.plans.items():
        if plan.rate is None and plan.quota is None:
            yield ("plans", name), "how often is not limited: rate: 600/min"
        if plan.on_store_loss == "open":
            told = "without Redis nothing is limited: leave it out"
            yield ("plans", name, "on_store_loss"), told


def balancer_findings(gateway: Gateway) -> Iterator[Finding]:
    """Networks so wide that callers are in them, and say themselves where they are."""
    for at, balancer in enumerate(gateway.balancers):
        with suppress(ValueError):  # `findings` says that it is no network
            network = ip_network(balancer)
            if network.prefixlen < WIDEST[network.version]:
                told = f"{balancer} is nearly everybody: the networks of your balancers alone"
                yield ("balancers", at), told


def time_findings(gateway: Gateway, metadata: Metadata) -> Iterator[Finding]:
    """Limits above what a vendor allows, and calls that outlast who waits for them."""
    for name, connection in metadata.connections.items():
        api = gateway.apis.get(f"system/{name}")
        if api is None:
            continue
        if connection.deadline_s >= CALL_S:
            told = (
                f"{name} may take {connection.deadline_s:g} s a call, and who asks waits"
                f" {CALL_S:g} s: deadline_s below it, in the metadata"
            )
            yield place_of(f"system/{name}"), told
        scopes = {scope for scope in api.scopes if scope.startswith(f"{name}.")}
        allowed = per_second(connection)
        for client, each in gateway.clients.items():
            asked = fastest(gateway, each.plan)
            if scopes & each.scopes and allowed is not None and asked > allowed:
                told = (
                    f"{asked:g} calls/s of {name}, whose budget is {allowed:g}/s:"
                    " a slower plan, or no scope of it"
                )
                yield ("clients", client, "plan"), told


def per_second(connection: Connection) -> float | None:
    """What a connection's budget allows."""
    if connection.budgets.rate is None:
        return None
    count, _, period = connection.budgets.rate.partition("/")
    return int(count) / PERIODS[period]


def fastest(gateway: Gateway, plan: str) -> float:
    """How often a plan lets a client call, at most."""
    limits = plan_limits(plan, gateway.plans[plan], [])
    return min((each.limit.tokens / each.limit.window for each in limits), default=float("inf"))
