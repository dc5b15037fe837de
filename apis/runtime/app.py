"""`make_app`: errors, context, health, OpenAPI and logging, the same for every app."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from http import HTTPStatus
from math import ceil
from typing import Any, get_origin

import msgspec
from litestar import Litestar, Request, Response, get
from litestar.di import Provide
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.config import OpenAPIConfig
from litestar.types import ControllerRouterHandler

from apis.runtime.audience import settled
from apis.runtime.clients import CALLS, PLANNED, WROTE, Receive, Scope, Send
from apis.runtime.context import CURRENT, SCOPE_KEY, Call, Context, trace_id_of
from apis.runtime.lean import LeanRequest, LeanResponse
from apis.runtime.log import get_logger
from apis.runtime.refusals import field_errors
from apis.runtime.tokens import InternalTokens
from apis.runtime.traces import SPANS, spanning
from contracts.errors import FieldError, Problem, ThroughlineError, problem_of

PROBLEM = "application/problem+json"
SERVER_ERROR = 500
UNPROCESSABLE = 422
POLICY_VIOLATION = 1008
REMEDY = "set right what is named here, as the published document of this API says, and ask again"
log = get_logger(__name__)
CODES = {
    400: "bad-request",
    404: "not-found",
    405: "method-not-allowed",
    413: "payload-too-large",
    415: "unsupported-media-type",
}


class App:
    """One API: a Litestar app behind the check of who calls it."""

    def __init__(self, litestar: Litestar, tokens: InternalTokens | None, audience: str) -> None:
        self.litestar = litestar
        self.tokens = tokens
        self.audience = audience

    def serving(self, tokens: InternalTokens, audience: str) -> App:
        """The same app for another process's calls: they must show a token for `audience`."""
        return App(self.litestar, tokens, audience)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request under its context; without one nothing is answered but 401."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
            return
        if scope["type"] != "http":
            await self.litestar(scope, receive, send)  # type: ignore[arg-type]  # ASGI scopes are dicts
            return
        try:
            context = scope.get(SCOPE_KEY) or self._shown(scope)
        except ThroughlineError as error:
            await refuse(send, error)
            return
        call = Call(context)
        token = CURRENT.set(call)
        try:
            answer = Answer(send, call)
            if SPANS.recorder is None:
                await self.litestar(scope, receive, answer)  # type: ignore[arg-type]  # ASGI scopes are dicts
            else:
                await self._spanned(scope, receive, answer, call)
            await answer.end()
        finally:
            CURRENT.reset(token)

    async def _spanned(self, scope: Scope, receive: Receive, answer: Answer, call: Call) -> None:
        config = self.litestar.openapi_config
        title = config.title if config else self.audience
        told: dict[str, str | int | None] = {"throughline.request_id": call.context.request_id}
        with spanning(call, f"{scope['method']} {title}", "server", told):
            await self.litestar(scope, receive, answer)  # type: ignore[arg-type]  # ASGI scopes are dicts
            told["throughline.operation"] = getattr(scope.get("route_handler"), "operation_id", "")
            told["http.response.status_code"] = answer.status

    def _shown(self, scope: Scope) -> Context:
        if self.tokens is None:
            raise ThroughlineError("internal", "this app is not served to other processes")
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        return self.tokens.context(headers, self.audience)


class Answer:
    """Adds what the request called; in a dry run, wraps the body with what would be written."""

    def __init__(self, send: Send, call: Call) -> None:
        self._send = send
        self._call = call
        self._start: dict[str, Any] | None = None
        self._parts: list[bytes] = []

    @property
    def status(self) -> int | None:
        """What was answered, once it was."""
        return self._start["status"] if self._start else None

    async def __call__(self, message: dict[str, Any]) -> None:
        """Pass a message on, or hold it until the end of a dry run."""
        if message["type"] == "http.response.start":
            self._start = message
            if self._call.context.actor.startswith("svc:"):
                told = ((CALLS, self._call.calls), (WROTE, self._call.wrote))
                more = [(name, header(rows)) for name, rows in told if rows]
                message["headers"] = [*message["headers"], *more]
            if not self._call.planned:
                await self._send(message)
            return
        if self._call.planned:
            self._parts.append(message.get("body", b""))
        else:
            await self._send(message)

    async def end(self) -> None:
        """Send what was held."""
        if not self._call.planned or self._start is None:
            return
        body = b"".join(self._parts)
        wrapped = (
            b'{"planned":'
            + msgspec.json.encode(self._call.planned)
            + b',"answer":'
            + (body or b"null")
            + b"}"
        )
        kept = [header for header in self._start["headers"] if header[0] != b"content-length"]
        headers = [*kept, (PLANNED, b"1"), (b"content-length", str(len(wrapped)).encode())]
        await self._send(self._start | {"headers": headers})
        await self._send({"type": "http.response.body", "body": wrapped})


