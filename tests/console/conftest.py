"""The settings of a home that nobody has used."""

from __future__ import annotations

from pathlib import Path

import pytest

from apis.runtime.settings import Settings
from tests.console.edits import ROOT


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The sample's policy and metadata, seen from the project's folder."""
    monkeypatch.chdir(ROOT)
    return Settings.from_env({"THROUGHLINE_HOME": str(tmp_path)})
