"""What Kantata answers: `results` is the order, the maps beside it hold what was asked and more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

from apis.runtime.caller import Outcome
from apis.runtime.wire import Unanswered, at
from apis.runtime.writes import Find, Write
from contracts.canonical.identity import Ref
from contracts.canonical.money import Money
from contracts.errors import Misconfigured, ThroughlineError

SERVICE = "throughline"
"""The service name of our external references: one of ours per record."""
DATES = ("start_date", "due_date", "date_to_invoice")
Record = dict[str, Any]


class Kind(NamedTuple):
    """A vendor's object, in the plural and singular of its routes, and our word for it."""

    many: str
    one: str
    object: str
    shown: Mapping[str, str] = {}
    """Filters that end those which hide records by default."""


GROUPS = Kind("workspace_groups", "workspace_group", "customer")
WORKSPACES = Kind("workspaces", "workspace", "project", {"include_archived": "true"})
STORIES = Kind("stories", "story", "task", {"show_archived": "true"})
BILLING = Kind("billing_milestones", "billing_milestone", "billing-line")
RESOURCES = Kind(
    "workspace_resources", "workspace_resource", "staffing-request", {"include_unnamed": "true"}
)


def found(answer: Any, kind: str) -> list[Record]:
    """The records that were asked for, in their order."""
    try:
        return [answer[kind][each["id"]] for each in answer["results"] if each["key"] == kind]
    except (LookupError, TypeError):
        told = f"kantata answered without the {kind} of its results"
        raise Misconfigured("kantata.UNEXPECTED", told, owner="integration") from None


def pages(answer: Any) -> int:
    """How many pages there are."""
    count = at(answer, "meta.page_count")
    return count if isinstance(count, int) else 1


def reference(answer: Any, record: Record) -> Record:
    """Our external reference on a record; an empty one if it has none."""
    known = answer.get("external_references") or {}
    ours = (known.get(str(each)) or {} for each in record.get("external_reference_ids") or ())
    return next((each for each in ours if each.get("service_name") == SERVICE), {})


def key_of(answer: Any, record: Record) -> str | None:
    """Our key on a record, if it was asked for with its references."""
    return reference(answer, record).get("service_model_ref")


def project_record(answer: Any, record: Record) -> Record:
    """A workspace as the map reads it: flat, in main units, without empty dates."""
    values = answer.get("custom_field_values") or {}
    mine = (values.get(str(each)) or {} for each in record.get("custom_field_value_ids") or ())
    price = record.get("price_in_cents")
    whole = record | {name: record.get(name) or None for name in DATES}
    return whole | {
        "status_key": record.get("status_key") or at(record, "status.key"),
        "external_reference": reference(answer, record),
        "custom_fields": {str(each["custom_field_id"]): each["value"] for each in mine if each},
        "budget": None
        if price is None
        else {"price": main_units(record), "currency": record.get("currency")},
    }


def main_units(record: Record) -> Decimal:
    """The budget in the currency's main unit: what a unit is made of is not 100 everywhere."""
    cents, base = record["price_in_cents"], record.get("currency_base_unit")
    if type(cents) is not int or type(base) is not int or base < 1:
        raise Misconfigured(
            "mapping.contract-drift",
            "project.budget (read from price_in_cents and currency_base_unit): no whole numbers",
            owner="integration",
        )
    return Decimal(cents) / base


class Batch:
    """Many records in one call, told apart in the answer by the keys they carry."""

    def __init__(self, kind: str, single: str | None = None) -> None:
        self._kind, self._single = kind, single
        self._keys: list[str] = []

    def pack(self, bodies: list[Any]) -> Record:
        """The body: the plural of the kind and a list; of a single one the singular and itself."""
        self._keys = [at(each, "external_reference.service_model_ref") for each in bodies]
        return {self._single: bodies[0]} if self._single else {self._kind: bodies}

    def outcomes(self, answer: Any) -> list[Outcome]:
        """A reference for each record that is in the answer; of any other nobody knows."""
        ids = [each["id"] for each in answer["results"]]
        made = {key_of(answer, answer[self._kind][id_]): str(id_) for id_ in ids}
        told = "kantata did not say what became of it"
        return [
            Ref(None, made[key]) if key in made else Unanswered("kantata.UNEXPECTED", told)
            for key in self._keys
        ]


def asked_once(ask: Callable[[], Awaitable[Mapping[str, Ref]]]) -> Callable[[str], Find]:
    """Look-ups of the records of a batch: one question for all, when the first is looked up."""
    known: list[Mapping[str, Ref]] = []

    async def find(key: str) -> Ref | None:
        if not known:
            known.append(await ask())
        return known[0].get(key)

    return lambda key: partial(find, key)


def numbered(key: str, count: int) -> list[str]:
    """The keys of the records of a batch."""
    return [f"{key}-{n}" for n in range(1, count + 1)]


def creating(
    kind: Kind, key: str, find: Find, entity: str | None = None, amount: Money | None = None
) -> Write:
    """The write of a new record, or of our key on one that somebody else made."""
    return Write(
        object=kind.object,
        key=key,
        attributes=("key",),
        entity=entity,
        find=find,
        amount=amount,
    )


def tried(make: Callable[..., Record], *args: Any) -> Record | ThroughlineError:
    """A body, or why there is none: this record's outcome."""
    try:
        return make(*args)
    except ThroughlineError as error:
        return error
