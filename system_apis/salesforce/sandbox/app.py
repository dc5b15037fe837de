"""The REST API of the sandbox org: from path to answer."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

import msgspec

from apis.runtime.sandbox import Kit
from apis.runtime.sandbox_faults import Drift
from apis.runtime.sandbox_wire import Answer, Call
from system_apis.salesforce.sandbox import errors, examples
from system_apis.salesforce.sandbox.composite import Composite
from system_apis.salesforce.sandbox.errors import Refused, json_answer, not_found
from system_apis.salesforce.sandbox.oauth import Tokens
from system_apis.salesforce.sandbox.operations import NAMES, operations
from system_apis.salesforce.sandbox.queries import PAGE, SMALLEST_PAGE, Queries, changed, everything
from system_apis.salesforce.sandbox.records import Records
from system_apis.salesforce.sandbox.schema import (
    BY_LOWER,
    OBJECTS,
    Object,
    describe,
    describe_brief,
)
from system_apis.salesforce.sandbox.usage import Usage
from system_apis.salesforce.sandbox.values import as_datetime

TOKEN = "/services/oauth2/token"  # noqa: S105 - a path
DATA = re.compile(r"/services/data/v(\d+)\.0(/.*)?")
OLDEST, NEWEST = 31, 68
CREATED_FLAG_SINCE = 46
LONGEST_URI = 16_384
Record = dict[str, Any]


def sandbox(kit: Kit) -> Org:
    """The Salesforce sandbox, as the kit loads it."""
    return Org(kit)


class Org:
    """One Salesforce org behind its REST API."""

    drift = Drift(
        renamed={"Name": "Name__c"}, gone=frozenset({"success", "totalSize"}), texts=(float,)
    )

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        self.records = Records(kit)
        self.queries = Queries(kit)
        self.tokens = Tokens(kit)
        self.usage = Usage(kit)
        self.composite = Composite(kit, self.records, self._sub_request)
        if not self.records.well_known("user"):
            kit.db.execute("BEGIN IMMEDIATE")
            examples.furnish(self.records)
            kit.db.execute("COMMIT")

    def named(self) -> frozenset[str]:
        """Every operation, as `Object.verb`."""
        return NAMES

    def operations(self, call: Call) -> tuple[list[str], str | None]:
        """What the call does, as `Object.verb`, and the business key in it."""
        return operations(call, self.queries)

    def answer(self, call: Call) -> Answer:
        """Act on one call of a client; errors come back as answers, undone."""
        if call.path == TOKEN and call.method == "POST":
            organization = self._one("Organization")
            return self.tokens.grant(call, organization, self.records.well_known("user"))
        counted = call.path.rstrip("/") != "/services/data"
        answer = self.kit.attempt(lambda: self._admitted(call, counted=counted))
        if counted:
            answer.headers["Sforce-Limit-Info"] = self.usage.header()
        return answer

    def _admitted(self, call: Call, *, counted: bool) -> Answer:
        if call.uri_length > LONGEST_URI:
            raise Refused("URI_TOO_LONG", "URI Too Long", status=414)
        if counted:
            self.tokens.check(call)
            self.usage.count()
        return self._route(call)

    def refusal(self, fault: str, call: Call) -> Answer:
        """A fault of the whole call in the vendor's words."""
        if fault == "expire-token":
            self.tokens.sessions.kill(call)
        if call.path == TOKEN:
            return errors.token_refusal(fault)
        return errors.refusal(fault)

    def state(self) -> dict[str, list[Any]]:
        """Every record of every object."""
        return everything(self.kit.db, f"/services/data/v{NEWEST - 6}.0")

    def reset(self) -> None:
        """An org as it comes: users, products and prices, no customers. Tokens die."""
        for name in OBJECTS:
            self.kit.db.execute(f'DELETE FROM "{name}"')  # noqa: S608 - names come from the schema
        self.tokens.sessions.clear()
        self.queries.cursors.clear()
        self.usage.clear()
        examples.furnish(self.records)

    def example(self, name: str, options: dict[str, str]) -> list[dict[str, Any]] | None:
        """`won-deal`: the calls that win a valid deal."""
        return examples.won_deal(self.records, options) if name == "won-deal" else None

    def _one(self, kind: str) -> str:
        return str(self.kit.db.execute(f'SELECT "Id" FROM "{kind}"').fetchone()[0])  # noqa: S608 - our word

    def _route(self, call: Call) -> Answer:
        if call.path.rstrip("/") == "/services/data" and call.method == "GET":
            return json_answer(200, _versions())
        found = DATA.fullmatch(call.path)
        if found is None:
            raise not_found()
        version = int(found.group(1))
        if version < OLDEST:
            raise Refused("GONE", "The requested resource is no longer available", status=410)
        if version > NEWEST:
            raise not_found()
        steps = [unquote(step) for step in (found.group(2) or "/").strip("/").split("/")]
        return self._resource(call, version, steps)

    def _resource(self, call: Call, version: int, steps: list[str]) -> Answer:  # noqa: PLR0911 - a table of routes
        base = f"/services/data/v{version}.0"
        match call.method, steps:
            case "GET", [""]:
                names = ("sobjects", "query", "queryAll", "limits", "composite")
                return json_answer(200, {name: f"{base}/{name}" for name in names})
            case "GET", ["query" | "queryAll" as how]:
                return json_answer(200, self._query(call, base, every=how == "queryAll"))
            case "GET", ["query" | "queryAll", locator]:
                return json_answer(200, self.queries.more(locator))
            case "GET", ["limits"]:
                return json_answer(200, self.usage.limits())
            case "GET", ["sobjects"]:
                listed = [describe_brief(o, base) for o in OBJECTS.values()]
                brief = {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": listed}
                return json_answer(200, brief)
            case method, ["sobjects", name, *rest]:
                return self._sobject(call, method, _object(name), rest, base)
            case method, ["composite", *rest]:
                return self.composite.answer(call, method, rest, base)
        raise not_found()

    def _query(self, call: Call, base: str, *, every: bool) -> Record:
        if "q" not in call.query:
            raise Refused("MALFORMED_QUERY", "A query string has to be specified")
        asked = re.search(r"batchSize=(\d+)", call.headers.get("sforce-query-options", ""))
        page = min(PAGE, max(SMALLEST_PAGE, int(asked.group(1)))) if asked else PAGE
        return self.queries.run(call.query["q"], base, every=every, page=page)

    def _sobject(  # noqa: PLR0911 - a table of routes
        self, call: Call, method: str, o: Object, rest: list[str], base: str
    ) -> Answer:
        if call.locked == 0:
            raise errors.row_lock(rest[0] if rest else o.name)
        match method, rest:
            case "GET", []:
                brief = describe_brief(o, base)
                return json_answer(200, {"objectDescribe": brief, "recentItems": []})
            case "GET", ["describe"]:
                return json_answer(200, describe(o, base))
            case "GET", ["updated" | "deleted" as which]:
                start, end = (_moment(call, name) for name in ("start", "end"))
                deleted = which == "deleted"
                return json_answer(200, changed(self.kit, o, start, end, deleted=deleted))
            case "POST", []:
                record = self.records.create(o, body_of(call), allow_save=_allow_save(call))
                body = {"id": record, "success": True, "errors": []}
                place = {"Location": f"{base}/sobjects/{o.name}/{record}"}
                answer = json_answer(201, body)
                return Answer(201, answer.body, place, [(o.name, record)])
            case "GET", [record]:
                return json_answer(200, self.records.show(o, record, base, _fields(call)))
            case "PATCH", [record]:
                allow = _allow_save(call)
                known = self.records.update(o, record, body_of(call), allow_save=allow)
                return Answer(204, written=[(o.name, known)])
            case "DELETE", [record]:
                return Answer(204, written=[(o.name, self.records.delete(o, record))])
            case _, [field, value] if method in {"GET", "PATCH", "DELETE"}:
                return self._by_key(call, o, (field, value), base)
        raise Refused("METHOD_NOT_ALLOWED", f"HTTP Method '{method}' not allowed.", status=405)

    def _by_key(self, call: Call, o: Object, by: tuple[str, str], base: str) -> Answer:
        if call.method == "PATCH":
            return self._upsert(call, o, by, base)
        found = self.records.find(o, self.records.key_field(o, by[0]), by[1])
        if len(found) > 1:
            paths = [f"{base}/sobjects/{o.name}/{record}" for record in found]
            return json_answer(300, paths)
        if not found:
            raise not_found()
        if call.method == "DELETE":
            return Answer(204, written=[(o.name, self.records.delete(o, found[0]))])
        return json_answer(200, self.records.show(o, found[0], base, _fields(call)))

    def _upsert(self, call: Call, o: Object, by: tuple[str, str], base: str) -> Answer:
        only = call.query.get("updateOnly", "false").lower() == "true"
        data, allow = body_of(call), _allow_save(call)
        if by[0].lower() == "id":
            return Answer(204, written=[(o.name, self.records.update(o, by[1], data))])
        record, created = self.records.upsert(o, by, data, base, update_only=only, allow_save=allow)
        written = [(o.name, record)]
        flagged = int(base.rpartition("v")[2].removesuffix(".0")) >= CREATED_FLAG_SINCE
        if not created and not flagged:
            return Answer(204, written=written)
        body: Record = {"id": record, "success": True, "errors": []}
        answer = json_answer(
            201 if created else 200, body | ({"created": created} if flagged else {})
        )
        place = {"Location": f"{base}/sobjects/{o.name}/{record}"} if created else {}
        return Answer(answer.status, answer.body, place, written)

    def _sub_request(self, call: Call) -> Answer:
        """A part of a composite: routed like a call of its own, but not counted."""
        return self._route(call)


def body_of(call: Call) -> Record:
    """The JSON object a call carries."""
    try:
        return msgspec.json.decode(call.body, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        text = f"Unexpected character in JSON body: {error}"
        raise Refused("JSON_PARSER_ERROR", text) from None


def _object(name: str) -> Object:
    if name.lower() not in BY_LOWER:
        raise not_found()
    return BY_LOWER[name.lower()]


def _fields(call: Call) -> list[str] | None:
    asked = call.query.get("fields")
    return asked.split(",") if asked else None


def _allow_save(call: Call) -> bool:
    header = call.headers.get("sforce-duplicate-rule-header", "")
    return re.search(r"allowSave\s*=\s*true", header, re.IGNORECASE) is not None


def _moment(call: Call, name: str) -> str:
    try:
        return as_datetime(call.query[name].replace(" ", "+"))
    except (KeyError, ValueError):
        text = f"{name} is not a valid ISO 8601 date and time"
        raise Refused("INVALID_REPLICATION_DATE", text) from None


def _versions() -> list[Record]:
    return [
        {"label": f"v{n}", "url": f"/services/data/v{n}.0", "version": f"{n}.0"}
        for n in range(OLDEST, NEWEST + 1)
    ]
