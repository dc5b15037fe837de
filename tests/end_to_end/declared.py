"""Where secrets and personal values may be, each place with its reason."""

from __future__ import annotations

from itertools import chain

VENDORS_OWN = ("sandboxes/", "logs/sandbox-", "throughline.sqlite", "records.key")
"""What is left out: the vendors' side, the database (looked at cell by cell) and the key's file."""
CLIENTS = (
    *("demo", "demo-finance", "demo-sales", "demo-delivery", "demo-approver", "demo-partner"),
    "prometheus",
)
FIRM = ("customer", "tax id")
WORDS = ("person in words", "private e-mail", "bank account", "tax id in words", "cost rate")
ITEM = "a work item holds the words of people, for those who may decide it"
ASKED = (
    *("answer headers", "problem headers", "logs/gateway.log", "trace", "audit.jsonl"),
    *("gateway.decisions.request_id", "process.audit.cause"),
)
Declared = dict[str, tuple[tuple[str, ...], str]]

KEPT: Declared = {
    "clients.json": (
        tuple(f"secret of {name}" for name in CLIENTS),
        "secrets of the demo's clients, made at its first start; mode 600",
    ),
    "people.json": (
        ("password of demo-person", "password of demo-owner"),
        "the demo's people; mode 600",
    ),
    "audit.key": (("audit key",), "made once; mode 600"),
    "signing.json": (("signing key",), "made once; mode 600"),
    "digest.key": (("digest key",), "made once; mode 600"),
    "process.environ": (
        ("internal key", "database password"),
        "given by the environment, which only the process's own user and root may read",
    ),
}
BUSINESS: Declared = {
    "process.customers.body": (FIRM, "the golden record"),
    "process.customers.match_key": (FIRM, "what a customer is known by"),
    "process.contacts.body": (("contact",), "the golden record"),
    "system.writes.after": ((*FIRM, "contact"), "the write ledger: what was sent to a vendor"),
    "system.writes.before": ((*FIRM, "contact"), "the write ledger: what was there before"),
    "runtime.event_log.body": ((*FIRM, "contact", *WORDS), f"events carry records; {ITEM}"),
    "process.work_items.body": ((*FIRM, "contact", *WORDS), ITEM),
    "experience.work_items.body": ((*FIRM, "contact", *WORDS), ITEM),
    "process.waits.decision": (WORDS, "a decision with its words, as the run goes on by it"),
    "answer": (WORDS, "a work item, told to who may read it"),
}
ECHOED: Declared = {
    "problem": (("request id", "unknown name"), "the caller's own name of the field or request"),
    **dict.fromkeys(ASKED, (("request id",), "the name a caller gave its request")),
}
WHO = ("newcomer", "newcomer's e-mail")
WHAT = ("application", "purpose")
MADE = tuple(f"token of {kind}" for kind in ("client secret", "second secret", "own API key"))
PORTAL: Declared = {
    "gateway.registered_people.called": (("newcomer",), "who registered"),
    "gateway.registered_people.email": (("newcomer's e-mail",), "for who decides on their wish"),
    "gateway.registered_clients.title": (("application",), "what its owner calls it"),
    "gateway.registered_clients.purpose": (("purpose",), "what its owner says of it"),
    "gateway.access_requests.reason": (WORDS, "a wish, for those who may decide on it"),
    "gateway.access_requests.answer": (WORDS, "a decision, for who asked"),
    "page": (
        (*WHO, *WHAT, *WORDS, *MADE),
        "shown to whose it is and who decides; a new credential once, to whose it is",
    ),
    "page headers": (
        tuple(f"token of session of {name}" for name in ("newcomer", "owner")),
        "the cookie of a browser that has signed in",
    ),
}
DECLARED: Declared = dict(chain(KEPT.items(), BUSINESS.items(), ECHOED.items(), PORTAL.items()))
