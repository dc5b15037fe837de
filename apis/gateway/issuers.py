"""Whom else we trust to say who asks: the issuers of `gateway.yaml`, and what their claims mean.

A rule that finds nothing gives nothing: no client is no entry, no rows are none of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal
from urllib.parse import SplitResult, urlsplit

import msgspec

from apis.runtime.context import Rows
from apis.runtime.typed_yaml import Finding

Algorithm = Literal["RS256", "PS256", "ES256", "EdDSA", "Ed25519"]
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
HOST = re.compile(r"[a-z0-9_.-]+|[0-9a-f:.]+", re.IGNORECASE)
"""A name or an address, without port and brackets."""


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A claim, and what its values are called here; without `map` they keep their names."""

    claim: str
    map: dict[str, str] | None = None


class RowRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which claims name the customers and entities that somebody may see."""

    customers: Rule | str | None = None
    entities: Rule | str | None = None


class Issuer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One issuer: where its keys are, what its tokens must say, and what that allows."""

    issuer: str
    audience: str
    jwks: str | None = None
    """An https address, or `file:/path`; with `discovery` the issuer's metadata says it."""
    discovery: bool = False
    algorithms: tuple[Algorithm, ...] = ("RS256",)
    types: tuple[str | None, ...] = ("at+jwt", "JWT")
    """What `typ` may be; null where an issuer leaves it out."""
    plan: str
    client: Rule | str
    scopes: Rule | str
    rows: Literal["all"] | RowRules
    roles: Rule | str | None = None
    person: Rule | str | None = None


def issuer_findings(issuers: Mapping[str, Issuer], plans: Mapping[str, Any]) -> Iterator[Finding]:
    """What is wrong with the issuers of a policy."""
    seen: set[str] = set()
    for name, issuer in issuers.items():
        place = ("issuers", name)
        if issuer.plan not in plans:
            yield (*place, "plan"), f"there is no plan {issuer.plan}"
        if issuer.issuer in seen:
            yield (*place, "issuer"), "this issuer is there twice"
        seen.add(issuer.issuer)
        if not secure(issuer.issuer):
            yield (*place, "issuer"), "an https address is expected"
        if bool(issuer.jwks) == issuer.discovery:
            yield (*place, "jwks"), "say where the keys are, by `jwks` or by `discovery: true`"
        elif issuer.jwks and not issuer.jwks.startswith("file:/") and not secure(issuer.jwks):
            yield (*place, "jwks"), "an https address or file:/path is expected"
        if not issuer.algorithms or not issuer.types:
            yield place, "name the `algorithms` and `types` that are accepted"
        if issuer.rows == RowRules():
            yield (*place, "rows"), "name claims for customers or entities, or say all"


def secure(url: str) -> bool:
    """Whether nobody between us and an address can answer for it."""
    parts = parted(url)
    return parts is not None and (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    )


def parted(url: str) -> SplitResult | None:
    """The parts of an address; None where nothing can be reached by it."""
    try:
        parts = urlsplit(url)
        reachable = parts.port != 0 and HOST.fullmatch(parts.hostname or "")
    except ValueError:
        return None
    return parts if reachable else None


def said(rule: Rule | str | None, payload: Mapping[str, Any]) -> tuple[str, ...]:
    """What a rule finds in a token: texts only, each once."""
    if rule is None:
        return ()
    if isinstance(rule, str):
        rule = Rule(rule)
    held = _held(rule.claim, payload)
    texts = held.split() if isinstance(held, str) and rule.map is None else held
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list):
        return ()
    found = [each for each in texts if isinstance(each, str) and each]
    if rule.map is not None:
        known = rule.map
        words = [word for each in found for word in ([each] if each in known else each.split())]
        found = [known[word] for word in words if word in known]
    return tuple(dict.fromkeys(found))


def only(rule: Rule | str | None, payload: Mapping[str, Any]) -> str | None:
    """The one text a rule finds; several are none."""
    found = said(rule, payload)
    return found[0] if len(found) == 1 else None


def rows_of(issuer: Issuer, payload: Mapping[str, Any]) -> Rows | None:
    """The rows a token allows; None, which is all, only where the policy says so."""
    if issuer.rows == "all":
        return None
    rules = issuer.rows
    return Rows(
        customers=said(rules.customers, payload) if rules.customers else None,
        entities=said(rules.entities, payload) if rules.entities else None,
    )


def _held(claim: str, payload: Mapping[str, Any]) -> Any:
    """A claim by its whole name, or by the way to it: `realm_access.roles`."""
    if claim in payload:
        return payload[claim]
    held: Any = payload
    for step in claim.split("."):
        held = held.get(step) if isinstance(held, Mapping) else None
    return held
