"""Creating, changing and deleting records, with the checks the tenant makes."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from apis.runtime.sandbox import Kit
from system_apis.kantata.sandbox.errors import Refused, invalid, not_found
from system_apis.kantata.sandbox.rows import Row, Rows
from system_apis.kantata.sandbox.schema import (
    BY_MODEL,
    KINDS,
    STORY_STATES,
    STORY_TYPES,
    Kind,
    base_units,
)
from system_apis.kantata.sandbox.tenant import FIRST_STATUS, FURNITURE, STATUSES

DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
ENTERED = "has already been entered"
Check = Callable[["Records", Row, Row], None]


class Records:
    """The tenant's records; what a body names that may not be written is passed over."""

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        self.rows = Rows(kit)

    def furnish(self) -> None:
        """What a fresh tenant has."""
        for kind, id_, fields in FURNITURE:
            self.rows.new(kind, fields, id_)

    def create(self, kind: Kind, given: Row) -> Row:
        """A record of its kind, with its reference and custom fields."""
        row: Row = {"id": self.rows.next_id()}
        row |= {name: value for name, value in given.items() if name in kind.create}
        return self._written(kind, row, given)

    def update(self, kind: Kind, id_: int, given: Row) -> Row:
        """A record with the fields that were sent changed, no others."""
        row = self.rows.get(kind.name, id_)
        if row is None:
            raise not_found()
        sent = {name: value for name, value in given.items() if name in kind.update}
        return self._written(kind, row | sent, sent)

    def delete(self, kind: Kind, id_: int) -> None:
        """A record gone for ever."""
        if self.rows.get(kind.name, id_) is None:
            raise not_found()
        if kind.name == "billing_milestones" and str(id_) in self.kit.settings.get("invoiced", ()):
            raise invalid("base", "Billing milestones that have been invoiced cannot be deleted")
        if kind.name == "workspaces":
            for other in ("stories", "billing_milestones", "workspace_resources"):
                for row in self.rows.of(other, id_):
                    self.rows.drop(other, row["id"])
        self.rows.drop(kind.name, id_)

    def refer(self, given: Row) -> Row:
        """`external_references/create_or_update`."""
        kind = BY_MODEL.get(str(given.get("subject_type")))
        if kind is None or self.rows.get(kind.name, number(given.get("subject_id"))) is None:
            raise invalid("subject_id", "must name a record")
        return self._referred(kind, number(given["subject_id"]), given)

    def _written(self, kind: Kind, row: Row, given: Row) -> Row:
        reference, custom = row.pop("external_reference", None), row.pop("custom_fields", None)
        if check := CHECKS.get(kind.name):
            check(self, row, given)
        now = self.kit.clock.timestamp()
        row |= {"created": row.get("created", now), "updated": now}
        self.rows.save(kind.name, row)
        if reference:
            self._referred(kind, row["id"], reference)
        for value in custom or ():
            self._valued(kind, row["id"], value)
        return row

    def _referred(self, kind: Kind, id_: int, given: Row) -> Row:
        for name in ("service_name", "service_model", "service_model_ref"):
            if not given.get(name):
                raise invalid(f"external_reference.{name}", "can't be blank")
        fields = {k: v for k, v in given.items() if k in KINDS["external_references"].create}
        fields |= {"subject_type": kind.model, "subject_id": id_}
        known = self.rows.references(kind.name, id_)
        same = [row for row in known if row["service_name"] == given["service_name"]]
        if not same:
            return self.rows.new("external_references", {"status": "pending", **fields})
        row = same[0] | fields | {"updated": self.kit.clock.timestamp()}
        self.rows.save("external_references", row)
        return row

    def _valued(self, kind: Kind, id_: int, given: Row) -> None:
        field = self.rows.get("custom_fields", number(given.get("custom_field_id")))
        if field is None:
            raise invalid("custom_field_id", "is not a custom field of this account")
        value = given.get("value")
        others = self.rows.named("custom_field_values", str(value))
        mine = [each for each in others if each["custom_field_id"] == field["id"]]
        if field.get("unique_constraint") and any(each["subject_id"] != id_ for each in mine):
            raise invalid("value", f"{value} {ENTERED}")
        fields = {"subject_type": kind.model, "subject_id": id_, "value": str(value)}
        named = {"custom_field_id": field["id"], "custom_field_name": field["name"]}
        self.rows.new("custom_field_values", fields | named)


