"""How long a connection to one of our ports may take, and how many there may be."""

from __future__ import annotations

import msgspec

from apis.runtime.variables import Reading


class Caps(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds that a client has for each part; past them it is told, where HTTP allows, and cut."""

    header_s: float = 10.0
    body_s: float = 20.0
    body_rate: int = 8_192
    """Bytes of a body that buy one more second."""
    unread_s: float = 30.0
    keep_alive_s: float = 75.0
    connections: int = 1_000

    @classmethod
    def read(cls, env: Reading) -> Caps:
        """Those of the defaults that the environment does not say otherwise."""
        usual = cls()
        return cls(
            header_s=env.seconds("THROUGHLINE_HEADER_TIMEOUT", usual.header_s),
            keep_alive_s=env.seconds("THROUGHLINE_KEEP_ALIVE", usual.keep_alive_s),
            connections=env.whole("THROUGHLINE_CONNECTIONS", usual.connections),
        )
