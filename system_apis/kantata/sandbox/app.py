"""The REST API of the sandbox tenant: from path to answer."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from apis.runtime.sandbox import Kit
from apis.runtime.sandbox_faults import Drift
from apis.runtime.sandbox_wire import Answer, Call
from system_apis.kantata.sandbox import errors, tenant
from system_apis.kantata.sandbox.errors import answered, not_found, system
from system_apis.kantata.sandbox.limits import Limits
from system_apis.kantata.sandbox.oauth import Tokens
from system_apis.kantata.sandbox.queries import Queries
from system_apis.kantata.sandbox.records import Records, number
from system_apis.kantata.sandbox.schema import KINDS, NEVER_SHOWN, Kind

TOKEN, REVOKE = "/oauth/token", "/oauth/revoke"
ROUTE = re.compile(r"/api/v1/(\w+)(?:/(\w+))?(?:\.json)?")
VERBS = {"POST": "create", "PUT": "update", "DELETE": "delete"}
UPSERT = "create_or_update"
NAMES = frozenset(
    {
        *(f"{name}.{verb}" for name in KINDS for verb in (*VERBS.values(), "read", "search")),
        *("token.create", "path.read", "external_references.upsert"),
    }
)
Record = dict[str, Any]


def sandbox(kit: Kit) -> Tenant:
    """The Kantata sandbox, as the kit loads it."""
    return Tenant(kit)


class Tenant:
    """One Kantata OX account behind its REST API."""

    drift = Drift(renamed={"title": "subject"}, gone=frozenset({"count", "meta"}))

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        self.records = Records(kit)
        self.queries = Queries(kit, self.records.rows)
        self.tokens = Tokens(kit)
        self.limits = Limits(kit)
        if not self.records.rows.all("roles"):
            kit.db.execute("BEGIN IMMEDIATE")
            self.records.furnish()
            kit.db.execute("COMMIT")

    def named(self) -> frozenset[str]:
        """Every operation, as `object.verb`; what else is asked for is not found."""
        return NAMES

    def operations(self, call: Call) -> tuple[list[str], str | None]:
        """What the call does, as `object.verb`, and the business keys it carries."""
        if call.path == TOKEN:
            return ["token.create"], None
        route = ROUTE.fullmatch(call.path)
        if route is None:
            return ["path.read"], None
        kind, id_ = route.groups()
        if id_ == UPSERT:
            return [f"{kind}.upsert"], _keys(call)
        verb = VERBS.get(call.method, "read" if id_ else "search")
        return [f"{kind}.{verb}"], _keys(call)

    def answer(self, call: Call) -> Answer:
        """Act on one call of a client; errors come back as answers, undone."""
        if call.method == "POST" and call.path in {TOKEN, REVOKE}:
            return (self.tokens.grant if call.path == TOKEN else self.tokens.revoke)(call)
        return self._in_time(call, self.kit.attempt(lambda: self._admitted(call)))

    def _admitted(self, call: Call) -> Answer:
        self.tokens.check(call)
        self.limits.count(self.operations(call)[0][0])
        return self._route(call)

    def refusal(self, fault: str, call: Call) -> Answer:
        """A fault of the whole call in the vendor's words."""
        if fault == "expire-token":
            self.tokens.sessions.kill(call)
        return errors.token_refusal(fault) if call.path == TOKEN else errors.refusal(fault)

    def state(self) -> dict[str, list[Any]]:
        """Every record, with the ids of all that belongs to it."""
        return {name: self._whole(kind) for name, kind in KINDS.items()}

    def reset(self) -> None:
        """A fresh tenant; tokens die."""
        self.records.rows.clear()
        self.tokens.sessions.clear()
        self.limits.clear()
        self.records.furnish()

    def example(self, name: str, options: dict[str, str]) -> list[dict[str, Any]] | None:
        """`customer` and `project`: made by hand, without a reference of ours."""
        return tenant.example(name, options)

    def _whole(self, kind: Kind) -> list[Record]:
        rows = {str(row["id"]): row for row in self.records.rows.all(kind.name)}
        include = {"include": ",".join(kind.beside)}
        shown: Record = self.queries.envelope(kind, list(rows.values()), include)[kind.name]
        return [shown[id_] | {k: row[k] for k in NEVER_SHOWN & row.keys()}
                for id_, row in rows.items()]  # fmt: skip

    def _in_time(self, call: Call, answer: Answer) -> Answer:
        """Over three minutes the answer is a 504, and what was written may be there or not."""
        slow = self.kit.settings.get("over_time")
        if slow and self.operations(call)[0][0] == slow:
            late = system(504, "Request timed out").answer()
            late.written = answer.written
            return late
        return answer

    def _route(self, call: Call) -> Answer:  # noqa: PLR0911 - a table of routes
        route = ROUTE.fullmatch(call.path)
        kind = KINDS.get(route.group(1)) if route else None
        if route is None or kind is None:
            raise not_found()
        id_ = route.group(2)
        if call.method != "GET" and call.locked is not None:
            raise errors.invalid("base", errors.LOCKED)
        match call.method, id_:
            case "GET", None:
                return answered(200, self.queries.index(kind, call.query))
            case "GET", "me" if kind.name == "users":
                return answered(200, self.queries.show(kind, tenant.ME, call.query))
            case "GET", _:
                return answered(200, self.queries.show(kind, number(id_), call.query))
            case "POST", None:
                return self._create(kind, call)
            case "POST", "create_or_update" if kind.name == "external_references":
                return self._written(kind, [self.records.refer(_one(kind, call))], call)
            case "PUT", str():
                return self._update(kind, number(id_), call)
            case "DELETE", str():
                self.records.delete(kind, number(id_))
                answer = answered(204, None)
                answer.written = [(kind.name, id_)]
                return answer
        raise not_found()

    def _create(self, kind: Kind, call: Call) -> Answer:
        if not kind.create or kind.name == "external_references":
            raise not_found()
        body = _body(call)
        listed = body.get(kind.name)
        if not isinstance(listed, list) or kind.name in self.kit.settings.get("no_batches", ()):
            return self._written(kind, [self.records.create(kind, _one(kind, call))], call)
        if kind.most == 1 or len(listed) > kind.most:
            raise system(400, f"at most {kind.most} objects can be created at once")
        return self._written(kind, [self.records.create(kind, each) for each in listed], call)

    def _update(self, kind: Kind, id_: int, call: Call) -> Answer:
        given = _one(kind, call)
        if "archived" not in given:
            self.queries.show(kind, id_, call.query | {"include_unnamed": "true"})
        return self._written(kind, [self.records.update(kind, id_, given)], call)

    def _written(self, kind: Kind, rows: list[Record], call: Call) -> Answer:
        """What was written, in the order of the kind: not in the one it was sent in."""
        answer = answered(200, self.queries.envelope(kind, rows[::-1], call.query))
        answer.written = [(kind.name, str(row["id"])) for row in rows]
        return answer


def _body(call: Call) -> Record:
    try:
        return msgspec.json.decode(call.body, type=dict[str, Any])
    except msgspec.MsgspecError:
        raise system(400, "The request body could not be parsed") from None


def _one(kind: Kind, call: Call) -> Record:
    given = _body(call).get(kind.one)
    if not isinstance(given, dict) or not given:
        raise system(400, f"param is missing or the value is empty: {kind.one}")
    return given


def _keys(call: Call) -> str | None:
    """The external ids in a body, in its order."""
    try:
        body = msgspec.json.decode(call.body) if call.method in {"POST", "PUT"} else {}
    except msgspec.MsgspecError:
        return None
    records = [
        each for value in body.values() for each in (value if isinstance(value, list) else [value])
    ]
    keys = [
        (r.get("external_reference") or {}).get("service_model_ref")
        for r in records
        if isinstance(r, dict)
    ]
    return ",".join(key for key in keys if key) or None
