"""The first call of a newcomer: an operation that their client may call, ready to paste."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import quote

from apis.gateway.catalog import CATALOG
from apis.gateway.compiled import Policy
from apis.gateway.policy import CATALOG as CATALOG_SCOPE
from apis.gateway.policy import Client
from apis.portal.applications import Shown

TIERS = ("experience", "process", "system")


class FirstCall(NamedTuple):
    """What to call: it needs nothing but a token."""

    path: str
    target: str = ""
    operation: str = ""

    def page(self, client: str) -> str:
        """Where the operation is tried in the browser, with the client's name filled in."""
        if not self.target:
            return "/portal"
        return f"/portal/apis/{self.target}?client_id={quote(client)}#{self.operation}"


def first_call(policy: Policy, client: Client) -> FirstCall | None:
    """The first operation of the client's scopes without anything to fill in."""
    mounts = sorted(
        (each for each in policy.mounts.values() if each.version.status == "current"),
        key=lambda each: TIERS.index(each.target.partition("/")[0]),
    )
    for mount in mounts:
        for path, methods in mount.plain.items():
            route = methods.get("GET")
            item: dict[str, Any] = mount.document["paths"].get(f"/{mount.target}{path}", {})
            if route and route.scope in client.scopes and not _asks_for_more(item):
                return FirstCall(f"/{mount.target}{path}", mount.target, route.operation)
    return FirstCall(CATALOG) if CATALOG_SCOPE in client.scopes else None


def _asks_for_more(item: dict[str, Any]) -> bool:
    asked = [*item.get("parameters", ()), *item.get("get", {}).get("parameters", ())]
    return any(each.get("required") or "$ref" in each for each in asked)


def command(issuer: str, shown: Shown, call: FirstCall) -> str:
    """Lines for a shell: a token, then the call."""
    return (
        f"TOKEN=$(curl -s -u '{shown.client}:{shown.secret}' \\\n"
        f"  -d grant_type=client_credentials {issuer}/oauth/token |\n"
        '  sed \'s/.*"access_token":"\\([^"]*\\)".*/\\1/\')\n'
        f'curl -i -H "Authorization: Bearer $TOKEN" {issuer}{call.path}'
    )


def key_command(issuer: str, shown: Shown, call: FirstCall) -> str:
    """The same with an API key."""
    return f"curl -i -H 'X-API-Key: {shown.secret}' {issuer}{call.path}"
