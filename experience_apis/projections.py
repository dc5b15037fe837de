"""The read models of the audiences: which events build them."""

from __future__ import annotations

from apis.runtime.events import Projection
from experience_apis import journeys, projects

TOGETHER = 50
PROJECTIONS: tuple[Projection, ...] = (
    Projection("journeys", tuple(journeys.FOLLOWED), journeys.follow, TOGETHER),
    Projection("projects", projects.FOLLOWED, projects.follow, TOGETHER),
)
