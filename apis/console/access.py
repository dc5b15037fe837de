"""`throughline keys`, `password`: what lets clients and people in."""

from __future__ import annotations

from apis.gateway.people import hashed
from apis.gateway.tokens import SEEN_S, rotated
from apis.runtime.clock import Clock
from apis.runtime.deployment import policy_of
from apis.runtime.settings import Settings
from contracts.errors import Rejected

SHORTEST = 12


def rotate_keys(settings: Settings) -> str:
    """Make the next signing key, and say what becomes of the last."""
    policy = policy_of(settings)
    made, last = rotated(policy.signing, settings.home, Clock().timestamp())
    return (
        f"{made} signs in {SEEN_S} s, when every process has seen it; {last} is accepted until "
        "what it signed has ended"
    )


def password_hash(password: str) -> str:
    """What to keep of a password that is long enough."""
    if len(password) < SHORTEST:
        told = f"a password has at least {SHORTEST} characters"
        raise Rejected("password.too-short", told)
    return hashed(password)
