"""Many in one call: `/composite`, `/composite/batch` and the collections."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from apis.runtime.sandbox import Kit
from apis.runtime.sandbox_wire import Answer, Call
from system_apis.salesforce.sandbox.collection import Collections
from system_apis.salesforce.sandbox.errors import Refused, json_answer, not_found, row_lock
from system_apis.salesforce.sandbox.records import Records

MOST_PARTS = 25
MOST_QUERIES = 5
NOT_WELL = 300
REFERENCE = re.compile(r"@\{([A-Za-z_]\w*)((?:\.\w+|\[\d+\])*)\}")
STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
METHODS = {"GET", "POST", "PATCH", "PUT", "DELETE", "HEAD"}
CLOSED_HEADERS = {"accept", "authorization", "content-type"}
HALTED = "The transaction was rolled back since another operation in the same transaction failed."
Record = dict[str, Any]


class Composite:
    """The composite resources; parts see what earlier parts made."""

    def __init__(self, kit: Kit, records: Records, route: Callable[[Call], Answer]) -> None:
        self.kit, self.route = kit, route
        self.collections = Collections(kit, records)

    def answer(self, call: Call, method: str, rest: list[str], base: str) -> Answer:
        """One composite call."""
        match method, rest:
            case "POST", []:
                return self._composite(call)
            case "POST", ["batch"]:
                return self._batch(call, base)
            case _, ["sobjects", *place]:
                return self.collections.answer(call, method, place, base)
        raise not_found()

    def _composite(self, call: Call) -> Answer:
        envelope = decoded(call)
        parts = _checked(envelope)
        whole = bool(envelope.get("allOrNone", False))
        done: dict[str, Any] = {}
        answers: list[Record] = []
        written: list[tuple[str, str]] = []
        self.kit.db.execute("SAVEPOINT composite")
        for index, part in enumerate(parts):
            answer = self._part(call, part, done, index)
            body = msgspec.json.decode(answer.body) if answer.body else None
            answers.append(
                {
                    "body": body,
                    "httpHeaders": {k: v for k, v in answer.headers.items() if k == "Location"},
                    "httpStatusCode": answer.status,
                    "referenceId": part["referenceId"],
                }
            )
            written += answer.written
            if answer.status < NOT_WELL:
                done[part["referenceId"]] = body
            elif whole:
                self.kit.db.execute("ROLLBACK TO composite")
                answers, written = _halted(parts, answers[-1]), []
                break
        self.kit.db.execute("RELEASE composite")
        answer = json_answer(200, {"compositeResponse": answers})
        answer.written = written
        return answer

    def _part(self, call: Call, part: Record, done: dict[str, Any], index: int) -> Answer:
        def act() -> Answer:
            inner = _inner(call, filled(part, done))
            if call.locked in {0, index + 1}:
                raise row_lock(inner.path.rpartition("/")[2])
            return self.route(inner)

        return self.kit.attempt(act)

    def _batch(self, call: Call, base: str) -> Answer:
        envelope = decoded(call)
        given = envelope.get("batchRequests")
        parts = [p for p in given if isinstance(p, dict)] if isinstance(given, list) else []
        if given != parts or not 0 < len(parts) <= MOST_PARTS:
            text = f"batchRequests must hold 1 to {MOST_PARTS} requests"
            raise Refused("BATCH_PROCESSING_EXCEPTION", text)
        results: list[Record] = []
        written: list[tuple[str, str]] = []
        failed = False
        for index, part in enumerate(parts):
            if failed and envelope.get("haltOnError"):
                error = Refused("BATCH_PROCESSING_HALTED", "Batch processing halted")
                results.append({"statusCode": 412, "result": error.single()})
                continue
            root = base.rpartition("/")[0]
            request = {
                "method": part.get("method"),
                "url": f"{root}/{str(part.get('url')).lstrip('/')}",
                "body": part.get("richInput"),
            }
            answer = self._part(call, request, {}, index)
            failed = failed or answer.status >= NOT_WELL
            written += answer.written
            body = msgspec.json.decode(answer.body) if answer.body else None
            results.append({"statusCode": answer.status, "result": body})
        answer = json_answer(200, {"hasErrors": failed, "results": results})
        answer.written = written
        return answer


def decoded(call: Call) -> Record:
    """The envelope; what is no JSON object is refused whole."""
    try:
        return msgspec.json.decode(call.body, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise Refused("JSON_PARSER_ERROR", str(error)) from None


def filled(value: Any, done: dict[str, Any]) -> Any:
    """Replace `@{ref.path}` by what an earlier part answered."""
    if isinstance(value, dict):
        return {k: filled(v, done) for k, v in value.items()}
    if isinstance(value, list):
        return [filled(item, done) for item in value]
    if not isinstance(value, str):
        return value
    if alone := REFERENCE.fullmatch(value):
        return _looked_up(alone, done)
    return REFERENCE.sub(lambda found: str(_looked_up(found, done)), value)


def _looked_up(found: re.Match[str], done: dict[str, Any]) -> Any:
    value: Any = done.get(found.group(1))
    for name, index in STEP.findall(found.group(2)):
        try:
            value = value[int(index)] if index else value[name]
        except (KeyError, IndexError, TypeError):
            value = None
        if value is None:
            break
    if value is None:
        text = (
            f"Invalid reference specified. No value for {found.group(0)[2:-1]} found in"
            f" {found.group(1)}"
        )
        raise Refused("PROCESSING_HALTED", text)
    return value


def _checked(envelope: Record) -> list[Record]:
    parts = envelope.get("compositeRequest")
    if not isinstance(parts, list) or not parts:
        raise Refused("JSON_PARSER_ERROR", "compositeRequest is missing or empty")
    if len(parts) > MOST_PARTS:
        text = f"The limit of {MOST_PARTS} subrequests is exceeded"
        raise Refused("LIMIT_EXCEEDED", text)
    seen: set[str] = set()
    for part in parts:
        reference = part.get("referenceId") if isinstance(part, dict) else None
        if not isinstance(reference, str) or not re.fullmatch(r"[A-Za-z_]\w*", reference):
            raise Refused("INVALID_INPUT", "referenceId is missing or not valid")
        if reference in seen:
            raise Refused("INVALID_INPUT", f"Duplicate ReferenceId provided: {reference}")
        seen.add(reference)
        if part.get("method") not in METHODS:
            raise Refused("INVALID_INPUT", f"Invalid HTTP method: {part.get('method')}")
        if closed := CLOSED_HEADERS & {k.lower() for k in part.get("httpHeaders") or {}}:
            raise Refused("INVALID_INPUT", f"Header not allowed: {min(closed)}")
    queries = [p for p in parts if re.search(r"/(query|composite/sobjects)\b", str(p.get("url")))]
    if len(queries) > MOST_QUERIES:
        text = f"At most {MOST_QUERIES} subrequests can be query or collection operations"
        raise Refused("LIMIT_EXCEEDED", text)
    return parts


def _inner(call: Call, part: Record) -> Call:
    url = urlsplit(str(part.get("url", "")))
    if not url.path.startswith("/services/data/"):
        raise not_found()
    return Call(
        method=str(part["method"]),
        path=url.path,
        query=dict(parse_qsl(url.query, keep_blank_values=True)),
        headers={
            **call.headers,
            **{k.lower(): v for k, v in (part.get("httpHeaders") or {}).items()},
        },
        body=msgspec.json.encode(part["body"]) if part.get("body") is not None else b"",
        scheme=call.scheme,
    )


def _halted(parts: list[Record], failed: Record) -> list[Record]:
    halted = Refused("PROCESSING_HALTED", HALTED).single()
    return [
        failed
        if part["referenceId"] == failed["referenceId"]
        else {
            "body": halted,
            "httpHeaders": {},
            "httpStatusCode": 400,
            "referenceId": part["referenceId"],
        }
        for part in parts
    ]
