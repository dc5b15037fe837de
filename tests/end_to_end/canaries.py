"""Secrets and personal values that can be told from all others, and every place they may turn up.

A place is a table's column or a file of the home; what is searched is looked at as it is, and with
whatever in it is base64, deflated or both.
"""

from __future__ import annotations

import base64
import binascii
import re
import sqlite3
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import redis

RUN = re.compile(rb"[A-Za-z0-9+/_-]{24,}={0,2}")
SHORTEST = 6
DEEPEST = 3
COLUMNS = """
SELECT table_schema || '.' || table_name, array_agg(column_name::text)
FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')
GROUP BY 1
"""


class Canaries:
    """Values by their kind, such as `person's bank account`, and where each was found."""

    def __init__(self, values: Mapping[str, str]) -> None:
        assert all(len(value) >= SHORTEST for value in values.values()), values
        self.kinds: dict[bytes, str] = {}
        for kind, value in values.items():
            for form in {value, quote(value, safe=""), value.replace(" ", "+")}:
                self.kinds[form.encode()] = kind
        self._any = re.compile(b"|".join(re.escape(form) for form in self.kinds))
        self.found: defaultdict[str, set[str]] = defaultdict(set)
        self.looked: defaultdict[str, int] = defaultdict(int)

    def look(self, place: str, content: Any) -> None:
        """Note what of a place holds a canary."""
        self.looked[place] += 1
        for view in views(as_bytes(content)):
            for found in self._any.findall(view):
                self.found[place].add(self.kinds[found])

    def look_at_database(self, url: str) -> None:
        """Every cell of every table, the engine's too."""
        for table, rows in tables(url):
            for row in rows:
                for column, cell in row.items():
                    self.look(f"{table}.{column}", cell)

    def look_at_redis(self, url: str) -> None:
        """Every key and value."""
        client = redis.Redis.from_url(url)
        for key in client.scan_iter():
            self.look("redis", key)
            kind = client.type(key).decode()
            read: dict[str, Any] = {"string": client.get, "hash": client.hgetall}
            read |= {"list": lambda key: client.lrange(key, 0, -1), "set": client.smembers}
            read |= {"zset": lambda key: client.zrange(key, 0, -1), "stream": client.xrange}
            self.look("redis", repr(read[kind](key)))
        client.close()

    def look_at_files(self, folder: Path, leave: Iterable[str]) -> None:
        """Every file under a folder but those that begin with one of these."""
        for path in sorted(folder.rglob("*")):
            name = str(path.relative_to(folder))
            if path.is_file() and not name.startswith(tuple(leave)):
                self.look(name, path.read_bytes())

    def look_at_processes(self, pids: Iterable[int]) -> None:
        """What every user of the machine sees of them, and what their owner sees."""
        for pid in pids:
            for what in ("cmdline", "environ"):
                self.look(f"process.{what}", Path(f"/proc/{pid}/{what}").read_bytes())

    def undeclared(self, declared: Mapping[str, tuple[Iterable[str], str]]) -> dict[str, list[str]]:
        """Where something was found that has no reason to be there."""
        left = {
            place: sorted(kinds - set(declared.get(place, ((), ""))[0]))
            for place, kinds in self.found.items()
        }
        return {place: kinds for place, kinds in left.items() if kinds}


def as_bytes(content: Any) -> bytes:
    """A cell, a header or a file as bytes."""
    if isinstance(content, bytes | memoryview):
        return bytes(content)
    return b"" if content is None else str(content).encode("utf-8", "replace")


def views(content: bytes, depth: int = 0) -> Iterator[bytes]:
    """The content, and what is packed in it."""
    yield content
    if depth == DEEPEST:
        return
    for window in (15, 31, -15):  # zlib, gzip, deflate alone
        try:
            yield from views(zlib.decompressobj(window).decompress(content), depth + 1)
            break
        except zlib.error:
            pass
    for run in RUN.findall(content):
        text = run.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
        try:
            unpacked = base64.b64decode(text + b"=" * (-len(text) % 4))
        except binascii.Error:
            continue
        yield from views(unpacked, depth + 1)


def tables(url: str) -> Iterator[tuple[str, Iterator[dict[str, Any]]]]:
    """Each table by its name (the tier before a dot) with its rows."""
    if url.startswith("sqlite"):
        raw = sqlite3.connect(url.removeprefix("sqlite:///"))
        raw.row_factory = sqlite3.Row
        for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type='table'").fetchall():
            rows = raw.execute(f'SELECT * FROM "{name}"')  # noqa: S608 - as the database names it
            yield name.replace("_", ".", 1), (dict(row) for row in rows)
        raw.close()
        return
    with psycopg.connect(url) as connection:
        for name, columns in connection.execute(COLUMNS).fetchall():
            cells = ", ".join(f'"{column}"' for column in columns)
            found = connection.execute(f"SELECT {cells} FROM {name}".encode())  # noqa: S608 - as above
            yield name, (dict(zip(columns, row, strict=True)) for row in found)
