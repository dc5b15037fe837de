"""A file of the sample with one edit, and what `throughline check` says of it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from apis.console.checking import configured
from apis.runtime.settings import Settings

ROOT = Path(__file__).parents[2]


def edited(settings: Settings, name: str, old: str, new: str) -> tuple[str, list[str]]:
    """File and line of the edit, and the findings; `«` in it marks the line that is meant."""
    path = settings.home / Path(name).name
    text = (ROOT / name).read_text()
    assert old in text
    marked = text.replace(old, new if "«" in new else f"«{new}", 1)
    line = marked[: marked.index("«")].count("\n") + 1
    path.write_text(marked.replace("«", ""))
    member = "gateway" if name == "gateway.yaml" else "entities"
    _, found = configured(msgspec.structs.replace(settings, **{member: path}))
    return f"{path.name}:{line}: ", found
