"""`throughline backup` and `restore`: the database with the engine's tables, the keys, the heads.

One folder holds one consistent snapshot, the keys, and the audit's signed heads as they were just
before it. A restore keeps what was there, beside what it puts in its place.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import sqlalchemy as sa
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import Connection

from apis.console.auditing import present, tell
from apis.runtime import audit, restores
from apis.runtime.migrations import lift, versions
from apis.runtime.pids import alive
from apis.runtime.settings import Settings
from apis.runtime.store import TIERS, Store
from contracts.errors import Conflict, Misconfigured, NotFound

MANIFEST = "manifest.json"
DATABASE = {True: "database.sqlite", False: "database.dump"}
ENGINES = "dbos"
"""The engine's schema; on SQLite its tables are in the same file."""
UNTIL = "until `throughline restore --reconciled`, every create is looked for at its vendor first"
HEADS = {".json", ".jsonl"}
NOT_KEPT = {"run", "logs", "sandboxes", "migrate.lock"}
OTHERS = (
    "select count(*) from pg_stat_activity"
    " where datname = current_database() and pid <> pg_backend_pid()"
)


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup says of itself: whose, of when, and the hash of every file."""

    release: str
    taken_at: str
    tiers: dict[str, str]
    files: dict[str, str]


Places = dict[str, Path]
"""Where each file of a backup but the database belongs, by its name in the manifest."""


@contextmanager
def files(code: str) -> Iterator[None]:
    """A file that cannot be read or written is named, with what can be done about it."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        place = getattr(error, "filename", None)
        why = f"{place}: {getattr(error, 'strerror', error)}" if place else str(error)
        told = "name a place that this user may write and that has room, and see who owns it"
        raise Misconfigured(code, why, remedy=told) from None


def backup(settings: Settings, folder: Path) -> list[str]:
    """Write the snapshot into a new folder; what it holds, a line each."""
    with files("backup.file"):
        told = snapshot(settings, folder)
    tell(settings, "backup")
    return told


def snapshot(settings: Settings, folder: Path) -> list[str]:
    """The folder, whole; what is half is taken away again."""
    if folder.exists():
        raise Conflict("backup.exists", f"{folder} is there already", remedy="name a new folder")
    store = Store(settings.database_url)
    try:
        tiers = store.read_now(versions)
    finally:
        store.close()
    if not any(tiers.values()):
        why = "the database has no tables of ours"
        raise NotFound("backup.empty", why, remedy="THROUGHLINE_DATABASE_URL and _HOME name it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700)
    try:
        return filled(settings, folder, tiers)
    except BaseException:  # whatever ends it: keys without their database are no backup
        shutil.rmtree(folder, ignore_errors=True)
        raise


def filled(settings: Settings, folder: Path, tiers: dict[str, str]) -> list[str]:
    """Everything into the folder, and last the manifest, without which it is no backup."""
    at = asyncio.run(present()).isoformat()
    keep_home(settings, folder)  # before the database: no head is signed of rows it lacks
    sqlite = settings.database_url.startswith("sqlite")
    name = DATABASE[sqlite]
    copy_sqlite(settings, folder / name) if sqlite else dump(settings, folder / name)
    hashes = {str(path.relative_to(folder)): digest(path) for path in kept(folder)}
    for path in kept(folder):
        path.chmod(0o600)
    said = Manifest(release=version("throughline"), taken_at=at, tiers=tiers, files=hashes)
    (folder / MANIFEST).touch(0o600)
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(said)) + b"\n")
    return [f"{folder}: {len(hashes)} files, taken {at}", *sorted(hashes)]


def keep_home(settings: Settings, folder: Path) -> None:
    """Copy keys and heads; not the database, and nothing that only living processes need."""
    (folder / "home").mkdir(mode=0o700)
    for path in sorted(settings.home.iterdir()):
        if path.name in NOT_KEPT or ".sqlite" in path.name or path == settings.audit_heads:
            continue
        if path.is_file():
            shutil.copy2(path, folder / "home" / path.name)
    if settings.audit_heads.is_dir():
        (folder / "audit").mkdir(mode=0o700)
        for path in heads_in(settings.audit_heads):
            shutil.copy2(path, folder / "audit" / path.name)
    if settings.audit_key.is_file():
        shutil.copy2(settings.audit_key, folder / "audit.key")


def kept(folder: Path) -> Iterator[Path]:
    """The files of a backup."""
    yield from (p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != MANIFEST)


def digest(path: Path) -> str:
    """What tells a file from one that was changed."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy_sqlite(settings: Settings, to: Path) -> None:
    """One snapshot by SQLite's own backup, while others go on writing."""
    source = sqlite3.connect(place_of(settings))
    copy = sqlite3.connect(to)
    with source, copy:
        source.backup(copy)
    copy.close()
    source.close()


