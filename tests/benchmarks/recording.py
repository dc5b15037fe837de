"""What the product asks of its vendors for one clean deal: the bare flow's recipe.

A recorder stands between the product and its sandboxes, so that the bare flow cannot drift from
the product: as many steps, and in each the same methods, paths, headers and bodies.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import msgspec

from tests.benchmarks.product import Sandboxes, up

ASKED = re.compile(r"accept|authorization|content-type|host|prefer|x-.*", re.IGNORECASE)
ANSWERED = re.compile(r"content-type|location", re.IGNORECASE)
OUR_ID = re.compile(r"(?<![0-9A-Z])[0-9A-HJKMNP-TV-Z]{26}(?![0-9A-Z])")


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One vendor call, and the id of what it made; `{name}` stands for what differs per deal."""

    system: str
    method: str
    path: list[str]
    body: list[str]
    headers: dict[str, str]
    status: int
    makes: str | None = None


class Recipe(msgspec.Struct, frozen=True):
    """The steps of a clean run by name, each with its calls; who we are in each system."""

    steps: list[tuple[str, list[Call]]]
    tokens: dict[str, str]


class Seen(msgspec.Struct, frozen=True):
    """A call as it passed."""

    system: str
    method: str
    path: str
    body: str
    headers: dict[str, str]
    answer: httpx.Response


class Passing(BaseHTTPRequestHandler):
    """One call on its way to a sandbox."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    system: str
    http: httpx.Client
    keep: Callable[[Seen], None]

    def pass_on(self) -> None:
        """Ask the sandbox, keep what was said, answer as it does."""
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        asked = {k.lower(): v for k, v in self.headers.items() if ASKED.fullmatch(k)}
        answer = self.http.request(self.command, self.path, content=body, headers=asked)
        self.keep(Seen(self.system, self.command, self.path, body.decode(), asked, answer))
        self.send_response(answer.status_code)
        for name, value in answer.headers.items():
            if ANSWERED.fullmatch(name):
                self.send_header(name, value)
        if answer.status_code != httpx.codes.NO_CONTENT:
            self.send_header("content-length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on  # noqa: N815 - the server's names

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def listening(system: str, url: str, keep: Callable[[Seen], None]) -> Iterator[str]:
    """Another address of a sandbox, until the end of the block."""
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as http:
        # a plain function as a class attribute would be taken for a method
        names = {"system": system, "http": http, "keep": staticmethod(keep)}
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Heard", (Passing,), names))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        server.server_close()


def recorded(home: Path, vendors: Sandboxes) -> Recipe:
    """The second of two deals: the first has signed in everywhere."""
    seen: list[Seen] = []
    with ExitStack() as stack:
        heard = {
            system: stack.enter_context(listening(system, url, seen.append))
            for system, url in vendors.urls.items()
        }
        product = stack.enter_context(up(home, heard))
        for deal in vendors.win(2):
            seen.clear()
            run = asyncio.run(product.alone(deal["deal"]))
    counts = [len(step["calls"]) for step in run["steps"]]
    if sum(counts) != len(seen):
        raise RuntimeError(f"{len(seen)} calls passed, {counts} are in the steps")
    calls = iter(as_recipe(seen, deal))
    names = [step["name"] for step in run["steps"]]
    steps = [(name, [next(calls) for _ in range(n)]) for name, n in zip(names, counts, strict=True)]
    return Recipe(steps, {each.system: each.headers["authorization"] for each in seen})


def as_recipe(seen: Sequence[Seen], deal: dict[str, str]) -> list[Call]:
    """The calls with a name for each value that differs: the deal's, our ids, ids made before."""
    names = {value: name for name, value in deal.items()}
    calls = []
    for n, each in enumerate(seen):
        ours = OUR_ID.findall(each.path + each.body)
        names |= {id_: f"ours{len(names)}" for id_ in dict.fromkeys(ours) if id_ not in names}
        made = made_by(each.answer)
        makes = f"made{n}" if made and made not in names else None
        calls.append(
            Call(
                system=each.system,
                method=each.method,
                path=parts(each.path, names),
                body=parts(each.body, names),
                headers={
                    k: v for k, v in each.headers.items() if k not in {"authorization", "host"}
                },
                status=each.answer.status_code,
                makes=makes,
            )
        )
        if makes:
            names[made or ""] = makes
    return calls


def made_by(answer: httpx.Response) -> str | None:
    """The id of the record that a write made, as its vendor says it."""
    if location := answer.headers.get("location"):
        return str(location).rpartition("/")[2]
    told = answer.json() if answer.content else None
    first = (told.get("results") if isinstance(told, dict) else None) or [{}]
    return str(first[0]["id"]) if "id" in first[0] else None


def parts(text: str, names: dict[str, str]) -> list[str]:
    """The text cut where a known value stands: every second part is the name of one."""
    longest = sorted(names, key=len, reverse=True)
    known = "|".join(re.escape(value) for value in longest)
    cut = re.split(rf"(?<![0-9A-Za-z])({known})(?![0-9A-Za-z])", text)
    return [names[part] if n % 2 else part for n, part in enumerate(cut)]


def filled(parts: Sequence[str], values: dict[str, str]) -> str:
    """The text of this deal; an id of ours that was not met yet is a new one."""
    if len(parts) == 1:
        return parts[0]
    return "".join(value_of(part, values) if n % 2 else part for n, part in enumerate(parts))


def value_of(name: str, values: dict[str, str]) -> str:
    """What a name stands for in this deal."""
    if name not in values:
        values[name] = f"{values['deal']}{name[-2:]:0>8}"
    return values[name]
