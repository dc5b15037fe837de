from __future__ import annotations
from typing import Any


class Secret:
    """A value that cannot be printed, logged or encoded; `reveal()` where it is sent."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def reveal(self) -> Any:
        """The value itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __reduce__(self) -> Any:
        msg = "a secret is not stored"
        raise TypeError(msg)
