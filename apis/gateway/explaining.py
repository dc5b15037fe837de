"""Why a call was allowed, refused or limited: the rule in words, its place, what changes it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from apis.gateway.decisions import DAY_S, Decided, Decisions
from apis.gateway.guard import REFUSALS
from apis.gateway.policy import Gateway, Portal, place_of
from apis.gateway.registered import is_registered
from apis.runtime.typed_yaml import Place

DECISIONS_PATH = "/decisions"
APPLICATIONS, APPROVALS = "/portal/applications", "/portal/approvals"
"""Where a registered client's owner asks for more, and where it is granted."""


class Reason(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one policy said; `observed` means that the call went on all the same."""

    policy: str
    rule: str
    outcome: str
    says: str
    place: str | None = None
    change: str | None = None


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """One request as the gateway decided it; places are those of the policy in force now."""

    request_id: str
    at: datetime
    client: str | None
    api: str | None
    version: str | None
    operation: str | None
    status: int
    code: str | None
    limits: str | None
    reasons: tuple[Reason, ...]


class Explained(msgspec.Struct, frozen=True):
    """The latest 100 of one id, the last first: a caller may give the same one often."""

    items: tuple[Explanation, ...]


class Explaining:
    """Answers `/decisions` and `/decisions/{request id}`."""

    def __init__(self, decisions: Decisions, gateway: Gateway) -> None:
        self._decisions = decisions
        self._gateway = gateway

    async def page(self, path: str) -> bytes | None:
        """The counts, or what was decided for one request id; None if nothing is known of it."""
        request_id = path.removeprefix(DECISIONS_PATH).removeprefix("/")
        if not request_id:
            counted = await self._decisions.counted()
            return msgspec.json.encode({"items": [_told(row) for row in counted]})
        rows = await self._decisions.found(request_id)
        if not rows:
            return None
        return msgspec.json.encode(Explained(tuple(explained(row, self._gateway) for row in rows)))


def _told(row: dict[str, Any]) -> dict[str, Any]:
    """A count with its day and what was called as people write them."""
    api, _, version = row.pop("target").rpartition("/")
    day = datetime.fromtimestamp(row.pop("day") * DAY_S, UTC).date()
    return {"day": day, "api": api, "version": version} | row


def explained(row: Decided, gateway: Gateway) -> Explanation:
    """One request, each decision with its rule."""
    api, _, version = (row.target or "").rpartition("/")
    return Explanation(
        request_id=row.request_id,
        at=datetime.fromtimestamp(row.at, UTC),
        client=row.client,
        api=api or None,
        version=version or None,
        operation=row.operation,
        status=row.status,
        code=row.code,
        limits=row.limits or None,
        reasons=tuple(reason(row, *decision, gateway) for decision in row.decisions),
    )


def reason(row: Decided, policy: str, rule: str, outcome: str, gateway: Gateway) -> Reason:
    """What a policy said of a request, in words."""
    tell = {
        "authorization": _of_scope,
        "limits": _of_limit,
        "versions": _of_version,
        "idempotency": _of_key,
    }
    says, place, change = tell.get(policy, _of_other)(row, rule, outcome, gateway)
    if outcome == "observed":
        says += " It would have been refused; it went on, since this policy is only observed."
    return Reason(
        policy=policy,
        rule=rule,
        outcome=outcome,
        says=says,
        place=gateway.lines.told(place, "").removesuffix(": ") if place else None,
        change=None if outcome == "allowed" else change,
    )


Words = tuple[str, Place | None, str]


def _of_scope(row: Decided, rule: str, outcome: str, gateway: Gateway) -> Words:
    name = row.client or ""
    issuer = name.partition(":")[0]
    client, portal = gateway.clients.get(name), _portal_of(row, gateway)
    guest = client is None and issuer in gateway.issuers
    place: Place | None = ("issuers", issuer, "scopes") if guest else ("clients", name, "scopes")
    if portal is not None:
        place = ("portal", "sandbox", "scopes") if rule in portal.sandbox.scopes else ("portal",)
    elif client is None and not guest:
        place = None
    if outcome == "allowed":
        return f"The token of {row.client} has {rule}, which {row.operation} needs.", place, ""
    says = f"{row.operation} needs the scope {rule}, and the token of {row.client} has not got it."
    if client is not None and rule in client.scopes:
        return says, place, "the client has the scope now: ask for a new token that holds it"
    if portal is not None:
        return says, place, _scope_for(name, rule, gateway, portal)
    if place is None:
        return says, None, f"{name} is no client any more, of gateway.yaml or of the portal"
    return says, place, f"add {rule} to the scopes of {row.client}"


def _portal_of(row: Decided, gateway: Gateway) -> Portal | None:
    """What rules a client that registered itself: no member of the file is its own."""
    client = gateway.clients.get(row.client or "")
    return gateway.portal if client is not None and is_registered(client) else None


def _scope_for(name: str, scope: str, gateway: Gateway, portal: Portal) -> str:
    """How a registered client gets a scope."""
    if portal.plans and scope in gateway.asked_for:
        return _asked(name, scope, portal)
    return (
        f"the portal offers {scope} to nobody: who needs it is a client of gateway.yaml,"
        f" under another name than {name}"
    )


def _asked(name: str, what: str, portal: Portal) -> str:
    return (
        f"its owner asks for {what} at {APPLICATIONS}/{name}, and who has the role"
        f" {portal.approver} grants it at {APPROVALS}"
    )


def _of_limit(row: Decided, rule: str, outcome: str, gateway: Gateway) -> Words:
    place: Place = tuple(int(part) if part.isdigit() else part for part in rule.split("."))
    if outcome == "allowed":
        return f"Every limit of {rule} had room for a call of {row.client}.", place, ""
    written = _written(gateway, place)
    known = f" ({written})" if written is not None else ""
    if row.code == "reduced-capacity":
        says = f"Redis was away, and what this process may give of {rule}{known} was used up."
        return (
            says,
            place,
            "bring Redis back; till then `on_store_loss` of the plan rules",
        )
    says = f"{row.client} had used up {rule}{known}: {row.limits or 'nothing left'}."
    wait, portal = "wait as long as `t` says, or", _portal_of(row, gateway)
    if portal is not None and place[0] == "plans" and {*portal.plans} - {place[1]}:
        return says, place, f"{wait} {_asked(row.client or '', 'another plan', portal)}"
    return says, place, f"{wait} raise the limit"


def _written(gateway: Gateway, place: Place) -> Any:
    """The value at a place of the file as it is now."""
    if place[0] == "apis":
        _, tier, api, *rest = place
        at: Any = msgspec.to_builtins(gateway.apis.get(f"{tier}/{api}"))
    else:
        at, rest = msgspec.to_builtins(gateway.plans), list(place[1:])
    for name in rest:
        try:
            at = at[name]
        except (KeyError, IndexError, TypeError):
            return None
    return at


def _of_version(row: Decided, rule: str, outcome: str, gateway: Gateway) -> Words:  # noqa: ARG001 - one shape
    api, _, version = (row.target or "").rpartition("/")
    place: Place = (*place_of(api), "versions", int(version.removeprefix("v") or 0))
    if rule == "version-brownout":
        says = f"{version} of {api} rehearsed its end: its `brownouts` say when."
        return says, (*place, "brownouts"), "move the client to the next version"
    if rule == "version-blocked":
        says = f"{version} of {api} is blocked: its `status` says so."
        return says, (*place, "status"), "move the client to another version"
    place = (*place, "sunset")
    says = f"{version} of {api} is no longer served: it ended on the day `sunset` says."
    return says, place, "move the client to the next version, or put the sunset off"


def _of_key(row: Decided, rule: str, outcome: str, gateway: Gateway) -> Words:
    says, _, change = _of_other(row, rule, outcome, gateway)
    api = (row.target or "").rpartition("/")[0]
    if outcome == "allowed":
        says = f"The answer that {row.client} had to this Idempotency-Key before; not done again."
    return says, (*place_of(api), "idempotency"), change


def _of_other(row: Decided, rule: str, outcome: str, gateway: Gateway) -> Words:  # noqa: ARG001 - one shape
    known = REFUSALS.get(rule)
    says = f"{known.title}." if known else f"{rule}: {row.operation or 'the request'}."
    api = (row.target or "").rpartition("/")[0]
    return says, (*place_of(api), "modes") if api else None, known.remedy if known else "see `rule`"
