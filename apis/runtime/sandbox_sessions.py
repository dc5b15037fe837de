"""The access tokens a sandbox gave out: which are alive, across restarts."""

from __future__ import annotations

import math

from apis.runtime.sandbox import Kit
from apis.runtime.sandbox_wire import Call


class Sessions:
    """Tokens by name, each until its time comes or it is ended."""

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        kit.db.execute("CREATE TABLE IF NOT EXISTS _tokens (token TEXT PRIMARY KEY, until REAL)")

    def begin(self, token: str, life_s: float = math.inf) -> None:
        """A token that is alive from now on."""
        now = self.kit.clock.timestamp()
        self.kit.db.execute("DELETE FROM _tokens WHERE until<?", [now])
        self.kit.db.execute("INSERT INTO _tokens VALUES (?, ?)", [token, now + life_s])

    def alive(self, token: str) -> bool:
        """Whether a token was given out and is not over."""
        sql = "SELECT until FROM _tokens WHERE token=?"
        found = self.kit.db.execute(sql, [token]).fetchone()
        return found is not None and found[0] >= self.kit.clock.timestamp()

    def end(self, token: str) -> None:
        """A token that is dead from now on."""
        self.kit.db.execute("DELETE FROM _tokens WHERE token=?", [token])

    def kill(self, call: Call) -> None:
        """The token that a call carries is dead from now on."""
        self.end(call.authorization[1])

    def clear(self) -> None:
        """All are dead."""
        self.kit.db.execute("DELETE FROM _tokens")
