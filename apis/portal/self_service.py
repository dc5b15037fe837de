"""All pages on which people help themselves."""

from __future__ import annotations

from apis.gateway.app import Edge
from apis.gateway.compiled import Policy
from apis.portal.application_pages import ApplicationPages
from apis.portal.asking import Routes
from apis.portal.credentials import CredentialPages
from apis.portal.deciding import DecidingPages
from apis.portal.desk import Desk
from apis.portal.log_pages import LogPages
from apis.portal.signing_up import SigningUp
from apis.portal.wishes import WishPages


def self_service(policy: Policy, edge: Edge) -> Routes:
    """Their routes; none where the policy has no `portal`, or nothing keeps what they make."""
    if policy.gateway.portal is None or edge.store is None:
        return {}
    desk = Desk(policy, policy.gateway.portal, edge, edge.store)
    parts = (SigningUp, ApplicationPages, CredentialPages, WishPages, DecidingPages, LogPages)
    return {route: page for part in parts for route, page in part(desk).routes.items()}
