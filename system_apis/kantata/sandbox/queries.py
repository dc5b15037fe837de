"""Asking for records: filters, order, pages, and what comes beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from apis.runtime.sandbox import Kit
from system_apis.kantata.sandbox.errors import not_found, system
from system_apis.kantata.sandbox.records import number
from system_apis.kantata.sandbox.rows import Row, Rows
from system_apis.kantata.sandbox.schema import KINDS, NEVER_SHOWN, UNDATED, Kind, base_units
from system_apis.kantata.sandbox.tenant import ME, ROLES, STATUSES

ZONE = ZoneInfo("America/Los_Angeles")
PAGE, LONGEST_PAGE = 20, 200
STOP_WORDS = {
    "a",
    "an",
    "and",
    "at",
    "by",
    "for",
    "in",
    "into",
    "is",
    "of",
    "on",
    "or",
    "the",
    "to",
}
Record = dict[str, Any]
Query = dict[str, str]
Fit = Callable[[Row, str], bool]
MOMENTS: dict[str, Fit] = {
    "created_after": lambda row, value: row["created"] > _stamp(value),
    "created_before": lambda row, value: row["created"] < _stamp(value),
    "updated_after": lambda row, value: row["updated"] > _stamp(value),
    "updated_before": lambda row, value: row["updated"] < _stamp(value),
}
FILTERS: dict[tuple[str, str], Fit] = {
    # a flag that asks by being there, whatever its value
    ("workspaces", "current_user_is_maven_participant"): lambda row, _: (
        row.get("creator_role") in {"maven", "consultant"}
    ),
    ("workspaces", "budgeted"): lambda row, value: (
        bool(row.get("budgeted", True)) is (value == "true")
    ),
    ("workspace_groups", "companies_only"): lambda row, value: (
        bool(row.get("company")) or value != "true"
    ),
    ("stories", "story_type"): lambda row, value: row["story_type"] == value,
    ("stories", "story_types"): lambda row, value: row["story_type"] in value.split(","),
    ("stories", "with_parent_id"): lambda row, value: row.get("parent_id") == number(value),
    ("workspace_resources", "role_id"): lambda row, value: row.get("role_id") == number(value),
    ("workspace_resources", "user_id"): lambda row, value: row.get("user_id") == number(value),
    ("billing_milestones", "story_ids"): lambda row, value: (
        str(row.get("story_id")) in value.split(",")
    ),
}
IN_WORKSPACES = {"stories", "billing_milestones", "workspace_resources"}


class Queries:
    """What the index and show routes answer; a filter that is not known changes nothing."""

    def __init__(self, kit: Kit, rows: Rows) -> None:
        self.kit, self.rows = kit, rows

    def index(self, kind: Kind, query: Query) -> Record:
        """All records that fit, a page of them in the answer."""
        hidden = set(self.kit.hidden_ids(kind.name))
        rows = [row for row in self._asked(kind, query) if str(row["id"]) not in hidden]
        rows = [row for row in rows if shown(kind, row, query) and fits(kind, row, query)]
        rows = ordered(kind, rows, query.get("order") or kind.order)
        size, start = _page(query)
        meta = {
            "count": len(rows),
            "page_count": -(-len(rows) // size),
            "page_number": start // size + 1,
            "page_size": size,
        }
        return self.envelope(kind, rows[start : start + size], query, meta)

    def show(self, kind: Kind, id_: int, query: Query) -> Record:
        """One record; 404 also when a default filter hides it."""
        row = self.rows.get(kind.name, id_)
        if row is None or not shown(kind, row, query):
            raise not_found()
        return self.envelope(kind, [row], query)

    def envelope(
        self, kind: Kind, rows: list[Row], query: Query, meta: Record | None = None
    ) -> Record:
        """`results` in order, the records by id, and what was included."""
        wanted = [name for name in query.get("include", "").split(",") if name in kind.beside]
        answer: Record = {
            "count": meta["count"] if meta else len(rows),
            "results": [{"key": kind.name, "id": str(row["id"])} for row in rows],
            kind.name: {},
        }
        for row in rows:
            record = self.record(kind, row)
            for name in wanted:
                beside = kind.beside[name]
                ids = self.beside(kind, row, name)
                listed = [str(each) for each in ids]
                record[beside.key] = listed if beside.many else next(iter(listed), None)
                others = answer.setdefault(beside.kind, {})
                for other in self.rows.some(beside.kind, ids):
                    others.setdefault(str(other["id"]), self.record(KINDS[beside.kind], other))
            answer[kind.name][str(row["id"])] = record
        one = {"count": len(rows), "page_count": 1, "page_number": 1, "page_size": PAGE}
        return answer | {"meta": meta or one}

    def beside(self, kind: Kind, row: Row, name: str) -> list[int]:
        """The ids of an association."""
        beside = kind.beside[name]
        if beside.kind in {"external_references", "custom_field_values"}:
            of = self.rows.of(beside.kind, row["id"])
            return [each["id"] for each in of if each["subject_type"] == kind.model]
        if name == "sub_stories":
            stories = self.rows.of("stories", row["workspace_id"])
            return [each["id"] for each in stories if each.get("parent_id") == row["id"]]
        if kind.name == "workspaces" and beside.kind in {
            "billing_milestones",
            "workspace_resources",
        }:
            return [each["id"] for each in self.rows.of(beside.kind, row["id"])]
        if kind.name == "workspace_groups":
            workspaces = self.rows.all("workspaces")
            return [w["id"] for w in workspaces if w.get("primary_workspace_group_id") == row["id"]]
        if beside.many:
            invoiced = str(row["id"]) in self.kit.settings.get("invoiced", ())
            return [row["id"]] if name == "invoices" and invoiced else row.get(beside.key) or []
        value = ME if name == "creator" else row.get(beside.key)
        return [number(value)] if value else []

    def record(self, kind: Kind, row: Row) -> Record:
        """A record as the API shows it: ids are text, associations are left out."""
        left_out = {beside.key for beside in kind.beside.values()} | {"created", "updated", "id"}
        record = {k: v for k, v in row.items() if k not in left_out and k not in NEVER_SHOWN}
        if kind.name == "workspaces":
            record |= _workspace(row)
        if kind.name == "workspace_resources":
            record["role_name"] = ROLES.get(row.get("role_id") or 0)
        if kind.name == "billing_milestones":
            record["currency"] = (self.rows.get("workspaces", row["workspace_id"]) or {}).get(
                "currency"
            )
        if kind.name not in UNDATED:
            record |= {"created_at": moment(row["created"]), "updated_at": moment(row["updated"])}
        return {"id": str(row["id"])} | record

    def _asked(self, kind: Kind, query: Query) -> list[Row]:
        """The rows to look through: by the narrowest thing that was asked."""
        if "only" in query:
            return self.rows.some(kind.name, map(number, query["only"].split(",")))
        if refs := _refs(query):
            named = (row for ref in refs for row in self.rows.named("external_references", ref))
            mine = [
                row for row in named if row["subject_type"] == kind.model and _names(row, query)
            ]
            return self.rows.some(kind.name, dict.fromkeys(row["subject_id"] for row in mine))
        asked = query.get("workspace_id") or query.get("workspace_ids")
        if asked and kind.name in IN_WORKSPACES:
            return [r for id_ in asked.split(",") for r in self.rows.of(kind.name, number(id_))]
        rows = self.rows.all(kind.name)
        if {"external_reference_service_name", "has_external_references"} & query.keys():
            has = {row["id"] for row in rows if self._referred(kind, row, query)}
            no = query.get("has_external_references") == "false"
            rows = [row for row in rows if (row["id"] in has) is not no]
        return rows

    def _referred(self, kind: Kind, row: Row, query: Query) -> bool:
        return any(_names(each, query) for each in self.rows.references(kind.name, row["id"]))


def shown(kind: Kind, row: Row, query: Query) -> bool:
    """Whether the default filters let it through."""
    on = {name for name, value in query.items() if value in {"true", "1"}}
    if kind.name in {"workspaces", "stories"}:
        how = query.get("archived")
        archived = bool(row.get("archived"))
        every = bool({"include_archived", "show_archived"} & on) or how == "include"
        return archived if how == "only" or "only_archived" in on else every or not archived
    if kind.name == "workspace_resources":
        unnamed = row.get("user_id") is None
        if "only_unnamed" in on:
            return unnamed
        return not unnamed or bool({"include_unnamed", "providers_with_unnamed"} & on)
    return True


def fits(kind: Kind, row: Row, query: Query) -> bool:
    """Whether it is what the filters ask for; one that is not listed changes nothing."""
    if "matching" in query and not matching(str(row.get(kind.title)), query["matching"]):
        return False
    asked = [(FILTERS.get((kind.name, name)), value) for name, value in query.items()]
    asked += [(MOMENTS.get(name), value) for name, value in query.items()]
    return all(fit(row, value) for fit, value in asked if fit is not None)


def matching(name: str, asked: str) -> bool:
    """Every word that counts is the start of a word of the name."""
    words = name.casefold().split()
    wanted = [word for word in asked.casefold().split() if word not in STOP_WORDS]
    return all(any(word.startswith(each) for word in words) for each in wanted)


def ordered(kind: Kind, rows: list[Row], order: str) -> list[Row]:
    """The rows as `field:direction` says."""
    name, _, direction = order.partition(":")
    of = {"created_at": "created", "updated_at": "updated"}.get(name, name)
    if of not in {"created", "updated", kind.title, "start_date", "due_date"}:
        raise system(400, f"{name} is not a valid order")
    return sorted(
        rows,
        key=lambda row: (
            str(row.get(of) or "") if isinstance(row.get(of), str) else row[of],
            row["id"],
        ),
        reverse=direction.lower() == "desc",
    )


def moment(stamp: float) -> str:
    """A moment as the API writes it: local, with its offset, never `Z`."""
    return datetime.fromtimestamp(stamp, ZONE).isoformat(timespec="seconds")


def _workspace(row: Row) -> Record:
    base, cents = base_units(row["currency"]), row.get("price_in_cents")
    status = STATUSES[row["status_key"]]
    return {
        "status": {"color": status.color, "key": row["status_key"], "message": status.message},
        "currency_base_unit": base,
        "currency_symbol": {"USD": "$", "EUR": "€", "GBP": "£"}.get(row["currency"], "¤"),
        "price_in_cents": cents,
        "price": "TBD" if cents is None else f"${cents / base:,.0f}",
        "due_date": row.get("due_date") or "",
        "start_date": row.get("start_date") or "",
        "percentage_complete": 0,
        "access_level": row.get("access_level") or "open",
    }


def _page(query: Query) -> tuple[int, int]:
    """Size and start; limit and offset win over page and per_page."""
    if "limit" in query and "offset" in query:
        return max(1, number(query["limit"])), number(query["offset"])
    size = min(LONGEST_PAGE, max(1, number(query.get("per_page", PAGE))))
    return size, size * (max(1, number(query.get("page", 1))) - 1)


def _refs(query: Query) -> Iterable[str]:
    """The external ids asked for; the singular filter is a number, and text is 0."""
    if "external_reference_service_model_ref" in query:
        return [str(number(query["external_reference_service_model_ref"]))]
    asked = query.get("external_reference_service_model_refs", "")
    return [each for each in asked.split(",") if each][:LONGEST_PAGE]


def _names(reference: Row, query: Query) -> bool:
    asked = ("service_name", "service_model", "status", "external_status")
    return all(
        query.get(f"external_reference_{name}") in {None, reference.get(name)} for name in asked
    )


def _stamp(text: str) -> float:
    try:
        return datetime.fromisoformat(text.replace(" ", "+")).timestamp()
    except ValueError:
        raise system(400, f"{text} is not an ISO 8601 date-time") from None
