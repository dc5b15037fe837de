"""Refusals in Kantata's words: a list of type, message and, for a validation, field."""

from __future__ import annotations

import secrets
from typing import Any

import msgspec

from apis.runtime.sandbox_wire import Answer, Refusal

LOCKED = "This record is locked and cannot be changed"
INVALID_TOKEN = "Invalid OAuth 2 Request"  # noqa: S105 - a message
HTML = b"""<html>
<head><title>502 Bad Gateway</title></head>
<body><center><h1>502 Bad Gateway</h1></center></body>
</html>
"""


class Refused(Refusal):
    """Why a call has no effect."""

    def __init__(self, status: int, *errors: dict[str, str]) -> None:
        self.status, self.errors = status, errors
        super().__init__(status, *errors)

    def answer(self) -> Answer:
        """All errors of the call."""
        return answered(self.status, {"errors": list(self.errors)})


def system(status: int, message: str) -> Refused:
    """An error of the account, the platform or the request as a whole."""
    return Refused(status, {"type": "system", "message": message})


def invalid(field: str, message: str) -> Refused:
    """One field that was refused."""
    return Refused(422, {"type": "validation", "message": message, "field": field})


def unauthorized() -> Refused:
    """No token, or one that was revoked."""
    return Refused(401, {"type": "oauth", "message": INVALID_TOKEN})


def not_found() -> Refused:
    """A record that is not there, or that a default filter hides."""
    return system(404, "The requested resource could not be found")


def answered(status: int, value: Any) -> Answer:
    """An answer with a JSON body; every one has a request id."""
    body = b"" if value is None else msgspec.json.encode(value)
    headers = {"x-request-id": secrets.token_hex(16), "content-type": "application/json"}
    return Answer(status, body, headers)


def refusal(fault: str) -> Answer:
    """The answer to a whole call that met this fault; a 429 says nothing about when."""
    match fault:
        case "throttle":
            error = system(429, "Too many requests")
        case "expire-token":
            error = unauthorized()
        case "maintenance":
            error = system(503, "Kantata is down for maintenance")
        case "html":
            return Answer(502, HTML, {"content-type": "text/html"})
        case _:
            error = system(500, "Something went wrong")
    return error.answer()


def oauth_error(status: int, code: str, description: str) -> Answer:
    """What the token endpoint answers."""
    return answered(status, {"error": code, "error_description": description})


def token_refusal(fault: str) -> Answer:
    """A fault of the whole call, as the token endpoint says it."""
    match fault:
        case "throttle":
            return answered(429, None)
        case "expire-token":
            return oauth_error(401, "invalid_client", "Client authentication failed")
        case "maintenance":
            return oauth_error(503, "temporarily_unavailable", "down for maintenance")
        case "html":
            return refusal("html")
        case _:
            return oauth_error(500, "server_error", "unknown error")
