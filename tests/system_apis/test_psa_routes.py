"""What a PSA is asked, and each outcome of a batch, arrives over the Psa port as it was said."""

from __future__ import annotations

from apis.runtime.app import make_app
from apis.runtime.clients import Local, client
from contracts.canonical.identity import Ref
from contracts.canonical.project import Milestone, Task
from contracts.errors import Rejected, problem_of
from contracts.ports import Outcome, Psa
from system_apis import psa
from tests.runtime.acme import asks


class Listening:
    """A Psa that keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    async def create_tasks(
        self, external_id: str, tasks: list[Task], milestones: list[Milestone], key: str
    ) -> list[Outcome]:
        self.asked = [external_id, tasks, milestones, key]
        refused = problem_of(Rejected("task.parent-missing", "no parent"))
        return [Outcome(external_id="7", ok=Ref(None, "7")), Outcome(problem=refused)]


async def test_arguments_and_outcomes_arrive_as_they_were_sent() -> None:
    asks()
    behind = Listening()
    app = make_app("a PSA", version="1.0.0", routes=psa.routes, dependencies={"psa": behind})
    tasks, milestones = [Task(code="1", name="Ä/?")], [Milestone(code="m", name="M")]

    told = await client(Psa, Local(app)).create_tasks("812", tasks, milestones, "tasks-1")

    assert behind.asked == ["812", tasks, milestones, "tasks-1"]
    assert [each.problem and each.problem.code for each in told] == [None, "task.parent-missing"]
