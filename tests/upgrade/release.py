"""The release before this one, from the commit that `docs/releases.md` names."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.servers import ROOT

LINE = re.compile(r"^\| (\S+) \| [\d-]+ \| `([0-9a-f]{40})` \|$", re.MULTILINE)


def last_release() -> tuple[str, str]:
    """Its number and its commit."""
    number, commit = LINE.findall((ROOT / "docs" / "releases.md").read_text("utf-8"))[-1]
    return str(number), str(commit)


def unpacked(folder: Path) -> tuple[Path, str]:
    """Its tree and what it is; a checkout without the history cannot be upgraded to."""
    number, commit = last_release()
    command = ["git", "archive", "--format=tar", commit]
    archive = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        pytest.skip(f"the commit of {number} is not in this checkout: fetch the whole history")
    folder.mkdir()
    subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
    return folder, f"from {number} ({commit[:8]}) to this tree"
