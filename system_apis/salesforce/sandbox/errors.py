"""Refusals in Salesforce's words: codes, messages and statuses as the REST API gives them."""

from __future__ import annotations

from typing import Any

import msgspec

from apis.runtime.sandbox_wire import Answer, Refusal

NOT_FOUND = 404


class Refused(Refusal):
    """One error of one record or call; its shape differs for single calls and collections."""

    def __init__(
        self, code: str, message: str, *fields: str, status: int = 400, body: Any = None
    ) -> None:
        self.code, self.message, self.fields = code, message, list(fields)
        self.status, self.body = status, body
        self.extra: dict[str, Any] = {}
        super().__init__(f"{code}: {message}")

    def answer(self) -> Answer:
        """What a single call is told."""
        return json_answer(self.status, self.single())

    def single(self) -> Any:
        """The body of a single call: an array, the code under `errorCode`."""
        if self.body is not None:
            return self.body
        error: dict[str, Any] = {"message": self.message, "errorCode": self.code}
        if self.fields or self.code in WITH_FIELDS:
            error["fields"] = self.fields
        return [error | self.extra]

    def listed(self) -> dict[str, Any]:
        """The entry of a collection: the code under `statusCode`."""
        error = {"statusCode": self.code, "message": self.message, "fields": self.fields}
        return {"success": False, "errors": [error | self.extra]}


WITH_FIELDS = {
    "DUPLICATE_VALUE",
    "DUPLICATES_DETECTED",
    "ENTITY_IS_DELETED",
    "FIELD_CUSTOM_VALIDATION_EXCEPTION",
    "UNABLE_TO_LOCK_ROW",
    "INSUFFICIENT_ACCESS_OR_READONLY",
}


def not_found() -> Refused:
    """A resource that is not there, for whatever reason."""
    return Refused("NOT_FOUND", "The requested resource does not exist", status=NOT_FOUND)


def no_such_column(name: str, entity: str) -> Refused:
    """A field in a body that the object does not have."""
    return Refused("INVALID_FIELD", f"No such column '{name}' on sobject of type {entity}")


def row_lock(record: str) -> Refused:
    """Another transaction holds the record, or its parent."""
    text = f"unable to obtain exclusive access to this record or 1 records: {record}"
    return Refused("UNABLE_TO_LOCK_ROW", text)


def json_answer(status: int, value: Any) -> Answer:
    """An answer with a JSON body."""
    return Answer(status, msgspec.json.encode(value))


def oauth_error(code: str, description: str | None, status: int = 400) -> Answer:
    """OAuth errors are an object; the description is missing at times."""
    body = {"error": code}
    if description:
        body["error_description"] = description
    return json_answer(status, body)


HTML = b"""<html>
<head><title>502 Bad Gateway</title></head>
<body><center><h1>502 Bad Gateway</h1></center><hr><center>sfdcedge</center></body>
</html>
"""
SESSION = "Session expired or invalid"
ODD_SESSIONS = {  # 401s that a new token does not mend
    "rest": "This session is not valid for use with the REST API",
    "agent": "Connected app is not attached to Agent",
}


def refusal(fault: str) -> Answer:
    """The answer to a whole call that met this fault."""
    match fault:
        case "throttle":
            code, text, status = "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", 403
        case "expire-token":
            code, text, status = "INVALID_SESSION_ID", SESSION, 401
        case "maintenance":
            code, status = "SERVER_UNAVAILABLE", 503
            text = (
                "We are down for maintenance. Sorry for the inconvenience. We'll be back shortly."
            )
        case "html":
            return Answer(502, HTML, {"content-type": "text/html"})
        case _:
            code, status = "UNKNOWN_EXCEPTION", 500
            text = (
                "An unexpected error occurred. Please include this ErrorId if you contact support:"
                " 1763690112-37401 (-1391374120)"
            )
    return json_answer(status, Refused(code, text).single())


def token_refusal(fault: str) -> Answer:
    """The same, as the token endpoint says it."""
    match fault:
        case "throttle":
            return oauth_error("invalid_grant", "login rate exceeded")
        case "expire-token":
            return oauth_error("invalid_grant", None)
        case "maintenance":
            return oauth_error("temporarily_unavailable", "Service Unavailable", 503)
        case "html":
            return refusal("html")
        case _:
            return oauth_error("server_error", "unknown error", 500)
