"""Work items as one client handles them: the queue is asked about what the client may see."""

from __future__ import annotations

from typing import Any

import msgspec

from apis.runtime.context import CURRENT, Call
from contracts.canonical.identity import Source
from contracts.process_ports import WorkQueue
from contracts.runs import DecisionKind, WorkItem, WorkItemPage
from experience_apis.operations.reads import Reads


class Desk:
    """The queue behind a look at the client's rows; nothing is copied, so nothing is stale."""

    def __init__(self, queue: WorkQueue, reads: Reads) -> None:
        self._queue = queue
        self._reads = reads

    async def listed(self, *asked: Any) -> WorkItemPage:
        """A page of the queue; one with less than it held if the rest is not the client's."""
        with_all_rows()
        return await self._reads.seen(await self._queue.list_work_items(*asked))

    async def item(self, item_id: str) -> WorkItem:
        """One item as it is now."""
        await self._mine(item_id)
        return await self._queue.get_work_item(item_id)

    async def assigned(self, item_id: str, assignee: str | None) -> WorkItem:
        """The item, given to a person or to nobody."""
        await self._mine(item_id)
        return await self._queue.assign_work_item(item_id, assignee)

    async def commented(self, item_id: str, text: str) -> WorkItem:
        """The item with one note more."""
        await self._mine(item_id)
        return await self._queue.comment_work_item(item_id, text)

    async def decided(
        self, item_id: str, decision: DecisionKind, comment: str, record: Source | None
    ) -> WorkItem:
        """The item, decided by who asks."""
        await self._mine(item_id)
        return await self._queue.decide_work_item(item_id, decision, comment, record)

    async def _mine(self, item_id: str) -> None:
        await self._reads.may_see(item_id)
        with_all_rows()


def with_all_rows() -> None:
    """Go on as the same person without restriction: the rows were looked at here.

    The queue refuses who is restricted, because it does not know whose customer an item is about.
    """
    context = CURRENT.get().context
    if context.rows is not None:
        CURRENT.set(Call(msgspec.structs.replace(context, rows=None)))