def _workspace(records: Records, row: Row, given: Row) -> None:
    _present(row, "title", "Please give your project a title")
    if row.setdefault("creator_role", "maven") not in {"maven", "buyer", "consultant", "client"}:
        raise invalid("creator_role", "Please select a role for this project")
    _one_of(row, "status_key", STATUSES, FIRST_STATUS)
    _known(records, row, "primary_workspace_group_id", "workspace_groups")
    _known(records, row, "rate_card_id", "rate_cards")
    for group in row.setdefault("workspace_group_ids", []):
        _known(records, {"workspace_group_ids": group}, "workspace_group_ids", "workspace_groups")
    if card := records.rows.get("rate_cards", number(row.get("rate_card_id"))):
        row["currency"] = card["currency"]  # the card's own: the one that was sent is ignored
    row.setdefault("currency", "USD")
    if "price" in given:
        row["price_in_cents"] = _subunits(row.pop("price"), row["currency"])
    _days(row, "start_date", "due_date")
    row.setdefault("archived", False)


def _group(records: Records, row: Row, _given: Row) -> None:
    _present(row, "name", "can't be blank")
    same = records.rows.named("workspace_groups", str(row["name"]))
    if any(each["id"] != row["id"] for each in same):
        raise invalid("name", "Name has already been taken")
    row.setdefault("company", False)


def _story(records: Records, row: Row, _given: Row) -> None:
    _present(row, "title", "can't be blank")
    _in_workspace(records, row)
    _one_of(row, "story_type", STORY_TYPES, "task")
    _one_of(row, "state", STORY_STATES, "not started")
    _days(row, "start_date", "due_date")
    _whole(row, "time_estimate_in_minutes", "budget_estimate_in_cents")
    if row.get("parent_id") is not None:
        parent = records.rows.get("stories", number(row["parent_id"]))
        if parent is None or parent["workspace_id"] != row["workspace_id"]:
            raise invalid("parent_id", "must be a task of the same project")
        row["parent_id"] = parent["id"]
    row |= {"archived": row.get("archived", False), "billable": row.get("billable", True)}


def _milestone(records: Records, row: Row, _given: Row) -> None:
    _present(row, "title", "can't be blank")
    if type(row.get("amount_in_cents")) is not int:
        raise invalid("amount_in_cents", "is not a number")
    _in_workspace(records, row)
    _one_of(row, "billing_type", ("fixed_date", "upon_completion"), "fixed_date")
    _days(row, "date_to_invoice")
    _known(records, row, "story_id", "stories")
    if row["billing_type"] == "upon_completion" and row.get("story_id") is None:
        raise invalid("story_id", "can't be blank")


def _resource(records: Records, row: Row, _given: Row) -> None:
    _in_workspace(records, row)
    _known(records, row, "user_id", "users")
    _known(records, row, "role_id", "roles")
    if row.get("user_id") is None and row.get("role_id") is None:
        raise invalid("role_id", "can't be blank")
    role = records.rows.get("roles", number(row.get("role_id"))) or {}
    same = [r for r in records.rows.of("workspace_resources", row["workspace_id"])
            if r.get("role_id") == row.get("role_id")]  # fmt: skip
    row.setdefault("label", f"{role.get('name', 'Resource')} {len(same) + 1}")


def _role(_records: Records, row: Row, _given: Row) -> None:
    _present(row, "name", "can't be blank")


CHECKS: dict[str, Check] = {
    "workspaces": _workspace,
    "workspace_groups": _group,
    "stories": _story,
    "billing_milestones": _milestone,
    "workspace_resources": _resource,
    "roles": _role,
}


def _present(row: Row, name: str, message: str) -> None:
    if not isinstance(row.get(name), str) or not row[name].strip():
        raise invalid(name, message)


def _one_of(row: Row, name: str, known: Any, default: Any) -> None:
    if row.get(name) is None:
        row[name] = default
    if row[name] not in known:
        raise invalid(name, "is not included in the list")


def _known(records: Records, row: Row, name: str, kind: str) -> None:
    if row.get(name) is None:
        return
    found = records.rows.get(kind, number(row[name]))
    if found is None:
        raise invalid(name, "must exist")
    row[name] = found["id"]


def _in_workspace(records: Records, row: Row) -> None:
    if row.get("workspace_id") is None:
        raise invalid("workspace_id", "can't be blank")
    _known(records, row, "workspace_id", "workspaces")


def _days(row: Row, *names: str) -> None:
    for name in names:
        if row.get(name) and not DAY.fullmatch(str(row[name])):
            raise invalid(name, "is not a valid date")


def _whole(row: Row, *names: str) -> None:
    for name in names:
        if row.get(name) is not None and type(row[name]) is not int:
            raise invalid(name, "is not a number")


def _subunits(price: Any, currency: str) -> int | None:
    if price is None:
        return None
    try:
        return int(Decimal(str(price)) * base_units(currency))
    except InvalidOperation:
        raise invalid("price", "is not a number") from None


def number(value: Any) -> int:
    """An id of a body, which may be text; one that is none fits no record."""
    return int(value) if isinstance(value, int) or str(value).isdecimal() else 0


__all__ = ["Records", "Refused", "number"]
