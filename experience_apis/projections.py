"""The read models of the audiences: which events build them. None has an audience yet."""

from __future__ import annotations

from apis.runtime.events import Projection

PROJECTIONS: tuple[Projection, ...] = ()
