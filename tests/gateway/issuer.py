"""Another's issuer: OIDC discovery and keys over HTTP, keys that rotate, tokens as told."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from tests.gateway.forgery import hs256, signed

RSA = RSAKey.generate_key(2048, {"use": "sig"}, auto_kid=True)
OTHER = RSAKey.generate_key(2048, {"use": "sig"}, auto_kid=True)
with warnings.catch_warnings(action="ignore"):
    SMALL = RSAKey.generate_key(1024, {"use": "sig"}, auto_kid=True)
EC = ECKey.generate_key("P-256", {"use": "sig"}, auto_kid=True)
ED = OKPKey.generate_key("Ed25519", {"use": "sig"}, auto_kid=True)
KEYS: dict[str, Key] = {"rsa": RSA, "other": OTHER, "small": SMALL, "ec": EC, "ed": ED}


class Provider:
    """Serves its metadata and keys; counts who asked."""

    def __init__(self) -> None:
        self.keys: list[Key] = [RSA, SMALL, EC, ED]
        self.odd: list[Any] = []
        self.asked: list[str] = []
        self.away = False
        self.url = ""
        self.said: dict[str, Any] = {}

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        self.asked.append(path)
        documents: dict[str, Any] = {
            "/.well-known/openid-configuration": {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/keys",
                **self.said,
            },
            "/keys": {"keys": [*self.odd, *(key.as_dict(private=False) for key in self.keys)]},
        }
        found = documents.get(path)
        status = "503 Away" if self.away else "200 OK" if found else "404 No"
        body = json.dumps(found).encode()
        head = f"HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    def token(self, now: float, case: dict[str, Any] | None = None) -> str:
        """Sign a token; `case` says what of it is not as it should be."""
        case = case or {}
        key = KEYS[case.get("key", "rsa")]
        header = {"alg": "RS256", "typ": "at+jwt", "kid": key.kid} | case.get("header", {})
        payload = {
            "iss": self.url,
            "aud": "api://throughline",
            "sub": "person-1",
            "azp": "portal",
            "scp": "orders.read catalog.read",
            "groups": ["g-finance", "g-unknown"],
            "customers": ["C-1"],
            "iat": now,
            "exp": now + 3600,
        } | case.get("claims", {})
        header = {name: value for name, value in header.items() if value is not None}
        payload = {name: value for name, value in payload.items() if value is not None}
        if header["alg"] == "HS256":  # a public key taken for a secret
            return hs256(RSA.as_pem(private=False), header, payload)
        with warnings.catch_warnings(action="ignore"):  # EdDSA has a newer name
            return signed(key, header, payload, header["alg"])


@asynccontextmanager
async def provider() -> AsyncIterator[Provider]:
    """One that listens."""
    made = Provider()
    server = await asyncio.start_server(made, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield made
    server.close()
    await server.wait_closed()
