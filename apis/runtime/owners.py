"""Ownership enforced where the product writes: at the one place that calls a connection."""

from __future__ import annotations

from datetime import date

from apis.runtime.metadata import Metadata
from apis.runtime.writes import Write
from contracts.ownership import NOBODYS, check_write, may_write, owner_of


class Owners:
    """What may be written to one connection: what its role owns that day, and what is ours."""

    def __init__(self, metadata: Metadata, connection: str) -> None:
        self._metadata = metadata
        self._connection = connection

    def check(self, write: Write, entity: str | None, on: date) -> None:
        """Refuse (`ownership.not-owner`) a change of what another system is the record of.

        A create changes nothing of anybody's: a new record mirrors what its owners hold.
        """
        if write.kind in ("create", "delete"):
            return
        check_write(
            write.object,
            self.others(write, entity, on),
            write.origin.connection if write.origin else self._connection,
            on=on,
            entity=entity,
            overrides=self._metadata.ownership,
            stewards=self._metadata.stewards,
        )

    def others(self, write: Write, entity: str | None, on: date) -> set[str]:
        """The attributes of a write that another system is the record of."""
        rows, target = self._metadata.ownership, self.kinds(self._connection, entity, on)
        origin = self.kinds(write.origin.connection, entity, on) if write.origin else None
        return {
            name
            for name in {*write.attributes} - NOBODYS
            if not may_write(owner_of(write.object, name, entity, on, rows), target, origin)
        }

    def kinds(self, connection: str, entity: str | None, on: date) -> set[str]:
        """The parts that a connection plays for an entity (None: for any) by that day."""
        return {
            kind
            for row in self._metadata.roles
            if (entity is None or row.entity in (None, entity)) and (row.valid_from or on) <= on
            for kind, name in row.serves.items()
            if name == connection
        }