def header(rows: list[dict[str, Any]]) -> bytes:
    """Rows as a header takes them: in ASCII alone."""
    data = msgspec.json.encode(rows)
    return data if data.isascii() else json.dumps(rows).encode()


def make_app(
    title: str,
    *,
    version: str,
    routes: Sequence[ControllerRouterHandler],
    dependencies: Mapping[str, Any] | None = None,
    description: str = "",
    source: str | None = None,
) -> App:
    """An app that states its own version; `dependencies` are values by argument name.

    `source` is the system behind it: what an error comes from that names no other.
    """
    provided = {name: provide(value) for name, value in (dependencies or {}).items()}
    litestar = Litestar(
        route_handlers=[health, *routes],
        dependencies=provided,
        exception_handlers={
            Exception: on_defect,
            ThroughlineError: partial(on_error, source=source),
            HTTPException: on_refusal,
        },
        openapi_config=OpenAPIConfig(title=title, version=version, description=description or None),
        request_class=LeanRequest,
        response_class=LeanResponse,
        debug=False,
        logging_config=None,
    )
    for route in litestar.routes:
        for handler in getattr(route, "route_handlers", ()):
            if not handler.fn.__module__.startswith("litestar."):
                settle(handler)
    return App(litestar, None, "")


def settle(handler: Any) -> None:
    """Decide what of a route's answers is kept from whom; TypeError where nobody would ask."""
    answer = handler.parsed_fn_signature.return_type.annotation
    made = get_origin(answer) or answer
    if isinstance(made, type) and issubclass(made, Response) and not issubclass(made, LeanResponse):
        msg = f"{handler.handler_name} answers what is not trimmed: return a LeanResponse"
        raise TypeError(msg)
    settled(answer)


def provide(value: Any) -> Provide:
    """A provider: functions are called per request, other values are given as they are."""
    if callable(value) and not isinstance(value, type):
        return Provide(value, sync_to_thread=False)
    return Provide(lambda: value, sync_to_thread=False)


@get("/healthz", operation_id="getHealth", include_in_schema=False, sync_to_thread=False)
def health() -> dict[str, str]:
    """Whether the app answers."""
    return {"status": "ok"}


def on_error(
    request: Request[Any, Any, Any], error: ThroughlineError, source: str | None = None
) -> Response[Problem]:
    """A domain error as its problem document."""
    del request
    error.source = error.source or source
    return answer_of(error)


def on_refusal(request: Request[Any, Any, Any], error: HTTPException) -> Response[Problem]:
    """What the framework refused: an unknown path, a wrong method, a body that does not fit."""
    errors: tuple[FieldError, ...] = ()
    status, code = error.status_code, CODES.get(error.status_code, "refused")
    if isinstance(error, ValidationException):
        status, code = UNPROCESSABLE, "validation-failed"
        errors = field_errors(error, request.route_handler.parsed_fn_signature.parameters)
    if status >= SERVER_ERROR:
        return on_defect(request, error)
    context = CURRENT.get().context
    problem = Problem(
        type=f"/problems/{code}",
        request_id=context.request_id or None,
        trace_id=trace_id_of(context.traceparent) or None,
        title=HTTPStatus(status).phrase,
        status=status,
        code=code,
        errors=errors,
        detail=errors[0].message if errors else "",
        retryable=False,
        owner="caller",
        remedy=REMEDY,
    )
    return Response(problem, status_code=status, media_type=PROBLEM, headers=error.headers or {})


def on_defect(request: Any, error: Exception) -> Response[Problem]:
    """A defect: logged whole, told without detail."""
    del request
    log.error("app.defect", error=type(error).__name__, exc_info=error)
    return answer_of(ThroughlineError("internal", "this was logged and will be looked at"))


def answer_of(error: ThroughlineError) -> Response[Problem]:
    """The response of an error, with `Retry-After` where there is something to wait for."""
    context = CURRENT.get().context
    problem = problem_of(
        error,
        request_id=context.request_id or None,
        trace_id=trace_id_of(context.traceparent) or None,
    )
    headers = {"Retry-After": str(max(1, ceil(error.retry_after)))} if error.retry_after else {}
    return Response(problem, status_code=error.status, media_type=PROBLEM, headers=headers)


async def refuse(send: Send, error: ThroughlineError) -> None:
    """Answer outside the framework."""
    body = msgspec.json.encode(problem_of(error))
    headers = [(b"content-type", PROBLEM.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def caller() -> Context:
    """Who asks: the context of the request being answered."""
    return CURRENT.get().context
