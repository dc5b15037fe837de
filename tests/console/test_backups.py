"""A restore takes the deployment back in time; what vendors got since is found, not made again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from apis.cli import main
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
