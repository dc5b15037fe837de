"""Balancers in front of us: the networks that are believed when they say who asks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from apis.gateway.guard import Scope
from apis.runtime.typed_yaml import Finding

Network = IPv4Network | IPv6Network
SITE = 64
"""The part of an IPv6 address that one caller cannot choose."""


def balancer_problems(balancers: Iterable[str]) -> Iterator[Finding]:
    """What is no network."""
    for index, balancer in enumerate(balancers):
        try:
            ip_network(balancer)
        except ValueError:
            yield ("balancers", index), f"{balancer}: a network is written like 10.0.0.0/8"


def caller_of(scope: Scope, balancers: Iterable[Network]) -> str:
    """Where a caller is; `X-Forwarded-For` is read from its end while a balancer vouches for it."""
    named = b",".join([value for name, value in scope["headers"] if name == b"x-forwarded-for"])
    hops = named.decode("latin-1").split(",") if named else []
    caller = str((scope.get("client") or ("",))[0])
    while hops and _is_among(caller, balancers):
        caller = _without_port(hops.pop().strip())
    return _site_of(caller)


def _is_among(caller: str, balancers: Iterable[Network]) -> bool:
    try:
        address = ip_address(caller)
    except ValueError:
        return False
    plain = getattr(address, "ipv4_mapped", None) or address
    return any(plain in each for each in balancers)


def _without_port(hop: str) -> str:
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def _site_of(caller: str) -> str:
    try:
        address = ip_address(caller)
    except ValueError:
        return caller
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(IPv6Network((int(address) >> SITE << SITE, SITE)))
    return caller
