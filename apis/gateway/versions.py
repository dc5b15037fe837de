"""An older major in front of the one that is spoken inside: its target is a wrapper, made at start.

What comes is lifted, what goes is lowered; a problem names what the caller sent, not what it was
turned into. What is not JSON streams through as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode

import msgspec

from apis.gateway.bodies import is_json
from apis.gateway.guard import ASGIApp, Header, Message, Receive, Scope, Send
from apis.gateway.requests import replay
from apis.gateway.routes import Mount
from apis.runtime.lean import BODY_KEY
from contracts.conversions import Asked, Chain, Majors, chain
from contracts.errors import FieldError, Misconfigured

FAILED = 400
EMPTY = frozenset({204, 205, 304})
_LINKING = frozenset({b"location", b"content-location", b"link"})
_LENGTH = b"content-length"
_NOT_INSIDE = frozenset({_LENGTH, b"transfer-encoding", b"accept-encoding"})
_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode


class Way(NamedTuple):
    """How one operation of an older major is asked inside; `here` and `inside` are its paths."""

    chain: Chain
    here: tuple[str, ...]
    inside: tuple[str, ...]
    most: int
    """The largest answer that is taken."""
    spoken: str
    """The target that is spoken inside."""


def ways_of(old: Mount, spoken: Mount, majors: Majors) -> tuple[dict[str, Way], list[str]]:
    """The ways of all operations of an older major, and what is missing of them."""
    inside = dict(_paths(spoken))
    begin, end = (int(each.target.rpartition("/v")[2]) for each in (old, spoken))
    sizes = {route.operation: route.takes.rules.sizes for _, route in old.routes}
    alike = _promises(old) == _promises(spoken)
    ways, missing = {}, []
    for operation, here in _paths(old):
        found = Chain(operation, ()) if alike else chain(majors, operation, begin, end)
        if found is None or found.operation not in inside:
            missing.append(operation)
            continue
        most = sizes[operation].response
        ways[operation] = Way(found, here, inside[found.operation], most, spoken.target)
    return ways, missing


def _promises(mount: Mount) -> tuple[Any, Any]:
    """What the document of a version says, but for its name: two that say the same need no row."""
    paths = mount.document.get("paths", {})
    bare = {path.removeprefix(f"/{mount.target}"): item for path, item in paths.items()}
    return bare, mount.document.get("components")


def _paths(mount: Mount) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each operation with the parts of its path below the version."""
    for template, item in mount.document.get("paths", {}).items():
        path = template.removeprefix(f"/{mount.target}") or "/"
        for operation in item.values():
            if isinstance(operation, dict) and "operationId" in operation:
                yield operation["operationId"], tuple(path.split("/"))


class Converted:
    """The target of an older major: the spoken one's, asked and heard through conversions."""

    def __init__(self, target: ASGIApp, old: Mount, spoken: str, ways: Mapping[str, Way]) -> None:
        self._target = target
        self._mount = old
        self._ways = ways
        self._words = f"/{spoken}/".encode(), f"/{old.target}/".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, which is as the older major's document says."""
        methods = self._mount.find(scope["path"]) or {}
        way = self._ways[methods[scope["method"]].operation]
        body, receive = await _whole(scope, receive)
        child, changed = _inside(way, scope, body)
        if changed is not None:
            receive = replay(changed, receive)
        answer = _Answer(send, way, self._words, head=scope["method"] == "HEAD")
        await self._target(child, receive, answer)
        await answer.end()


def converted(
    targets: Mapping[str, ASGIApp],
    mounts: Mapping[str, Mount],
    ways: Mapping[str, Mapping[str, Way]],
) -> dict[str, ASGIApp]:
    """The targets, those of older majors behind their conversions."""
    made = dict(targets)
    for target, known in ways.items():
        spoken = next(iter(known.values())).spoken if known else target
        made[target] = Converted(targets[target], mounts[target], spoken, known)
    return made


