"""How NetSuite is called: signing in both ways, and the error table (facts: README.md)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from joserfc import jwt
from joserfc.errors import InvalidKeyTypeError
from joserfc.jwk import ECKey, RSAKey

from apis.runtime.sign_in import OAUTH, Account, SignIn, Token, TokenRequest, bearer
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
from system_apis.netsuite.signature import PARTS, signed

TOKEN = "/services/rest/auth/oauth2/v1/token"  # noqa: S105 - a path
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_S = 300
CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
LOGIN = frozenset({"INVALID_LOGIN", "INVALID_LOGIN_ATTEMPT"})


def token_request(account: Account, now: float) -> TokenRequest | Token:
    """A signed assertion for a token, or with token-based auth what signs each request."""
    known = account.credentials
    if account.kind == "oauth1":
        return Token("", sign=partial(signed, needed(known)))
    url = account.login_url + TOKEN
    key, algorithm = signing_key(known["private_key"])
    claims = {
        "iss": known["client_id"],
        "scope": ["rest_webservices"],
        "aud": account.audience or url,
        "iat": int(now),
        "exp": int(now) + ASSERTION_S,
    }
    header = {"alg": algorithm, "typ": "JWT", "kid": known["certificate_id"]}
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": JWT_BEARER,
        "client_assertion": jwt.encode(header, claims, key, algorithms=[algorithm]),
    }
    return TokenRequest(url, form)


def needed(credentials: Mapping[str, str]) -> dict[str, str]:
    """The parts that a signature takes; LookupError names none of them to anybody."""
    return {part: credentials[part] for part in PARTS}


def signing_key(pem: str) -> tuple[RSAKey | ECKey, str]:
    """The key of the certificate, and the algorithm it takes: NetSuite knows no RS256."""
    for kind in (RSAKey, ECKey):
        try:
            key = kind.import_key(pem)
        except InvalidKeyTypeError:
            continue
        return key, CURVES[key.curve_name] if isinstance(key, ECKey) else "PS256"
    raise ValueError("the private key is neither RSA nor EC")


def expired(status: int, code: str, _text: str) -> bool:
    """Whether a new token might help."""
    return status == 401 and code in LOGIN | {"401"}  # noqa: PLR2004 - a table


NETSUITE = Vendor(
    name="netsuite",
    base_url="{instance_url}/services/rest",
    docs="https://docs.oracle.com/en/cloud/saas/netsuite/ns-online-help/section_156335203191.html",
    headers={
        # without these a misspelt field is dropped and the write succeeds
        "X-NetSuite-PropertyNameValidation": "Error",
        "X-NetSuite-PropertyValueValidation": "Error",
    },
    expired=expired,
    doubted=LOGIN,
    token_age_s=3000,
    pages=Pages(items="items", next="links.next"),
    sign_in=SignIn(token_request, bearer, OAUTH),
    errors=Errors(
        code="o:errorDetails.0.o:errorCode",
        detail="o:errorDetails.0.detail",
        fields="o:errorDetails.0.o:errorPath",
        repeated=frozenset({"IDEMPOTENCY_ERROR"}),  # with the first job's address: it is looked up
        statuses={
            404: ("NONEXISTENT_ID", NotFound),
            429: ("TOO_MANY_REQUESTS", Throttled),  # too many at once, and no Retry-After
            503: ("UNAVAILABLE", Unavailable),  # every write may be sent again: PUT by key, PATCH
        },
        classes={
            "SSS_REQUEST_LIMIT_EXCEEDED": Throttled,
            "WS_REQUEST_BLOCKED": Throttled,
            "RCRD_HAS_BEEN_CHANGED": Transient,  # another save got in between: nothing was written
            "INVALID_LOGIN": Misconfigured,  # unless it has just worked: see `doubted`
            "INVALID_LOGIN_ATTEMPT": Misconfigured,
            "INSUFFICIENT_PERMISSION": Misconfigured,
            "INVALID_PARAMETER": Misconfigured,  # a query that SuiteQL does not take
            "INVALID_HEADER": Misconfigured,
            "NONEXISTENT_ID": NotFound,
            "DUP_EXT_ID": Conflict,
            "UNIQUE_CUST_ID_REQD": Conflict,
            "INVALID_CONTENT": Rejected,
            "INVALID_VALUE": Rejected,
            "MISSING_REQD_FIELD": Rejected,
            "USER_ERROR": Rejected,
        },
    ),
)
