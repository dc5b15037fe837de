"""The sandboxes the demo starts: of each vendor whose connections lead to this machine."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import msgspec

from apis.console.processes import Part
from apis.runtime.clock import LOOPBACK
from apis.runtime.metadata import Connection, Metadata
from apis.runtime.references import resolve

TITLES = {"salesforce": "Salesforce", "kantata": "Kantata", "netsuite": "NetSuite"}
VARIABLE = "env:"


class Wanted(NamedTuple):
    """A vendor's sandbox as a process, and the variables that lead its connections there."""

    vendor: str
    part: Part
    variables: frozenset[str]

    def told(self, part: Part) -> dict[str, str]:
        """The environment of whoever is to call it, wherever it runs."""
        return dict.fromkeys(self.variables, part.url())


def title_of(vendor: str) -> str:
    """What people call a system."""
    return TITLES.get(vendor, vendor.capitalize())


def wanted(metadata: Metadata, env: Mapping[str, str], home: Path, first: int) -> list[Wanted]:
    """The sandboxes on consecutive ports, in the order of the connections."""
    led: dict[str, frozenset[str]] = {}
    for connection in metadata.connections.values():
        if leads_here(connection, env, home):
            names = led.get(connection.vendor, frozenset())
            led[connection.vendor] = names | variables(connection)
    advice = f"Choose the first of {len(led)} free ones in a row: SANDBOX_PORT=<port>"
    return [
        Wanted(vendor, sandbox_of(vendor, port, advice), names)
        for port, (vendor, names) in enumerate(led.items(), start=first)
    ]


def sandbox_of(vendor: str, port: int, advice: str) -> Part:
    """A vendor's sandbox as a process."""
    command = ("sandbox", vendor, "--port", str(port))
    title = f"{title_of(vendor)} sandbox"
    return Part(f"sandbox-{vendor}", title, command, port, advice, "/__clock__")


def elsewhere(metadata: Metadata, env: Mapping[str, str], home: Path) -> dict[str, str]:
    """The connections that lead to another machine, or always to the same place: used as is."""
    return {
        name: resolve(connection.url, env, home)
        for name, connection in metadata.connections.items()
        if not leads_here(connection, env, home)
    }


def leads_here(connection: Connection, env: Mapping[str, str], home: Path) -> bool:
    """Whether a variable says where the system is, and says a place on this machine."""
    here = urlsplit(resolve(connection.url, env, home)).hostname in LOOPBACK
    return here and connection.url.startswith(VARIABLE)


def variables(connection: Connection) -> frozenset[str]:
    """The variables that say where a connection leads."""
    references = (connection.url, connection.login_url or "")
    found = (each.removeprefix(VARIABLE) for each in references if each.startswith(VARIABLE))
    return frozenset(each.partition("|")[0] for each in found)


async def state_of(part: Part, http: httpx.AsyncClient) -> dict[str, list[Any]]:
    """Every record in a sandbox, by its back door; amounts are exact."""
    answer = (await http.get(part.url("/__sandbox__/state"))).raise_for_status()
    decoder = msgspec.json.Decoder(dict[str, list[Any]], float_hook=Decimal)
    return decoder.decode(answer.content)
