"""The configuration reference is what the code says."""

from __future__ import annotations

import os
import re

from apis.console.reference import PAGE, page
from apis.runtime.settings import Settings, private
from apis.runtime.variables import VARIABLES


def test_the_committed_reference_is_the_generated_one() -> None:
    assert PAGE.read_text("utf-8") == page(), "python -m apis.console.reference --write"


def test_every_member_of_both_files_is_named() -> None:
    text = page()
    for member in ("on_store_loss", "client_ca", "retires_on", "search_lag_s", "sweep_at"):
        assert f"| `{member}` |" in text


def test_every_row_says_what_it_means() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| `")]
    mute = [row for row in rows if not re.split(r"(?<!\\)\|", row)[-2].strip()]

    assert len(rows) > 250
    assert not mute, "write it below the member, in its struct"


def test_a_secret_variable_may_be_a_file_that_only_we_can_read(tmp_path) -> None:
    path = tmp_path / "url"
    path.write_text("postgresql://db.example/throughline\n")
    path.chmod(0o600)
    named = {"THROUGHLINE_HOME": str(tmp_path), "THROUGHLINE_DATABASE_URL": f"file:{path}"}

    assert Settings.from_env(named).database_url == "postgresql://db.example/throughline"
    assert {"THROUGHLINE_DATABASE_URL", "THROUGHLINE_RECORDS_KEY"} < {
        each.name for each in VARIABLES if each.secret
    }
    assert private("THROUGHLINE_REDIS_URL", os.environ | {"THROUGHLINE_REDIS_URL": "x"}) == "x"
