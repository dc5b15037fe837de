"""What `throughline gateway plan` prints where no terminal is."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from apis.console.policies import show_impact
from apis.gateway.replaying import Affected, Impact


def test_a_table_in_a_file_keeps_every_name_whole(capsys: pytest.CaptureFixture[str]) -> None:
    day = datetime(2026, 3, 1, tzinfo=UTC)
    row = Affected(
        client="acme-datawarehouse-nightly",
        api="process/deal-to-project",
        version="v1",
        operation="startDealToProjectRun",
        calls=1200,
        would_be_refused=7,
        why="insufficient-scope",
        first=day,
        last=day,
    )

    show_impact(Impact(calls=1200, clients=1, since=day, until=day, affected=(row,)))

    line = next(line for line in capsys.readouterr().out.splitlines() if "acme" in line)
    whole = row.client, row.operation, "process/deal-to-project/v1", "1200", "7", row.why
    assert all(each in line for each in whole)
