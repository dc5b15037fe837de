"""Whether an answer is as the document of its API says, before any of it leaves.

Only where `responses` is observed or enforced; elsewhere answers stream through. A failure of one
of our apps is told anew (`exchange.py`) and leaves in any mode; that its status is not documented
is observed. A document that names no content for a status says nothing about its body.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from apis.gateway.bodies import is_json
from apis.gateway.exchange import Exchange, Outcome
from apis.gateway.guard import Message, Refusal
from apis.gateway.parameters import Parameter, lines_of, parameter_of
from apis.gateway.requests import Rules, kinds_of, media
from apis.gateway.schemas import Check, Schemas
from apis.runtime.log import get_logger
from apis.runtime.refusals import pointer

FAILED = 400
MOST_TOLD = 10
EMPTY = frozenset({204, 205, 304})
INVALID = Refusal("response-invalid", "The answer is not as the document of this API says.")
log = get_logger(__name__)


class Answer(msgspec.Struct, frozen=True):
    """What one status brings."""

    kinds: dict[str, Check | None]
    headers: tuple[tuple[bytes, Parameter], ...]


class Gives(msgspec.Struct, frozen=True):
    """What an operation answers, by its document; `statuses` by `200`, `2XX` or `default`."""

    rules: Rules
    statuses: dict[str, Answer]

    def of(self, status: int) -> Answer | None:
        """What this status brings; None for one that is not documented."""
        names = (str(status), f"{status // 100}XX", "default")
        return next((self.statuses[name] for name in names if name in self.statuses), None)


def gives_of(schemas: Schemas, template: str, method: str, rules: Rules) -> Gives | None:
    """Read what the document says of answers, where that counts; ValueError if it cannot be."""
    if rules.modes.responses == "off":
        return None
    at, _ = schemas.find("paths", template)
    place, told = schemas.find(*at, method, "responses")
    statuses = {}
    for status in told or ():
        spot, answer = schemas.find(*place, str(status))
        headers = tuple(
            (name.lower().encode(), parameter_of(schemas, (*spot, "headers", name), name))
            for name in answer.get("headers", ())
            if name.lower() != "content-type"
        )
        statuses[str(status).upper()] = Answer(kinds_of(schemas, (*spot, "content")), headers)
    if "DEFAULT" in statuses:
        statuses["default"] = statuses.pop("DEFAULT")
    return Gives(rules, statuses)


class Checked:
    """Takes what a target answers, and lets it go when it is right."""

    def __init__(self, gives: Gives, exchange: Exchange) -> None:
        self._gives = gives
        self._exchange = exchange
        self._start: Message | None = None
        self._parts: list[bytes] = []
        self._size = 0
        self._passing = self._over = False

    async def __call__(self, message: Message) -> None:
        """Hold a part of the answer; judge it with the last."""
        if self._over:
            return
        if self._passing:
            await self._exchange.answer(message)
        elif message["type"] == "http.response.start":
            self._passing = message["status"] >= FAILED and not self._gives.rules.foreign
            if self._passing:
                if self._gives.of(message["status"]) is None:
                    self._tell([_undocumented(message["status"])], "observed")
                await self._exchange.answer(message)
            else:
                self._start = message
        elif self._start is not None:
            self._parts.append(message.get("body", b""))
            self._size += len(self._parts[-1])
            if self._size > self._gives.rules.sizes.response:
                await self._judged(self._start, ["more than can be held"], message)
            elif not message.get("more_body"):
                body = b"".join(self._parts)
                await self._judged(self._start, list(self._faults(self._start, body)), message)

    def _faults(self, start: Message, body: bytes) -> Iterator[str]:
        """What is wrong, by place and kind, without a value."""
        status: int = start["status"]
        headers = {name.lower(): value for name, value in start["headers"]}
        answer = self._gives.of(status)
        if answer is None:
            yield _undocumented(status)
            return
        for name, parameter in answer.headers:
            if lines := lines_of(name, start["headers"]):
                yield from (
                    f"header {parameter.name}: {each.code}"
                    for each in parameter.header_errors(lines)
                )
            elif parameter.required:
                yield f"header {parameter.name}: missing"
        if answer.kinds and status not in EMPTY and not self._exchange.head:
            yield from _body_faults(answer, headers, body)

    async def _judged(self, start: Message, faults: list[str], last: Message) -> None:
        exchange, mode = self._exchange, self._gives.rules.modes.responses
        if faults:
            self._tell(faults, "refused" if mode == "enforce" else "observed")
        if faults and mode == "enforce":
            self._over = True
            owner = self._gives.rules.owner or "operations"
            problem = exchange.outside.refused(INVALID)
            await exchange.problem(msgspec.structs.replace(problem, owner=owner))
            return
        self._passing = True
        await exchange.answer(start)
        await exchange.answer({**last, "body": b"".join(self._parts)})

    def _tell(self, faults: list[str], outcome: Outcome) -> None:
        exchange = self._exchange
        exchange.decide("responses", INVALID.code, outcome)
        log.warning(
            "response.invalid",
            target=exchange.target,
            operation=exchange.operation,
            faults=faults[:MOST_TOLD],
        )


def _undocumented(status: int) -> str:
    return f"the status {status} is not documented"


def _body_faults(answer: Answer, headers: dict[bytes, bytes], body: bytes) -> Iterator[str]:
    kind = headers.get(b"content-type", b"")
    found = media(kind, answer.kinds)
    if found is None:
        yield f"the content type {kind[:100].decode('latin-1')} is not documented"
        return
    check = answer.kinds[found]
    if check is None:
        return
    if not is_json(kind):
        yield f"the content type {kind[:100].decode('latin-1')} cannot be read"
        return
    if b"content-encoding" in headers:
        yield "the body is compressed"
        return
    try:
        value = msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        yield "the body is not JSON"
        return
    if not check.fits(value):
        yield from (f"{pointer(*each.path)}: {each.code}" for each in check.faults(value))
