"""Whom else we trust to say who asks: the issuers of `gateway.yaml`, and what their claims mean.

A rule that finds nothing gives nothing: no client is no entry, no rows are none of them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal
from urllib.parse import SplitResult, urlsplit

import msgspec

from apis.runtime.context import Rows
from apis.runtime.typed_yaml import Finding, Place

Algorithm = Literal["RS256", "PS256", "ES256", "EdDSA", "Ed25519"]
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
MOST_TEXT = 128
"""Of one text in a claim: with our names before it, it fits wherever who did something is kept."""
HOST = re.compile(r"[a-z0-9_.-]+|[0-9a-f:.]+", re.IGNORECASE)
"""A name or an address, without port and brackets."""


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A claim, and what its values are called here; without `map` they keep their names."""

    claim: str
    """Its whole name, or the way to it by dots: `realm_access.roles`; a text of many words is each
    of them."""
    map: dict[str, str] | None = None
    """Its value to our name: `{Projects.Read: projects.read}`; what is not there gives nothing."""


class RowRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which claims name the customers and entities that somebody may see."""

    customers: Rule | str | None = None
    """A claim with ids of customers, ours; left out, customers are no restriction, a claim without
    any shows none."""
    entities: Rule | str | None = None
    """The same for names of legal entities in entities.yaml."""


class Issuer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One issuer: where its keys are, what its tokens must say, and what that allows."""

    issuer: str
    """`iss` of its tokens, to the letter: an https address without a password; each once."""
    audience: str
    """What `aud` must have: how their tokens name us, such as `api://throughline`."""
    jwks: str | None = None
    """An https address, or `file:/path`; with `discovery` the issuer's metadata says it."""
    discovery: bool = False
    """Whether `<issuer>/.well-known/openid-configuration` says where the keys are; instead of
    `jwks`."""
    algorithms: tuple[Algorithm, ...] = ("RS256",)
    """With which its tokens may be signed; at least one."""
    types: tuple[str | None, ...] = ("at+jwt", "JWT")
    """What `typ` may be; null where an issuer leaves it out."""
    plan: str
    """The name of one of `plans`, for each of its clients."""
    client: Rule | str
    """The claim with the one client id; its client here is `<name of the issuer>:<id>`."""
    scopes: Rule | str
    """The claim with what a token allows; in a `map` only scopes that an API grants."""
    rows: Literal["all"] | RowRules
    """`all`, or the claims that name what may be seen."""
    roles: Rule | str | None = None
    """The claim with the roles to decide as; left out, none."""
    person: Rule | str | None = None
    """The claim with the one name or address by which `duties` know a person; left out, none."""


def issuer_findings(
    issuers: Mapping[str, Issuer],
    plans: Mapping[str, Any],
    granted: Collection[str],
    whole: frozenset[str],
) -> Iterator[Finding]:
    """What is wrong with the issuers of a policy.

    `granted` are all scopes there are, `whole` those that open all of a system.
    """
    seen: set[str] = set()
    for name, issuer in issuers.items():
        place = ("issuers", name)
        if issuer.plan not in plans:
            yield (*place, "plan"), f"there is no plan {issuer.plan}"
        if issuer.issuer in seen:
            yield (*place, "issuer"), "this issuer is there twice"
        seen.add(issuer.issuer)
        yield from _address_findings(place, issuer)
        if not issuer.algorithms or not issuer.types:
            yield place, "name the `algorithms` and `types` that are accepted"
        if not issuer.audience:
            yield (*place, "audience"), "say what their tokens for us are meant for"
        for scope in sorted(_mapped(issuer.scopes) - set(granted)):
            yield (*place, "scopes"), f"no API grants {scope}"
        for scope in sorted(_mapped(issuer.scopes) & whole) if issuer.rows != "all" else ():
            told = f"{scope} opens all of a system: nobody with rows may have it"
            yield (*place, "scopes"), told
        if issuer.rows == RowRules():
            yield (*place, "rows"), "name claims for customers or entities, or say all"


def _address_findings(place: Place, issuer: Issuer) -> Iterator[Finding]:
    if not secure(issuer.issuer):
        yield (*place, "issuer"), "an https address is expected, without a password"
    if bool(issuer.jwks) == issuer.discovery:
        yield (*place, "jwks"), "say where the keys are, by `jwks` or by `discovery: true`"
    elif issuer.jwks and not issuer.jwks.startswith("file:/") and not secure(issuer.jwks):
        yield (
            (*place, "jwks"),
            "an https address without a password, or file:/path, is expected",
        )


def _mapped(rule: Rule | str) -> set[str]:
    """Our names that a rule gives, where it says so itself."""
    return set(rule.map.values()) if isinstance(rule, Rule) and rule.map else set()


def secure(url: str) -> bool:
    """Whether nobody between us and an address can answer for it, and no password is in it."""
    parts = parted(url)
    return (
        parts is not None
        and "@" not in parts.netloc
        and (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK))
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
    found = [each for each in texts if isinstance(each, str) and usable(each)]
    if rule.map is not None:
        known = rule.map
        words = [word for each in found for word in ([each] if each in known else each.split())]
        found = [known[word] for word in words if word in known]
    return tuple(dict.fromkeys(found))


def usable(text: str) -> bool:
    """Whether it can be kept and shown as it is."""
    return 0 < len(text) <= MOST_TEXT and text.isprintable()


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