async def _whole(scope: Scope, receive: Receive) -> tuple[bytes | None, Receive]:
    """The body if it is JSON, and where to read it again."""
    headers = dict(scope["headers"])
    none = headers.get(_LENGTH, b"0") == b"0" and b"transfer-encoding" not in headers
    if none or not is_json(headers.get(b"content-type", b"")):
        return None, receive
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None, _told(message, receive)
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            body = b"".join(parts)
            return body, replay(body, receive)


def _told(message: Message, receive: Receive) -> Receive:
    """Tell a message again, then what follows."""
    waiting = [message]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


def _inside(way: Way, scope: Scope, body: bytes | None) -> tuple[Scope, bytes | None]:
    """The request as it is asked inside, and its body where that is another."""
    parts = scope["path"].split("/")
    named = {
        name[1:-1]: part for name, part in zip(way.here, parts, strict=True) if name.startswith("{")
    }
    query = scope["query_string"]
    given = tuple(parse_qsl(query.decode(), keep_blank_values=True))
    value = _decode(body) if body else None
    asked = way.chain.lifted(Asked(named, given, value))
    path = [asked.path[name[1:-1]] if name.startswith("{") else name for name in way.inside]
    headers = [each for each in scope["headers"] if each[0] != b"accept-encoding"]
    changed = None
    if asked.body is not value and asked.body != value:
        changed = _encode(asked.body)
        headers = [each for each in headers if each[0] not in _NOT_INSIDE]
        headers.append((_LENGTH, b"%d" % len(changed)))
    child = {
        **scope,
        "path": "/".join(path),
        "raw_path": "/".join(quote(part, safe="") for part in path).encode(),
        "query_string": query if asked.query == given else urlencode(asked.query).encode(),
        "headers": headers,
    }
    if changed is not None and BODY_KEY in child:
        child[BODY_KEY] = changed
    return child, changed


class _Answer:
    """Holds what is JSON until the target is done, then tells it as the older major does."""

    def __init__(self, send: Send, way: Way, words: tuple[bytes, bytes], *, head: bool) -> None:
        self._send = send
        self._way = way
        self._words = words
        self._head = head
        self._start: Message | None = None
        self._parts: list[bytes] = []
        self._size = 0

    async def __call__(self, message: Message) -> None:
        """Take a message of the target."""
        if message["type"] == "http.response.start":
            headers = [self._moved(name.lower(), value) for name, value in message["headers"]]
            kind = dict(headers).get(b"content-type", b"")
            told = {**message, "headers": headers}
            if self._head:
                told["headers"] = [each for each in headers if each[0] != _LENGTH]
            elif is_json(kind) and message["status"] not in EMPTY:
                self._start = told
                return
            await self._send(told)
        elif self._start is None or message["type"] != "http.response.body":
            await self._send(message)
        else:
            self._size += len(message.get("body", b""))
            if self._size <= self._way.most:
                self._parts.append(message.get("body", b""))

    def _moved(self, name: bytes, value: bytes) -> Header:
        """A header that leads to the spoken major leads to this one."""
        return name, value.replace(*self._words) if name in _LINKING else value

    async def end(self) -> None:
        """Send what was held."""
        if self._start is None:
            return
        if self._size > self._way.most:
            told = "the answer is larger than what can be held to convert it"
            raise Misconfigured("response-invalid", told)
        body = b"".join(self._parts)
        value = _decode(body)
        failed = self._start["status"] >= FAILED
        lowered = self._blamed(value) if failed else self._way.chain.lowered(value)
        body = body if lowered is value else _encode(lowered)
        headers = [each for each in self._start["headers"] if each[0] != _LENGTH]
        headers.append((_LENGTH, b"%d" % len(body)))
        await self._send({**self._start, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    def _blamed(self, problem: Any) -> Any:
        """A problem that names parameters and members as the caller knows them."""
        if not isinstance(problem, dict) or not problem.get("errors"):
            return problem
        was = msgspec.convert(problem["errors"], list[FieldError])
        now = [self._way.chain.blamed(error) for error in was]
        detail = problem.get("detail", "")
        for before, after in zip(was, now, strict=True):
            if before.parameter and after.parameter:
                detail = detail.replace(before.parameter, after.parameter)
        return {**problem, "detail": detail, "errors": msgspec.to_builtins(now)}
