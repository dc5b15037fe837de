"""What the metadata only refers to: values of the environment and of files, read when used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from apis.runtime.log import Secret
from contracts.errors import Misconfigured


def resolve(reference: str, env: Mapping[str, str], home: Path) -> str:
    """The text of `env:NAME|default` or `file:{home}/path#pointer`; any other text is itself."""
    value = _referred(reference, env, home)
    if not isinstance(value, str):
        raise Misconfigured("reference.not-text", f"{reference} is not a text")
    return value


def secret(reference: str, env: Mapping[str, str], home: Path) -> Secret:
    """The secret a reference points at, read now: a rotated one needs no restart."""
    return Secret(_referred(reference, env, home, private=True))


def _referred(reference: str, env: Mapping[str, str], home: Path, *, private: bool = False) -> Any:
    kind, _, rest = reference.partition(":")
    if kind == "env":
        name, given, default = rest.partition("|")
        if name not in env and not given:
            raise Misconfigured("reference.missing", f"the environment has no {name}")
        return env.get(name, default)
    if kind != "file":
        return reference
    name, _, pointer = rest.replace("{home}", str(home)).partition("#")
    path = Path(name)
    try:
        if private and path.stat().st_mode & 0o077:
            raise Misconfigured("reference.open", f"{path} holds secrets: chmod 600 {path}")
        text = path.read_text("utf-8")
        value: Any = msgspec.json.decode(text) if pointer else text.strip()
        for part in filter(None, pointer.split("/")):
            value = value[part]
    except (OSError, ValueError, KeyError, TypeError) as error:
        detail = f"{reference} cannot be read ({type(error).__name__})"
        raise Misconfigured("reference.missing", detail) from None
    return value
