"""How Salesforce is called: signing in, paging and the error table (facts and links: README.md)."""

from __future__ import annotations

from base64 import b64encode
from typing import Any
from urllib.parse import quote

import msgspec
from joserfc import jwt
from joserfc.jwk import RSAKey

from apis.runtime.sign_in import OAUTH, Account, SignIn, Token, TokenRequest
from apis.runtime.vendor import Errors, Pages, Vendor
from contracts.errors import (
    Conflict,
    Misconfigured,
    NotFound,
    Rejected,
    Throttled,
    Transient,
    Unavailable,
)

ASSERTION_S = 180
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
NOT_EXPIRED = (  # 401s that a new token does not mend: asking again would never end
    "This session is not valid for use with the REST API",
    "Connected app is not attached to Agent",
)


def token_request(account: Account, now: float) -> TokenRequest:
    """Client credentials or a signed assertion, whichever the connection is set up with."""
    url = f"{account.login_url}/services/oauth2/token"
    known = account.credentials
    if account.kind == "jwt":
        claims = {
            "iss": known["client_id"],
            "sub": known["username"],
            "aud": account.audience or account.login_url,
            "exp": int(now) + ASSERTION_S,
        }
        signed = jwt.encode({"alg": "RS256"}, claims, RSAKey.import_key(known["private_key"]))
        return TokenRequest(url, {"grant_type": JWT_BEARER, "assertion": signed})
    pair = ":".join(quote(known[part], safe="") for part in ("client_id", "client_secret"))
    basic = {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}
    return TokenRequest(url, {"grant_type": "client_credentials"}, basic)


def read_token(answer: Any) -> Token:
    """The token, and the instance that all calls go to."""
    bearer = {"Authorization": f"Bearer {answer['access_token']}"}
    return Token(answer["instance_url"].rstrip("/"), bearer)


def expired(status: int, code: str, text: str) -> bool:
    """Whether a new token would help."""
    odd = any(each in text for each in NOT_EXPIRED)
    return status == 401 and code == "INVALID_SESSION_ID" and not odd  # noqa: PLR2004 - a table


SALESFORCE = Vendor(
    name="salesforce",
    base_url="{instance_url}/services/data/{version}",
    docs="https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/",
    headers={"Sforce-Call-Options": "client=throughline"},  # our own changes, in change events
    expired=expired,
    token_age_s=900,
    pages=Pages(items="records", next="nextRecordsUrl"),
    sign_in=SignIn(
        token_request,
        read_token,
        msgspec.structs.replace(
            OAUTH,
            classes={**OAUTH.classes, "login rate exceeded": Throttled},
            wraps=frozenset({"invalid_grant"}),  # its description tells the reasons apart
        ),
    ),
    errors=Errors(
        code="0.errorCode",
        detail="0.message",
        fields="0.fields",
        statuses={
            300: ("MULTIPLE_CHOICES", Conflict),  # several records carry the key
            404: ("NOT_FOUND", NotFound),
            412: ("PRECONDITION_FAILED", Conflict),
            414: ("URI_TOO_LONG", Misconfigured),
            431: ("URI_TOO_LONG", Misconfigured),
        },
        wraps=frozenset(
            {
                "APEX_ERROR",
                "CANNOT_EXECUTE_FLOW_TRIGGER",
                "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
            }
        ),
        classes={
            # the organisation's daily calls, or too many long ones: a 403, and no Retry-After
            "REQUEST_LIMIT_EXCEEDED": Throttled,
            "TOO_MANY_APEX_REQUESTS": Throttled,
            "UNABLE_TO_LOCK_ROW": Transient,
            "QUERY_TIMEOUT": Transient,
            "REQUEST_RUNNING_TOO_LONG": Transient,
            "SERVER_UNAVAILABLE": Unavailable,
            "ORG_IN_MAINTENANCE": Unavailable,
            "FUNCTIONALITY_TEMPORARILY_UNAVAILABLE": Unavailable,
            "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE": Unavailable,
            "DUPLICATES_DETECTED": Conflict,
            "DUPLICATE_VALUE": Conflict,
            "DUPLICATE_EXTERNAL_ID": Conflict,
            "ENTITY_IS_LOCKED": Conflict,  # in an approval: its owner lets it go
            "RECORD_IN_USE_BY_WORKFLOW": Conflict,
            "ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE": Conflict,
            "ALREADY_IN_PROCESS": Conflict,
            "INVALID_QUERY_LOCATOR": Conflict,  # expired: read again from the watermark
            "NOT_FOUND": NotFound,
            "ENTITY_IS_DELETED": NotFound,
            "INVALID_CROSS_REFERENCE_KEY": NotFound,
            "MALFORMED_ID": NotFound,
            "INVALID_QUERY_FILTER_OPERATOR": NotFound,  # a condition on Id that is no id
            "FIELD_CUSTOM_VALIDATION_EXCEPTION": Rejected,
            "REQUIRED_FIELD_MISSING": Rejected,
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST": Rejected,
            "STRING_TOO_LONG": Rejected,
            "FIELD_INTEGRITY_EXCEPTION": Rejected,
            "INVALID_CURRENCY_ISO": Rejected,
            "APEX_ERROR": Rejected,
            "CANNOT_EXECUTE_FLOW_TRIGGER": Rejected,
            "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY": Rejected,
            "STANDARD_PRICE_NOT_DEFINED": Rejected,
            "INVALID_SESSION_ID": Misconfigured,  # and a new one was refused as well
            "INVALID_AUTH_HEADER": Misconfigured,
            "INSUFFICIENT_ACCESS_OR_READONLY": Misconfigured,
            "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": Misconfigured,
            "INSUFFICIENT_ACCESS": Misconfigured,
            "API_DISABLED_FOR_ORG": Misconfigured,
            "API_CURRENTLY_DISABLED": Misconfigured,
            "UNSUPPORTED_API_VERSION": Misconfigured,
            "INVALID_FIELD": Misconfigured,
            "INVALID_FIELD_FOR_INSERT_UPDATE": Misconfigured,
            "INVALID_TYPE": Misconfigured,
            "MALFORMED_QUERY": Misconfigured,
            "JSON_PARSER_ERROR": Misconfigured,
            "METHOD_NOT_ALLOWED": Misconfigured,
            "OPERATION_TOO_LARGE": Misconfigured,
            "EXCEEDED_ID_LIMIT": Misconfigured,
            "STORAGE_LIMIT_EXCEEDED": Misconfigured,
        },
    ),
)
