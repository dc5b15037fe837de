"""Asynchronous calls: done at once in the books, told as done when the clock says so."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import msgspec

from apis.runtime.sandbox import Kit
from apis.runtime.sandbox_wire import Answer, Call
from system_apis.netsuite.sandbox.errors import Refused, json_answer, no_record

ASYNC = "/services/rest/async/v1/job"
KEY = "x-netsuite-idempotency-key"


class Jobs:
    """Jobs with one task per record; `async_s` of the settings says how long they take."""

    def __init__(self, kit: Kit) -> None:
        self.kit, self.db = kit, kit.db
        self.db.execute(
            "CREATE TABLE IF NOT EXISTS _jobs"
            " (id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT UNIQUE, at REAL, answers TEXT)"
        )

    def repeated(self, call: Call) -> None:
        """Refused if a job with this call's idempotency key is there already."""
        found = self.db.execute("SELECT id FROM _jobs WHERE key=?", [call.headers.get(KEY)])
        if known := found.fetchone():
            text = "The idempotency key was used already: see the job of the first call."
            refused = Refused("IDEMPOTENCY_ERROR", text, title="Conflict", header=KEY)
            refused.headers["Location"] = f"{call.origin}{ASYNC}/{known[0]}"
            raise refused

    def accept(self, call: Call, answers: list[Answer]) -> Answer:
        """Keep what became of each record; answers where to ask for it."""
        kept = [
            {
                "status": each.status,
                "headers": each.headers,
                "body": base64.b64encode(each.body).decode(),
            }
            for each in answers
        ]
        values = [call.headers.get(KEY), self.kit.clock.timestamp(), msgspec.json.encode(kept)]
        sql = "INSERT INTO _jobs (key, at, answers) VALUES (?, ?, ?)"
        job = self.db.execute(sql, values).lastrowid
        headers = {"Location": f"{call.origin}{ASYNC}/{job}", "Preference-Applied": "respond-async"}
        written = [pair for each in answers for pair in each.written]
        return Answer(202, headers=headers, written=written)

    def show(self, steps: list[str]) -> Answer:
        """`<job>`, `<job>/task`, `<job>/task/<task>` and `<job>/task/<task>/result`."""
        job = steps[0] if steps and steps[0].isdecimal() else "0"
        sql = "SELECT at, answers FROM _jobs WHERE id=?"
        found = self.db.execute(sql, [job]).fetchone()
        if found is None:
            raise no_record("job", job)
        at, answers = found[0], msgspec.json.decode(found[1])
        term = at, at + float(self.kit.settings.get("async_s", 0))
        done = self.kit.clock.timestamp() >= term[1]
        here = f"{ASYNC}/{job}"
        match steps[1:]:
            case []:
                return json_answer(200, _job(job, here, done=done))
            case ["task"]:
                items = [_task(here, n, term, done=done) for n in range(1, len(answers) + 1)]
                return json_answer(200, {"items": items, "count": len(items)}, "collection")
            case ["task", n] if _among(n, answers):
                return json_answer(200, _task(here, int(n), term, done=done))
            case ["task", n, "result"] if _among(n, answers) and done:
                kept = answers[int(n) - 1]
                return Answer(kept["status"], base64.b64decode(kept["body"]), kept["headers"])
        raise no_record("task", "/".join(steps))


def _among(n: str, answers: list[Any]) -> bool:
    return n.isdecimal() and 1 <= int(n) <= len(answers)


def _job(job: str, here: str, *, done: bool) -> dict[str, Any]:
    links = [{"rel": "self", "href": here}]
    task = {"links": [{"rel": "self", "href": f"{here}/task"}]}
    progress = "succeeded" if done else "processing"
    return {"links": links, "id": job, "completed": done, "progress": progress, "task": task}


def _task(here: str, n: int, term: tuple[float, float], *, done: bool) -> dict[str, Any]:
    place = f"{here}/task/{n}"
    links = [{"rel": "self", "href": place}, {"rel": "related", "href": f"{place}/result"}]
    began, ended = (datetime.fromtimestamp(each, UTC).isoformat() for each in term)
    told = {"links": links, "id": str(n), "completed": done, "startTime": began}
    if not done:
        return told | {"progress": "processing"}
    return told | {"progress": "succeeded", "endTime": ended}
