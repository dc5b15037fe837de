"""What Litestar prepares for browsers is left out where tiers ask each other: a third of a hop."""

from __future__ import annotations

from typing import Any, TypeVar

from litestar import MediaType, Request, Response
from litestar.serialization import default_serializer, encode_json
from litestar.types import ASGIApp, Serializer

from apis.runtime.audience import shown

T = TypeVar("T")

BODY_KEY = "throughline.body"
"""Where a caller in the same process puts the whole body in the ASGI scope. No server sets it."""
NO_CONTENT = 204
CONTENT_TYPE, LENGTH = (b"content-type", b"application/json"), b"content-length"


class LeanRequest(Request[Any, Any, Any]):
    """A request whose body a caller in this process has given whole is not read piece by piece."""

    async def body(self) -> bytes:
        """The body as bytes."""
        given: bytes | None = self.scope.get(BODY_KEY)  # type: ignore[assignment]  # our own key
        return await super().body() if given is None else given


class LeanResponse(Response[T]):
    """What a route returns as plain data: JSON with its type and length, nothing merged or mutable.

    What has headers of its own, or another media type, is built by Litestar. Either way the caller
    is told what its roles may see.
    """

    def render(
        self, content: Any, media_type: str, enc_hook: Serializer = default_serializer
    ) -> bytes:
        """The body, for this caller."""
        return super().render(shown(content), media_type, enc_hook)

    def to_asgi_response(  # type: ignore[override]  # all that is asked of it is to be called
        self, app: Any, request: Request[Any, Any, Any], **given: Any
    ) -> ASGIApp:
        """The answer as an ASGI application."""
        special = self.background or given.get("headers") or given.get("cookies")
        text = isinstance(self.content, str | bytes)
        if special or text or self.status_code == NO_CONTENT or self.media_type != MediaType.JSON:
            return super().to_asgi_response(app, request, **given)
        return answering(
            self.status_code or 200, encode_json(shown(self.content), default_serializer)
        )


def answering(status: int, body: bytes) -> ASGIApp:
    """An ASGI application with one answer."""
    headers = [CONTENT_TYPE, (LENGTH, b"%d" % len(body))]

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        del scope, receive
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    return answer
