"""`throughline sign-in`: a person's token for this terminal, by way of their browser (RFC 8252)."""

from __future__ import annotations

import asyncio
import base64
import secrets
import shlex
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import httpx
from rich.console import Console

from apis.console.processes import known_port
from apis.console.terminal import console
from apis.gateway.oauth import AUTHORIZE_PATH, TOKEN_PATH
from apis.gateway.pages import STYLE
from apis.runtime.clients import outgoing
from apis.runtime.deployment import policy_of
from apis.runtime.settings import Settings
from contracts.errors import NotFound, Rejected, Unavailable

HOST = "127.0.0.1"
OK = 200
MINUTE_S = 60
EXAMPLE = "/catalog"
_PAGE = (
    b'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
    b'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    b"<title>Back to the terminal</title>\n<style>%b</style>\n<main>\n"
    b'<p class="brand">Throughline</p>\n<h1>Back to the terminal</h1>\n'
    b"<p>It goes on from here. You can close this page.</p>\n</main>\n</html>\n" % STYLE
)
_THANKS = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\n"
    b"Referrer-Policy: no-referrer\r\nContent-Length: %d\r\n\r\n%b" % (len(_PAGE), _PAGE)
)
_NOTHING = b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def sign_in(settings: Settings, client: str) -> int:
    """Let a person sign in for a client, and show how to use the token; answers the exit code."""
    back = back_of(settings, client)
    base = f"http://{HOST}:{known_port(settings.home, 'up', settings.port)}"
    try:
        asyncio.run(shown(base, client, back, console()))
    except KeyboardInterrupt:
        return 1
    return 0


def back_of(settings: Settings, client: str) -> str:
    """The address of this machine that browsers of a client are sent back to."""
    known = policy_of(settings).clients.get(client)
    redirects = known.redirects if known is not None and known.public else ()
    for each in redirects:
        if each.startswith(f"http://{HOST}:"):
            return each
    told = f"no client {client} without a secret has a redirect to http://{HOST} in gateway.yaml"
    raise NotFound("client.unknown", told)


async def shown(base: str, client: str, back: str, screen: Console) -> None:
    """Where to sign in; then what can be called."""
    state, verifier = secrets.token_urlsafe(16), secrets.token_urlsafe(48)
    digest = base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "response_type": "code", "client_id": client, "redirect_uri": back, "state": state,
        "code_challenge": digest, "code_challenge_method": "S256",
    }  # fmt: skip
    screen.print("\n  Open this in a browser on this machine, and sign in:\n")
    address = f"{base}{AUTHORIZE_PATH}?{urlencode(asked, quote_via=quote)}"
    screen.print(address, soft_wrap=True, markup=False)
    came = await arrived(back)
    if came.get("state") != state:
        raise Rejected("sign-in.mixed-up", "what came back is not the answer to this sign-in")
    if "code" not in came:
        raise Rejected("sign-in.refused", f"{client} may not act for you: {came.get('error')}")
    form = {
        "grant_type": "authorization_code", "client_id": client, "code": came["code"],
        "redirect_uri": back, "code_verifier": verifier,
    }  # fmt: skip
    token = await exchanged(base, form)
    minutes = token["expires_in"] // MINUTE_S
    screen.print(f"\n  Signed in. For {minutes} minutes {client} has: {token['scope']}\n")
    header = f"Authorization: Bearer {token['access_token']}"
    command = f"curl -s {base}{EXAMPLE} -H {shlex.quote(header)}"
    screen.print(command, soft_wrap=True, markup=False)


async def exchanged(base: str, form: dict[str, str]) -> dict[str, Any]:
    """The tokens of a code."""
    try:
        async with outgoing() as http:
            answer = await http.post(base + TOKEN_PATH, data=form)
    except httpx.HTTPError:
        raise Unavailable("gateway.not-reached", f"nothing answers at {base}") from None
    told: dict[str, Any] = answer.json()
    if answer.status_code != OK:
        raise Rejected("sign-in.refused", f"the code was not taken: {told.get('error')}")
    return told


async def arrived(back: str) -> dict[str, str]:
    """What a browser brings to this address, where it is thanked."""
    where, came = urlsplit(back), asyncio.get_running_loop().create_future()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            asked = urlsplit(head.split(b" ", 2)[1].decode("latin-1"))
            ours = asked.path == where.path
            writer.write(_THANKS if ours else _NOTHING)
            await writer.drain()
        except (OSError, EOFError, ValueError, IndexError, asyncio.LimitOverrunError):
            return  # a browser may connect and ask nothing
        finally:
            writer.close()
        if ours and not came.done():
            came.set_result(dict(parse_qsl(asked.query)))

    try:
        server = await asyncio.start_server(answer, where.hostname, where.port)
    except OSError:
        told = f"port {where.port} of {where.hostname} is held by another program"
        raise Unavailable("port.held", told) from None
    try:
        found: dict[str, str] = await came
    finally:
        server.close()
    return found
