"""Refusals in NetSuite's words: its envelope, codes and statuses."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec

from apis.runtime.sandbox_wire import Answer, Refusal

MEDIA = "application/vnd.oracle.resource+json; type="
RFC = "https://www.w3.org/Protocols/rfc2616/rfc2616-sec10.html#sec10."


class Refused(Refusal):
    """One error of one call."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        status: int = 400,
        path: str = "",
        header: str = "",
        title: str = "",
    ) -> None:
        self.code, self.detail, self.status, self.title = code, detail, status, title
        self.place = {"o:errorPath": path, "o:errorHeader": header}
        self.headers: dict[str, str] = {}
        self.delay_s = 0.0
        super().__init__(f"{code}: {detail}")

    def answer(self) -> Answer:
        """The error envelope."""
        place = {name: value for name, value in self.place.items() if value}
        body = {
            "type": f"{RFC}{self.status // 100}.{self.status % 100 + 1}",
            "title": self.title or HTTPStatus(self.status).phrase,
            "status": self.status,
            "o:errorDetails": [{"detail": self.detail, "o:errorCode": self.code, **place}],
        }
        found = json_answer(self.status, body, "error")
        found.headers |= self.headers
        found.delay_s = self.delay_s
        return found


def json_answer(status: int, value: Any, kind: str = "singular") -> Answer:
    """An answer with a JSON body of this media type."""
    return Answer(status, msgspec.json.encode(value), {"content-type": MEDIA + kind})


def invalid_field(name: str, value: Any, path: str = "") -> Refused:
    """A value that the field does not take."""
    text = (
        "Error while accessing resource: You have entered an Invalid Field Value"
        f" {shown(value)} for the following field: {name}"
    )
    return Refused("INVALID_CONTENT", text, path=path or name)


def missing_field(names: list[str]) -> Refused:
    """Fields that a record cannot do without."""
    text = f"Error while accessing resource: Please enter value(s) for: {', '.join(names)}."
    return Refused("USER_ERROR", text)


def no_record(kind: str, id_: str) -> Refused:
    """A record that is not there."""
    text = f"The record instance does not exist. Provide a valid record instance ID. ({kind} {id_})"
    return Refused("NONEXISTENT_ID", text, status=404)


def no_login(code: str = "INVALID_LOGIN") -> Refused:
    """Nobody knows who calls; said too when too many call at once."""
    text = "Invalid login attempt. For more details, see the Login Audit Trail."
    refused = Refused(code, text, status=401)
    refused.headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'
    return refused


def too_many() -> Refused:
    """More calls at once than the account may make; nothing tells when to come back."""
    text = "Concurrent request limit exceeded. Request blocked."
    return Refused("CONCURRENCY_LIMIT_EXCEEDED", text, status=429)


def changed() -> Refused:
    """Another save of the same record got in between."""
    return Refused("RCRD_HAS_BEEN_CHANGED", "Record has been changed", path="")


def shown(value: Any) -> str:
    """A value in the words of an error."""
    return str(value["id"]) if isinstance(value, dict) and "id" in value else str(value)


HTML = b"""<!DOCTYPE html>
<html><head><title>NetSuite</title></head>
<body><h1>We are temporarily unable to process your request</h1></body></html>
"""


def refusal(fault: str) -> Answer:
    """The answer to a whole call that met this fault."""
    match fault:
        case "throttle":
            refused = too_many()
        case "expire-token":
            refused = no_login()
        case "maintenance":
            text = "The system is undergoing maintenance."
            refused = Refused("SERVICE_UNAVAILABLE", text, status=503)
        case "html":
            return Answer(502, HTML, {"content-type": "text/html"})
        case _:
            text = "An unexpected error occurred. Error ID: mihd7lks1h5tq2u1gn7kp"
            refused = Refused("UNEXPECTED_ERROR", text, status=500)
    return refused.answer()


def token_error(code: str, description: str = "", status: int = 400) -> Answer:
    """An error of the token endpoint: OAuth's own shape."""
    body = {"error": code} | ({"error_description": description} if description else {})
    return Answer(status, msgspec.json.encode(body), {"content-type": "application/json"})


def token_refusal(fault: str) -> Answer:
    """The same faults, as the token endpoint says them."""
    match fault:
        case "expire-token":
            return token_error("invalid_grant")
        case "maintenance" | "throttle":
            return token_error("temporarily_unavailable", "try again later", 503)
        case "html":
            return refusal("html")
        case _:
            return token_error("server_error", "unknown error", 500)
