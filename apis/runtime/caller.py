"""What calls a vendor writes once: the ledger around every write, by HTTP or in a database."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from apis.runtime.clock import Clock
from apis.runtime.context import CURRENT, Call, Context
from apis.runtime.metadata import Connection
from apis.runtime.owners import Owners
from apis.runtime.restores import restored_at
from apis.runtime.store import Store
from apis.runtime.wire import lost, unlisted
from apis.runtime.writes import (
    LEASE_MARGIN_S,
    Claim,
    Sending,
    Write,
    claim,
    claim_all,
    doubt,
    let_go,
    overwritten,
    resend,
    settle,
    written,
)
from contracts import ports
from contracts.canonical.identity import Ref
from contracts.errors import (
    Conflict,
    Rejected,
    Throttled,
    ThroughlineError,
    Transient,
    problem_of,
)

ADOPT = "adopt:"
UNCERTAIN = "UNCERTAIN"
"""The reason of a refusal to send again what was never confirmed: a person looks it up."""
IN_FLIGHT_S = 0.5
"""Another write of the same record is mostly over long before its lease is: looked at so soon, and
then each time after as long again as it has taken so far."""
PROCESS = "svc:process"
"""Who acts when a flow calls, for whoever started it."""
Outcome = Ref | ThroughlineError


def reported(told: Outcome, external_id: str | None = None) -> ports.Outcome:
    """What became of one record, as a port tells it; `external_id` where the answer has none."""
    if isinstance(told, ThroughlineError):
        return ports.Outcome(external_id=external_id, problem=problem_of(told))
    known = told.external_id or external_id
    return ports.Outcome(external_id=known, ok=Ref(None, known))


def believed(write: Write, context: Context) -> None:
    """Refuse an origin that anybody but the process tier names: it reads the owners' records."""
    if write.origin is not None and context.actor.partition(" ")[0] != PROCESS:
        raise Rejected(
            "ownership.origin-not-believed",
            f"only a flow may say that values of a {write.object} come from another system",
            owner="integration",
            remedy="write it without an origin, or in the system that owns it",
        )


