"""A moment: a date and time with its zone. Fields that hold one end in `_at`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
