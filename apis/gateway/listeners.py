"""`listeners` of gateway.yaml: where the gateway is reached from outside, by TLS and mutual TLS."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address

import msgspec

from apis.runtime.typed_yaml import Finding

HIGHEST_PORT = 65_535
BY_FILE = re.compile("^(file:/|home:).")


class Listener(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One address beside the loopback one; certificates and keys are named, never written."""

    port: int
    """1 to 65535; no two listeners have one host and port."""
    host: str = "127.0.0.1"
    """The address to listen on; one that others can reach needs a `certificate`, or `plain`."""
    certificate: str | None = None
    """`file:/path` or `home:name` of the chain (PEM); read again when it changes. Together with
    `key`."""
    key: str | None = None
    """The same of its private key (PEM): mode 600, no password."""
    client_ca: str | None = None
    """Whose client certificates are accepted; with it, nobody comes in without one."""
    crl: str | None = None
    """The same of the list of revoked client certificates (PEM); beside `client_ca` only."""
    names: tuple[str, ...] = ()
    """For whom those certificates must be (DNS name, URI or common name); empty means anybody."""
    plain: bool = False
    """Without TLS although others can reach it: something in front of it ends TLS."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def listener_problems(listeners: Mapping[str, Listener]) -> Iterator[Finding]:
    """What is wrong with each, and those that want the same address."""
    seen: dict[tuple[str, int], str] = {}
    for name, listener in listeners.items():
        place = ("listeners", name)
        if not 1 <= listener.port <= HIGHEST_PORT:
            yield (*place, "port"), f"a port is 1 to {HIGHEST_PORT}"
        address = (listener.host, listener.port)
        if address in seen:
            yield place, f"{seen[address]} has this address already"
        seen[address] = name
        for member in ("certificate", "key", "client_ca", "crl"):
            reference = getattr(listener, member)
            if reference is not None and not BY_FILE.match(reference):
                yield (*place, member), "a file is named as file:/path or home:name"
        for told in _mismatches(listener):
            yield place, told


def _mismatches(listener: Listener) -> Iterator[str]:
    if bool(listener.certificate) != bool(listener.key):
        yield "a certificate and its key belong together"
    if listener.certificate and listener.plain:
        yield "`plain` and a certificate exclude each other"
    if listener.client_ca and not listener.certificate:
        yield "`client_ca` needs TLS: name a certificate and a key"
    if (listener.crl or listener.names) and not listener.client_ca:
        yield "`crl` and `names` are about client certificates: name their `client_ca`"
    if not listener.certificate and not listener.plain and not is_loopback(listener.host):
        yield (
            "others can reach this address: name a certificate and a key, "
            "or say `plain: true` if something in front of it ends TLS"
        )