class Caller:
    """One connection's writes, each recorded before it is sent and settled when it is known."""

    def __init__(
        self,
        vendor: str,
        name: str,
        connection: Connection,
        *,
        store: Store,
        clock: Clock,
        owners: Owners | None,
    ) -> None:
        self.name = name
        self.connection = connection
        self._vendor_name = vendor
        self._store = store
        self._clock = clock
        self._owners = owners
        self._restored: datetime | None = None
        self._looked = False

    def owned(self, write: Write) -> tuple[str, ...]:
        """The attributes of a write that are this connection's, or ours, to change."""
        if self._owners is None:
            return write.attributes
        believed(write, CURRENT.get().context)
        entity = write.entity or CURRENT.get().context.entity
        others = self._owners.others(write, entity, self._clock.now().date())
        return tuple(name for name in write.attributes if name not in others)

    async def _planned(self, sending: Sending, there: str | None = None) -> Ref:
        """List the write; one that the ledger knows as done would not be sent again."""
        known = await self._store.read(written, sending)
        if known is not None:
            return Ref(None, known or there)
        call, write = CURRENT.get(), sending.write
        operation = f"{write.kind} {write.object}"
        plain = msgspec.to_builtins(sending.body, enc_hook=str)
        changed = overwritten(sending, there or "")
        told = {"system": self.name, "operation": operation, "body": plain}
        call.planned.append(told | ({"overwrites": changed} if changed else {}))
        nth = call.context.planned + len(call.planned)
        return Ref(None, there or f"$planned:{self.name}.{write.object}#{nth}")

    def _sending(
        self,
        call: Call,
        write: Write,
        body: Any,
        at: datetime | None = None,
        operation: str = "",
    ) -> Sending:
        call.writes += 1
        return Sending(
            connection=self.name,
            write=write,
            context=call.context,
            n=call.writes,
            body=body,
            at=at or self._clock.now(),
            lease_s=self.connection.deadline_s + LEASE_MARGIN_S,
            operation=operation,
        )

    async def _earlier(self, sending: Sending, there: str | None = None) -> Ref | None:
        """What an earlier sending of the same write became; None when it is to be sent now.

        `there` is the id of the record that it changes, if it is known already.
        """
        self._allowed(sending)
        if sending.context.plan:
            return await self._planned(sending, there)
        held = await claim(self._store, sending)
        return await self._known(sending, await self._doubted(sending, held))

    async def _doubted(self, sending: Sending, held: Claim) -> Claim:
        """After a restore the ledger may not know what was made: it is looked for first."""
        if held.act != "send" or sending.write.kind != "create":
            return held
        if not self._looked:
            self._restored, self._looked = await self._store.read(restored_at), True
        searched = sending.write.find is not None or sending.context.decided is None
        if self._restored is None or not searched:
            return held
        return await self._store.write(doubt, sending, self._restored)

    async def _earlier_of(self, sendings: Sequence[Sending]) -> list[Outcome | None]:
        """`_earlier` of the records of one call: a record's error is its outcome."""
        found = [await self._allowed_or_error(each) for each in sendings]
        meant = [each for each, out in zip(sendings, found, strict=True) if out is None]
        held = iter(await self._store.write(claim_all, meant) if meant else ())
        return [
            await self._known_or_error(each, await self._doubted(each, next(held)))
            if out is None
            else out
            for each, out in zip(sendings, found, strict=True)
        ]

    def _allowed(self, sending: Sending) -> None:
        """Refuse what is another system's to change."""
        if self._owners is not None:
            believed(sending.write, sending.context)
            entity = sending.write.entity or sending.context.entity
            self._owners.check(sending.write, entity, sending.at.date())

    async def _allowed_or_error(self, sending: Sending) -> Outcome | None:
        """A record of several: its error or, in a dry run, what it would be."""
        try:
            self._allowed(sending)
            return await self._planned(sending) if sending.context.plan else None
        except ThroughlineError as error:
            return error

    async def _known_or_error(self, sending: Sending, held: Claim) -> Outcome | None:
        try:
            return await self._known(sending, held)
        except ThroughlineError as error:
            return error

    async def _known(self, sending: Sending, held: Claim) -> Ref | None:
        """What the ledger says an earlier sending became; None when it is to be sent now."""
        write, decided = sending.write, sending.context.decided or ""
        if held.before and sending.operation:
            call, calls = lost(self.name, sending.operation, held.before), CURRENT.get().calls
            calls += [call] if unlisted(call, calls) else []
        if held.act == "done":
            self._wrote(sending, held.external_id)
            return Ref(None, held.external_id)
        if held.act == "wait":
            told = f"{write.object} {write.key} is being written already"
            pause = min(held.wait_s, max(IN_FLIGHT_S, sending.lease_s - held.wait_s))
            raise Throttled(self._code("WRITE_IN_FLIGHT"), told, retry_after=pause)
        if write.kind == "create" and decided.startswith(ADOPT):
            return await self._settled(sending, Ref(None, decided.removeprefix(ADOPT)), None)
        if held.act == "ask":
            raise Conflict(
                self._code(UNCERTAIN),
                f"{write.object} {write.key} was sent and never confirmed,"
                f" and {self._vendor_name} cannot be searched for it",
                owner="integration",
                remedy="look it up there: adopt it if it exists, retry if it does not",
                source=self.name,
            )
        if held.act == "find" and held.sent_at is not None:
            return await self._found(sending, held.sent_at)
        return None

    async def _found(self, sending: Sending, sent_at: datetime) -> Ref | None:
        """Adopt what a create without an answer has made; None when it surely made nothing."""
        try:
            found = await sending.write.find() if sending.write.find else None
        except ThroughlineError:
            await self._let_go([sending], refused=False)
            raise
        if found is not None:
            return await self._settled(sending, found, None)
        lag_ends = sent_at + timedelta(seconds=self.connection.search_lag_s)
        left = (lag_ends - self._clock.now()).total_seconds()
        if left > 0:
            await self._let_go([sending], refused=False)
            told = "waiting until a search would show what was sent"
            raise Throttled(self._code("SEARCH_LAG"), told, retry_after=left)
        await self._store.write(resend, sending)
        return None

    async def _settled(self, sending: Sending, ref: Ref, status: int | None) -> Ref:
        await self._store.write(settle, sending, ref.external_id, status)
        self._wrote(sending, ref.external_id)
        return Ref(None, ref.external_id)

    def _wrote(self, sending: Sending, external_id: str | None) -> None:
        """Say which record there is now and what was another in it, or which one is gone."""
        write = sending.write
        record = {"system": self.name, "object": write.object, "id": external_id}
        if write.kind == "delete":
            CURRENT.get().wrote.append(record | {"gone": True})
        elif external_id:
            changed = overwritten(sending, external_id)
            CURRENT.get().wrote.append(record | ({"overwrote": changed} if changed else {}))

    async def _let_go(self, sendings: Sequence[Sending], *, refused: bool) -> None:
        for each in sendings:
            await self._store.write(let_go, each, refused=refused)

    def _deadline(self) -> float:
        own = time.time() + self.connection.deadline_s
        asked = CURRENT.get().context.deadline
        return own if asked is None else min(own, asked)

    def _left(self, deadline: float) -> float:
        """Seconds until the deadline; nothing is sent after it."""
        left = deadline - time.time()
        if left <= 0:
            told = "the time for this call was over before it was sent"
            raise Transient(self._code("TOO_LATE"), told)
        return left

    def _code(self, reason: str) -> str:
        return f"{self._vendor_name}.{reason}"
