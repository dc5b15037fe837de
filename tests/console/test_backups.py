"""A restore takes the deployment back in time; what vendors got since is found, not made again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from apis.cli import main
from apis.console.backups import dump
from apis.runtime.migrations import lift
from apis.runtime.settings import Settings
from apis.runtime.store import Store
from contracts.errors import Misconfigured
from tests.duplicates import doubled, keys, projects
from tests.firm import Firm
from tests.house import House
from tests.servers import Servers, drop_database, flush, fresh_database, postgres_packed

SLOW_MS = 150


@pytest.fixture
def restored(production: Servers | None, tmp_path: Path) -> Iterator[House]:
    """A deployment of its own, in either form."""
    url, redis = f"sqlite:///{tmp_path}/home/throughline.sqlite", None
    if production is not None:
        url = fresh_database(production.database_url)
        redis = production.redis_url.rpartition("/")[0] + "/5"
        flush(redis)
    (tmp_path / "home").mkdir()
    house = House(tmp_path / "home", url, redis)
    if packed := postgres_packed():  # its programs are of the version of the server under test
        house.env["PATH"] = f"{packed}:{house.env['PATH']}"
    try:
        house.opens_sandboxes()
        opens(house)
        yield house
    finally:
        house.close()
        if production is not None:
            drop_database(production.database_url, url)


def opens(house: House) -> None:
    """The whole deployment: one process, or one a tier with two workers."""
    if house.redis_url is None:
        house.opens_in_one_process()
    else:
        house.opens_split("2")


def stops(house: House) -> None:
    """Every process but the sandboxes."""
    for part in [part for part in house.processes if not part.startswith("sandbox-")]:
        assert house.stop(part) == 0


async def test_what_vendors_got_since_the_backup_is_found_and_not_made_again(
    restored: House, tmp_path: Path
) -> None:
    folder = tmp_path / "backup"
    firm = Firm(restored)
    first = firm.salesforce.wins_deal()
    await firm.run_of(first)

    code, words = restored.says("backup", str(folder))
    assert code == 0, words
    second = firm.salesforce.wins_deal(entity="UK")
    await firm.run_of(second)
    for system in firm.systems:
        system.latency(SLOW_MS)
    third = firm.salesforce.wins_deal()

    async def made() -> int:
        return projects(firm)[0]

    await firm.see(made, lambda count: count == 3)  # and not in the books yet, perhaps
    in_use = restored.says("restore", str(folder))
    stops(restored)
    for system in firm.systems:
        system.latency(0)
    before = keys(firm)
    code, words = restored.says("restore", str(folder))
    assert code == 0, words
    opens(restored)
    firm.later(minutes=3)
    runs = [await firm.run_of(deal) for deal in (first, second, third)]

    assert in_use[0] == 2
    assert "stop every process" in in_use[1]
    assert [run["state"] for run in runs] == ["done"] * 3
    assert projects(firm) == (3, 3)
    assert doubled(firm) == {}
    assert before.keys() <= keys(firm).keys()
    await firm.close()
    assert restored.says("restore", "--reconciled")[0] == 0
    assert restored.says("restore", "--reconciled")[0] == 2
    code, words = restored.says("audit", "verify")
    assert code == 0, words


@pytest.mark.one_form
def test_a_backup_is_whole_private_and_never_written_over(restored: House, tmp_path: Path) -> None:
    folder = tmp_path / "backup"

    assert restored.says("backup", str(folder))[0] == 0

    assert folder.stat().st_mode & 0o777 == 0o700
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    names = {path.name for path in files}
    assert {"manifest.json", "internal.key", "signing.json", "clients.json"} <= names
    code, words = restored.says("backup", str(folder))
    assert (code, "is there already" in words) == (2, True)
    stops(restored)
    (folder / "home" / "internal.key").write_text("another")
    code, words = restored.says("restore", str(folder))
    assert (code, "is not as it was" in words) == (2, True)
    code, words = restored.says("restore", str(tmp_path))
    assert (code, "is no backup" in words) == (2, True)


def test_a_backup_of_nothing_is_refused(tmp_path: Path) -> None:
    env = {"THROUGHLINE_HOME": str(tmp_path / "home")}

    answer = CliRunner(env=env).invoke(main, ["backup", str(tmp_path / "backup")])
    mark = CliRunner(env=env).invoke(main, ["restore", "--reconciled"])

    assert (answer.exit_code, mark.exit_code) == (2, 2)
    assert "the database has no tables of ours" in answer.stderr
    assert "no restore is marked" in mark.stderr
    assert not (tmp_path / "backup").exists()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A deployment on SQLite that nobody runs, with tables and one key."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("THROUGHLINE_HOME", str(home))
    monkeypatch.delenv("THROUGHLINE_DATABASE_URL", raising=False)
    store = Store(f"sqlite:///{home}/throughline.sqlite")
    lift(store)
    store.close()
    return home


def says(*words: object) -> tuple[int, str]:
    """What a command answers."""
    answer = CliRunner().invoke(main, [str(word) for word in words])
    assert answer.exception is None or isinstance(answer.exception, SystemExit), answer.exception
    return answer.exit_code, answer.output


def edited(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """The manifest of a backup, changed by hand."""
    told = json.loads((folder / "manifest.json").read_text())
    change(told)
    (folder / "manifest.json").write_text(json.dumps(told))


@pytest.mark.one_form
@pytest.mark.parametrize("text", ["[]", "{}", "null", '{"files": 3}', "not json", "\xff"])
def test_a_folder_whose_manifest_is_not_ours_is_no_backup(home: Path, text: str) -> None:
    folder = home.parent / "backup"
    folder.mkdir()
    (folder / "manifest.json").write_text(text)

    code, words = says("restore", folder)

    assert (code, "is no backup: manifest.json" in words) == (2, True), words


@pytest.mark.one_form
@pytest.mark.parametrize("name", ["home/../../evil.txt", "../evil.txt", "home/..", "/evil.txt"])
def test_a_manifest_cannot_name_a_file_outside_the_backup(home: Path, name: str) -> None:
    folder = home.parent / "backup"
    assert says("backup", folder)[0] == 0
    (home.parent / "evil.txt").write_text("evil")
    before = (home / "throughline.sqlite").read_bytes()
    edited(folder, lambda told: told["files"].update({name: "0" * 64}))

    code, words = says("restore", folder)

    assert (code, "Traceback" in words) == (2, False), words
    assert (home / "throughline.sqlite").read_bytes() == before


@pytest.mark.one_form
def test_only_what_the_manifest_names_is_put_back(home: Path) -> None:
    folder = home.parent / "backup"
    assert says("backup", folder)[0] == 0
    (folder / "home" / "planted.key").write_text("nobody vouches for this")

    code, words = says("restore", folder)

    assert code == 0, words
    assert not (home / "planted.key").exists()


@pytest.mark.one_form
def test_a_place_that_cannot_be_written_is_named(home: Path) -> None:
    (home.parent / "file").touch()

    for place in ("/proc/throughline", home.parent / "file" / "backup"):
        code, words = says("backup", place)

        assert (code, str(place).rpartition("/")[0] in words) == (2, True), words
        assert "name a place that this user may write" in words


@pytest.mark.one_form
def test_a_backup_that_does_not_become_whole_leaves_no_keys_behind(home: Path) -> None:
    (home / "mine.key").symlink_to("/proc/self/mem")  # a file that cannot be read
    folder = home.parent / "backup"

    code, words = says("backup", folder)

    assert (code, "Input/output error" in words) == (2, True), words
    assert not folder.exists()


@pytest.mark.one_form
def test_a_key_that_is_mounted_read_only_is_asked_for_before_anything_is_touched(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = home.parent / "backup"
    (home / "audit.key").write_text("the key of then")
    assert says("backup", folder)[0] == 0
    monkeypatch.setenv("THROUGHLINE_AUDIT_KEY", "/proc/version")  # another, and not ours to write
    before = (home / "throughline.sqlite").read_bytes()

    code, words = says("restore", folder)

    assert (code, "/proc/version" in words) == (2, True), words
    assert (home / "throughline.sqlite").read_bytes() == before


@pytest.mark.one_form
def test_a_restore_without_room_leaves_the_database_as_it_was(home: Path) -> None:
    folder = home.parent / "backup"
    assert says("backup", folder)[0] == 0
    before = (home / "throughline.sqlite").read_bytes()
    little_room = ["sh", "-c", 'ulimit -f 8; exec "$@"', "sh"]

    done = subprocess.run(
        [*little_room, sys.executable, "-m", "apis.cli", "restore", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, "File too large" in done.stderr) == (2, True), done.stderr
    assert (home / "throughline.sqlite").read_bytes() == before


@pytest.fixture
def on_a_server(
    production: Servers, home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, Path]]:
    """A database that is reached by what its address says behind `?`, and a backup of it."""
    url = fresh_database(production.database_url)
    parts = urlsplit(url)
    told = f"?host={parts.hostname}&port={parts.port}"
    monkeypatch.setenv("THROUGHLINE_DATABASE_URL", f"postgresql://postgres@{parts.path}{told}")
    if packed := postgres_packed():
        monkeypatch.setenv("PATH", str(packed), prepend=os.pathsep)
    store = Store(url)
    lift(store)
    store.close()
    code, words = says("backup", home.parent / "backup")
    assert code == 0, words
    yield url, home.parent / "backup"
    drop_database(production.database_url, url)


@pytest.mark.several_hosts
def test_the_programs_of_the_server_go_where_its_address_leads_and_as_it_says(
    on_a_server: tuple[str, Path],
) -> None:
    url, folder = on_a_server

    code, words = says("restore", folder)
    settings = Settings.from_env({"THROUGHLINE_DATABASE_URL": f"{url}?sslmode=require"})

    assert code == 0, words
    with pytest.raises(Misconfigured, match=r"pg_dump: .*SSL"):
        dump(settings, folder / "in-plain")


@pytest.mark.several_hosts
def test_a_restore_that_fails_leaves_the_database_as_it_was(
    on_a_server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, folder = on_a_server

    with monkeypatch.context() as without:
        without.setenv("PATH", str(folder))
        code, words = says("restore", folder)

    assert (code, "pg_restore is not on the PATH" in words) == (2, True), words
    assert says("backup", folder.parent / "again")[0] == 0