def place_of(settings: Settings) -> Path:
    """The database's file."""
    return Path(settings.database_url.removeprefix("sqlite:///"))


def dump(settings: Settings, to: Path) -> None:
    """One snapshot by pg_dump: our schemas and the engine's, and nothing else."""
    schemas = [f"--schema={name}" for name in (*TIERS, ENGINES)]
    ran(settings, "pg_dump", "--format=custom", f"--file={to}", "--no-owner", *schemas)


def ran(settings: Settings, program: str, *words: str) -> None:
    """One of PostgreSQL's programs, at all that the address says.

    The password goes by the environment, where nobody sees it.
    """
    found = shutil.which(program)
    if found is None:
        raise Misconfigured(
            "backup.no-program", f"{program} is not on the PATH", remedy="install it"
        )
    url = settings.database_url
    where: dict[str, Any] = conninfo_to_dict("postgresql" + url[url.index("://") :])
    secret = {"PGPASSWORD": str(where.pop("password"))} if "password" in where else {}
    command = [found, f"--dbname={make_conninfo(**where)}", *words]
    done = subprocess.run(  # noqa: S603 - our own words
        command, env=os.environ | secret, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Misconfigured("backup.failed", f"{program}: {done.stderr.strip()[-500:]}")


def restore(settings: Settings, folder: Path) -> list[str]:
    """Put a backup in the place of what is there, and mark that vendors may know more."""
    with files("restore.file"):
        return put(settings, folder)


def put(settings: Settings, folder: Path) -> list[str]:
    """Everything is looked at before anything is touched, and the mark follows the database."""
    manifest = checked(folder)
    sqlite = settings.database_url.startswith("sqlite")
    if DATABASE[sqlite] not in manifest.files:
        told = f"{folder} holds no {DATABASE[sqlite]}: it is of another kind of database"
        raise Conflict("restore.other-database", told, remedy="restore it where it was taken")
    places = places_of(settings, manifest.files)
    may_change(folder, places)
    nobody_runs(settings)
    now = asyncio.run(present())
    stamp = f"{now:%Y%m%dT%H%M%S}"
    if sqlite:
        put_sqlite(settings, folder, stamp)
    else:
        put_postgres(settings, folder, stamp)
    mark(settings, manifest.taken_at)
    beside = put_home(settings, folder, places, stamp)
    return [
        f"the database is that of {manifest.taken_at}; what was there is kept as before-{stamp}",
        *beside,
        UNTIL,
    ]


def places_of(settings: Settings, names: Iterable[str]) -> Places:
    """Where the files go; a name that no backup has is refused, for it may lead anywhere."""
    places = {}
    for name in sorted(names):
        match PurePosixPath(name).parts:
            case ("home", file) if file != "..":
                places[name] = settings.home / file
            case ("audit", file) if file != "..":
                places[name] = settings.audit_heads / file
            case ("audit.key",):
                places[name] = settings.audit_key
            case (file,) if file in DATABASE.values():
                continue
            case _:
                told = f"{MANIFEST} names {name!r}, which is no file of a backup"
                raise Conflict("backup.changed", told, remedy="take another backup")
    return places


def may_change(folder: Path, places: Places) -> None:
    """Conflict where a key is another than the backup's and cannot be replaced from here."""
    for name, place in places.items():
        if place.exists() and digest(place) == digest(folder / name):
            continue
        try:
            if place.parent.exists():
                tempfile.TemporaryFile(dir=place.parent).close()
        except OSError:
            told = f"{place} is not {folder / name}, and cannot be written here"
            remedy = "put the backup's file there (a mounted secret: into the secret), then restore"
            raise Conflict("restore.other-key", told, remedy=remedy) from None


def restored_elsewhere(settings: Settings) -> str:
    """Mark a database that was put back by other means, such as its provider's own."""
    nobody_runs(settings)
    mark(settings, "unknown")
    return UNTIL


def mark(settings: Settings, taken_at: str) -> None:
    """Lift the database to this release, and mark that vendors may know more than it does."""
    store = Store(settings.database_url, digest_key=settings.digest_key)
    try:
        lift(store)
        store.write_now(marked, asyncio.run(present()), taken_at)
    finally:
        store.close()


def marked(connection: Connection, now: Any, taken_at: str) -> None:
    """Mark the restore, and say so in the audit."""
    restores.mark(connection, now, taken_at)
    detail = {"taken_at": taken_at}
    audit.record(
        connection, "system", at=now, actor="operator", action="database.restored", detail=detail
    )


def reconciled(settings: Settings) -> str:
    """End the mark: processes that start from now on no longer look before they create."""
    store = Store(settings.database_url, digest_key=settings.digest_key)
    try:
        lift(store)
        ended = store.write_now(unmarked, asyncio.run(present()))
    finally:
        store.close()
    if not ended:
        raise NotFound("restore.none", "no restore is marked")
    return "reconciled: processes that start from now on create without looking first"


def unmarked(connection: Connection, now: Any) -> int:
    """End the mark, and say so in the audit."""
    ended = restores.end(connection, now)
    if ended:
        audit.record(connection, "system", at=now, actor="operator", action="database.reconciled")
    return ended


def checked(folder: Path) -> Manifest:
    """The manifest of a backup whose files are all there, as they were."""
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except OSError as error:
        told = f"{folder} is no backup: {MANIFEST}: {error.strerror}"
        raise NotFound("backup.not-found", told) from None
    except msgspec.DecodeError as error:
        told = f"{folder} is no backup: {MANIFEST} is not one of ours: {error}"
        raise NotFound("backup.not-found", told) from None
    for name, known in manifest.files.items():
        path = folder / name
        inside = path.resolve().is_relative_to(folder.resolve())
        if not inside or not path.is_file() or digest(path) != known:
            raise Conflict("backup.changed", f"{path} is not as it was when the backup was taken")
    return manifest


def nobody_runs(settings: Settings) -> None:
    """Conflict while a process of this home, or anybody else at the database, is there."""
    for path in sorted((settings.home / "run").glob("*.pid")):
        if alive(path) and not path.name.startswith("sandbox-"):
            told = f"{path.stem} runs"
            raise Conflict("restore.in-use", told, remedy="stop every process of the deployment")
    if settings.database_url.startswith("sqlite"):
        return
    store = Store(settings.database_url)
    try:
        count = store.read_now(lambda connection: connection.scalar(sa.text(OTHERS)))
    finally:
        store.close()
    if count:
        told = f"{count} others are connected to the database"
        raise Conflict("restore.in-use", told, remedy="stop every process of the deployment")


def put_sqlite(settings: Settings, folder: Path, stamp: str) -> None:
    """The snapshot as the database's file; the one that was there stays beside it."""
    place = place_of(settings)
    draft = place.with_name(f".{place.name}")
    try:
        shutil.copy(folder / DATABASE[True], draft)  # first: there may be no room
        draft.chmod(0o600)
        for suffix in ("", "-wal", "-shm"):
            old = place.with_name(place.name + suffix)
            if old.exists():
                old.rename(place.with_name(f"{place.name}.before-{stamp}{suffix}"))
        draft.rename(place)
    finally:
        draft.unlink(missing_ok=True)


def put_postgres(settings: Settings, folder: Path, stamp: str) -> None:
    """The schemas of the snapshot; those that were there get another name, if it succeeds."""
    aside = {name: f"{name}_before_{stamp.lower()}" for name in (*TIERS, ENGINES)}
    store = Store(settings.database_url)
    try:
        store.write_now(renamed, aside)
        words = ("--no-owner", "--exit-on-error", "--single-transaction")
        try:
            ran(settings, "pg_restore", *words, str(folder / DATABASE[False]))
        except BaseException:  # whatever ends it: without its schemas a database looks new
            store.write_now(renamed, {other: name for name, other in aside.items()})
            raise
    finally:
        store.close()


def renamed(connection: Connection, names: dict[str, str]) -> None:
    """Give the schemas that are there other names."""
    there = set(sa.inspect(connection).get_schema_names())
    for name in there & names.keys():
        connection.exec_driver_sql(f"ALTER SCHEMA {name} RENAME TO {names[name]}")


def heads_in(folder: Path) -> list[Path]:
    """What the audit signed: no folder of a volume, and nothing that a sealer still writes."""
    named = (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted(path for path in named if path.suffix in HEADS)


def put_home(settings: Settings, folder: Path, places: Places, stamp: str) -> list[str]:
    """Keys and heads where they were; a file that says something else is kept beside."""
    settings.audit_heads.mkdir(parents=True, exist_ok=True, mode=0o700)
    later = set(heads_in(settings.audit_heads)) - set(places.values())  # since the snapshot only
    told = [set_aside(path, stamp) for path in sorted(later)]
    for name, place in places.items():
        if place.exists():
            if digest(place) == digest(folder / name):
                continue
            told.append(set_aside(place, stamp))
        shutil.copy(folder / name, place)
        place.chmod(0o600)
    return told


def set_aside(place: Path, stamp: str) -> str:
    """Keep a file under another name; how that is told."""
    aside = place.with_name(f"{place.name}.before-{stamp}")
    place.rename(aside)
    return f"{aside}: what was there until now"
