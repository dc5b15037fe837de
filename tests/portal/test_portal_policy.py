"""What a policy may not say of newcomers: each mistake stops the start, with its place."""

from __future__ import annotations

import pytest

from apis.gateway.compiled import compile_policy
from apis.gateway.documents import load_documents
from apis.gateway.policy import PolicyError, load_gateway
from tests.gateway.bench import HERE
from tests.portal.estate import POLICY


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("sandbox: {plan: small", "sandbox: {plan: gold", "sandbox.plan: there is no plan gold"),
        (
            "scopes: [orders.read], rows: {cust",
            "scopes: [bills.read], rows: {cust",
            "no API grants",
        ),
        (
            "scopes: [orders.read], rows: {cust",
            "scopes: [decisions.read], rows: {cust",
            "portal.sandbox.scopes: decisions.read is not for newcomers",
        ),
        (
            "scopes: [orders.read], rows: {cust",
            "scopes: [salesforce.read], rows: {cust",
            "portal.sandbox.scopes: salesforce.read opens all of a system",
        ),
        ("rows: {customers: []}, days", "days", "portal.sandbox"),
        ("rows: {customers: []}, days", "rows: {}, days", "portal.sandbox.rows: name customers"),
        ("days: 30", "days: 0", "portal.sandbox.days: at least 1"),
        ("most: 2", "most: 0", "portal.sandbox.most: at least 1"),
        ("plans: [internal]", "plans: [gold]", "portal.plans.0: there is no plan gold"),
        ("approver: api-owner", "approver: nobody", "portal.approver: nobody who signs in has"),
        ("sign_up: open", "sign_up: maybe", "portal.sign_up"),
        ("sign_up: open", "signup: open", "portal.signup"),
    ],
)
def test_a_sandbox_that_gives_too_much_or_cannot_be_stops_the_start(
    right: str, wrong: str, said: str
) -> None:
    assert right in POLICY

    with pytest.raises(PolicyError) as refused:
        compile_policy(
            load_gateway(POLICY.replace(right, wrong)), load_documents(HERE / "published")
        )

    assert said in refused.value.detail


def test_scopes_of_the_gateway_itself_are_never_offered() -> None:
    shown = POLICY.replace("orders.write: [createOrder", "decisions.read: [createOrder")

    assert load_gateway(shown).asked_for == {"orders.read"}
