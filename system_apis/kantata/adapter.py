"""The Psa port on Kantata: what is not a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from apis.runtime.caller import Outcome as Told
from apis.runtime.caller import reported
from apis.runtime.metadata import Metadata
from apis.runtime.vendor import VendorHttp
from apis.runtime.writes import Write
from contracts.canonical.billing import BillingLine
from contracts.canonical.identity import Ref, Source
from contracts.canonical.money import Money
from contracts.canonical.party import Contact, Customer
from contracts.canonical.project import Milestone, Project, ProjectState, StaffingRequest, Task
from contracts.errors import Conflict, NotFound, ThroughlineError, Transient
from contracts.ports import (
    OTHER_CURRENCY,
    OTHER_CUSTOMER,
    SAME_NAME,
    About,
    Outcome,
    ProjectMatch,
)
from system_apis.kantata.envelope import (
    BILLING,
    GROUPS,
    RESOURCES,
    SERVICE,
    STORIES,
    WORKSPACES,
    Batch,
    Kind,
    Record,
    asked_once,
    creating,
    found,
    key_of,
    numbered,
    pages,
    tried,
)
from system_apis.kantata.maps import Maps, without_parent
from system_apis.kantata.names import names_of, normal

PORT = "psa"
PAGE = 200
MOST_RECORDS = 100


EXTERNAL = "external_references"
REFERENCES = {"include": EXTERNAL}
Made = dict[int, Record | ThroughlineError]


def adapter(http: VendorHttp, metadata: Metadata) -> Kantata:
    """The port on one connection."""
    return Kantata(http, metadata)


class Kantata:
    """The Psa port on Kantata OX."""

    def __init__(self, http: VendorHttp, metadata: Metadata) -> None:
        self._http = http
        self._maps = Maps(metadata, http.name)

    async def about(self) -> About:
        """Vendor, pinned version and the day it retires."""
        return self._http.about()

    async def upsert_customer(
        self,
        key: str,
        customer: Customer,
        contact: Contact | None = None,
        origin: Source | None = None,
    ) -> Ref:
        """A group for the customer: the one of its name becomes ours, else there is a new one.

        Names are unique: a customer whose name another one has is told apart by its place.
        What a group that is ours shows of its customer stays, but for an address that is the
        origin's and another by now.
        """
        group, name = await self._named(customer, key)
        customer = msgspec.structs.replace(customer, name=name)
        write = creating(GROUPS, key, partial(self._find, GROUPS, key), customer.entity)
        body = self._maps.group(customer, key, contact)
        if group is None:
            return await self._http.write(
                write, "POST", "/workspace_groups", body={GROUPS.one: body}
            )
        id_, moved = str(group["id"]), body.get("address")
        body = {GROUPS.one: {"external_reference": body["external_reference"]}}
        made = await self._http.write(write, "PUT", "/workspace_groups/{}", id_, body=body)
        if moved and origin and moved != group.get("address"):
            await self._moved(write, group, moved, origin)
        return made

    async def _moved(self, write: Write, group: Record, address: str, origin: Source) -> None:
        """Another address on a group, if addresses are the origin's."""
        was = {GROUPS.one: {"address": group.get("address")}}
        update = msgspec.structs.replace(
            write, kind="update", attributes=("addresses",), origin=origin, before=was
        )
        if self._http.owned(update):
            body, id_ = {GROUPS.one: {"address": address}}, str(group["id"])
            await self._http.write(update, "PUT", "/workspace_groups/{}", id_, body=body)

    async def create_project(self, project: Project, key: str) -> Ref:
        """A workspace without its stories, once per key."""
        worth = project.budget.total if project.budget else None
        write = creating(WORKSPACES, key, partial(self.find_project, key), project.entity, worth)
        body = {WORKSPACES.one: self._maps.workspace(project, key)}
        return await self._http.write(write, "POST", "/workspaces", body=body)

    async def get_project(self, external_id: str) -> Project:
        """One project, archived or not, as Kantata knows it now."""
        asked = {"only": external_id, "include": self._maps.included}
        answer = await self._http.get("/workspaces", params={**WORKSPACES.shown, **asked})
        if not (records := found(answer, WORKSPACES.many)):
            raise NotFound("project.not-found", f"Kantata has no project {external_id}")
        return self._maps.project(answer, records[0])

    async def find_project(self, key: str) -> Ref | None:
        """The project that carries our key, if there is one."""
        return await self._find(WORKSPACES, key)

    async def match_projects(self, project: Project) -> list[ProjectMatch]:
        """Workspaces of its group, or of none, and of its title without a reference of ours."""
        asked = {"matching": project.name, "include": f"{EXTERNAL},primary_workspace_group"}
        group = project.customer.external_id if project.customer else None
        return [
            ProjectMatch(external_id=id_, reasons=(SAME_NAME,))
            for id_, record, its in await self._listed(WORKSPACES, asked)
            if its is None
            and normal(record["title"]) == normal(project.name)
            and str(record.get("primary_workspace_group_id") or group) == group
        ]

    async def adopt_project(self, external_id: str, project: Project, key: str) -> Ref:
        """Our reference, state, budget and days on a workspace that was made by hand."""
        found = await self.get_project(external_id)
        if found.currency != project.currency:
            told = f"project {external_id} is planned in {found.currency}, not {project.currency}"
            raise Conflict(OTHER_CURRENCY, told, source=self._http.name)
        theirs, its = (each.customer and each.customer.external_id for each in (found, project))
        if theirs and theirs != its:
            told = f"project {external_id} is one of customer {theirs}, not of {its}"
            raise Conflict(OTHER_CUSTOMER, told, source=self._http.name)
        write = Write(
            object=WORKSPACES.object,
            key=key,
            kind="update",
            attributes=("key", "state", "budget", "starts_on", "ends_on"),
            before={WORKSPACES.one: self._maps.figures(found)},
            amount=project.budget.total if project.budget else None,
        )
        body = {WORKSPACES.one: self._maps.adopted(project, key)}
        return await self._http.write(write, "PUT", "/workspaces/{}", external_id, body=body)

    async def update_project(self, external_id: str, project: Project, key: str) -> Ref:
        """State, budget and days of a project; its name and its work are the PSA's own by now."""
        sent = ("state", "budget", "starts_on", "ends_on")
        worth = project.budget.total if project.budget else None
        write = Write(
            object=WORKSPACES.object, key=key, kind="update", attributes=sent, amount=worth
        )
        body = {WORKSPACES.one: self._maps.figures(project)}
        return await self._http.write(write, "PUT", "/workspaces/{}", external_id, body=body)

    async def set_project_state(self, external_id: str, state: ProjectState, key: str) -> Ref:
        """A project activated, held or cancelled."""
        write = Write(
            object=WORKSPACES.object, key=key, kind="update", attributes=("state",), state=state
        )
        body = {WORKSPACES.one: self._maps.state(state)}
        try:
            return await self._http.write(write, "PUT", "/workspaces/{}", external_id, body=body)
        except NotFound as error:  # which also says: archived
            if await self._still(WORKSPACES, external_id) is None:
                raise
            told = f"Kantata hides project {external_id} from us: it may be archived"
            raise Conflict("kantata.HIDDEN", told, source=self._http.name) from error

    async def create_tasks(
        self, external_id: str, tasks: list[Task], milestones: list[Milestone], key: str
    ) -> list[Outcome]:
        """Stories: tasks, each level of the breakdown in one call, and milestones with the first.

        A story needs the id of its parent, so every level of tasks below the first is a call more.
        """
        keys = numbered(key, len(tasks) + len(milestones))
        made: Made = {
            n: tried(self._maps.milestone, each, external_id, keys[n])
            for n, each in enumerate(milestones, start=len(tasks))
        }
        known = {
            each.code: Outcome(external_id=each.external_id) for each in tasks if each.external_id
        }
        left, told = dict(enumerate(tasks)), dict[int, Outcome]()
        while made or left:
            ready = [n for n, each in left.items() if not each.parent or each.parent in known]
            for n in ready:
                task = left.pop(n)
                above = known.get(task.parent or "", Outcome())
                if above.problem is None:
                    parent = above.external_id
                    made[n] = tried(self._maps.task, task, external_id, parent, keys[n])
                else:
                    told[n] = above  # what hangs on it shares its problem
            if not ready and not made:
                made, left = {n: without_parent(each) for n, each in left.items()}, {}
            told |= await self._create(STORIES, keys, made)
            known |= {tasks[n].code: told[n] for n in ready}
            made = {}
        return [told[n] for n in range(len(keys))]

    async def update_tasks(
        self, external_id: str, tasks: list[Task], milestones: list[Milestone], key: str
    ) -> list[Outcome]:
        """Stories planned anew, one by one: what people have made of them otherwise stays."""
        del external_id  # a story's own id is enough
        told, work = list[Outcome](), list[Task | Milestone]([*tasks, *milestones])
        for own, each in zip(numbered(key, len(work)), work, strict=True):
            # a task is part of its project: it has no owner of its own
            write = Write(object=STORIES.object, key=own, kind="update", attributes=())
            body, story = {STORIES.one: self._maps.plan(each)}, each.external_id or ""
            told.append(await self._told(write, "PUT", STORIES, story, body))
        return told

    async def create_billing_lines(
        self, external_id: str, lines: list[BillingLine], milestones: list[Milestone], key: str
    ) -> list[Outcome]:
        """Billing milestones, on a day or upon completion of a milestone's story."""
        stories = {each.code: each.external_id for each in milestones if each.external_id}
        keys = numbered(key, len(lines))
        made: Made = {
            n: tried(self._maps.billing_milestone, line, external_id, stories, keys[n])
            for n, line in enumerate(lines)
        }
        told = await self._create(BILLING, keys, made, [line.total for line in lines])
        return [told[n] for n in range(len(lines))]

    async def get_invoiced_lines(self, external_id: str) -> list[str]:
        """Billing milestones of the workspace that are on an invoice."""
        listed = await self._listed(BILLING, {"workspace_id": external_id, "include": "invoices"})
        return [id_ for id_, record, _ in listed if record.get("invoice_ids")]

    async def cancel_billing_lines(
        self, external_id: str, lines: list[str], key: str
    ) -> list[Outcome]:
        """Lines that must never be billed: gone for ever; one that was invoiced stays."""
        del external_id  # a line's own id is enough
        return await self._delete(BILLING, lines, key)

    async def create_staffing_requests(
        self, external_id: str, requests: list[StaffingRequest], key: str
    ) -> list[Outcome]:
        """Unnamed resources, one per role to fill."""
        keys = numbered(key, len(requests))
        made: Made = {
            n: tried(self._maps.resource, request, external_id, keys[n])
            for n, request in enumerate(requests)
        }
        told = await self._create(RESOURCES, keys, made)
        return [told[n] for n in range(len(requests))]

    async def cancel_staffing_requests(
        self, external_id: str, requests: list[str], key: str
    ) -> list[Outcome]:
        """Requests that nobody need fill any more go; the resource of a named person stays."""
        del external_id  # a resource's own id is enough
        asked = {"only": ",".join(requests), "include": "user"}
        listed = await self._listed(RESOURCES, asked)
        staffed = {id_ for id_, record, _ in listed if record.get("user_id")}
        gone = await self._delete(RESOURCES, [id_ for id_ in requests if id_ not in staffed], key)
        return [*gone, *(Outcome(external_id=id_) for id_ in staffed)]

    async def _create(
        self, kind: Kind, keys: Sequence[str], made: Made, worth: Sequence[Money] = ()
    ) -> dict[int, Outcome]:
        """Records in as few calls as the connection allows, each with its own outcome."""
        told = {n: reported(e) for n, e in made.items() if isinstance(e, ThroughlineError)}
        ready = sorted(made.keys() - told.keys())
        most = max(1, self._http.connection.api.batches.get(kind.many, MOST_RECORDS))
        for start in range(0, len(ready), most):
            part = ready[start : start + most]
            lookup = asked_once(partial(self._by_keys, kind, [keys[n] for n in part]))
            batch = Batch(kind.many, None if most > 1 else kind.one)
            results = await self._http.write_many(
                [
                    creating(kind, keys[n], lookup(keys[n]), amount=worth[n] if worth else None)
                    for n in part
                ],
                "POST",
                f"/{kind.many}",
                bodies=[made[n] for n in part],
                pack=batch.pack,
                outcomes=batch.outcomes,
                params=REFERENCES,
            )
            told |= {n: reported(each) for n, each in zip(part, results, strict=True)}
        return told

    async def _delete(self, kind: Kind, ids: Sequence[str], key: str) -> list[Outcome]:
        """Records taken back for ever; what is gone already is as it should be."""
        told = []
        for own, external_id in zip(numbered(key, len(ids)), ids, strict=True):
            write = Write(
                object=kind.object,
                key=own,
                kind="delete",
                attributes=(),
                find=partial(self._still, kind, external_id),
                undoes=True,
            )
            told.append(await self._told(write, "DELETE", kind, external_id))
        return told

    async def _told(
        self, write: Write, method: str, kind: Kind, external_id: str, body: Any = None
    ) -> Outcome:
        """What became of a write on one record of several."""
        path = f"/{kind.many}/{{}}"
        try:
            done: Told = await self._http.write(write, method, path, external_id, body=body)
        except Transient:
            raise
        except ThroughlineError as error:  # this record's outcome; the others go on
            done = error
        return reported(done, external_id)

    async def _find(self, kind: Kind, key: str) -> Ref | None:
        return (await self._by_keys(kind, [key])).get(key)

    async def _still(self, kind: Kind, external_id: str) -> Ref | None:
        """The record, hidden or not: `only` never says 404."""
        answer = await self._http.get(f"/{kind.many}", params={**kind.shown, "only": external_id})
        return Ref(None, external_id) if found(answer, kind.many) else None

    async def _by_keys(self, kind: Kind, keys: Sequence[str]) -> dict[str, Ref]:
        """Records by the keys of ours that they carry."""
        asked = {
            "external_reference_service_name": SERVICE,
            "external_reference_service_model_refs": ",".join(keys),
        }
        known: dict[str, Ref] = {}
        for id_, _, key in await self._listed(kind, asked):
            if key in known:
                told = f"several {kind.many} carry the key {key}"
                raise Conflict("kantata.SEVERAL", told, source=self._http.name)
            if key is not None and key in keys:
                known[key] = Ref(None, id_)
        return known

    async def _named(self, customer: Customer, key: str) -> tuple[Record | None, str]:
        """The customer's group, ours or nobody's, and the first of its names that is free."""
        listed = await self._listed(GROUPS, {"matching": customer.name})
        if mine := [record for _, record, its in listed if its == key]:
            return mine[0], customer.name
        taken = {normal(record["name"]): (record, its) for _, record, its in listed}
        for name in names_of(customer, key):
            group, its = taken.get(normal(name), (None, None))
            if its is None:
                return group, name
        told = f"every name for {customer.name} is another customer's already"
        raise Conflict("kantata.SEVERAL", told, source=self._http.name)

    async def _listed(
        self, kind: Kind, asked: Mapping[str, str]
    ) -> list[tuple[str, Record, str | None]]:
        """All pages of an answer: id, record and our key on it."""
        known: list[tuple[str, Record, str | None]] = []
        page, last = 0, 1
        while page < last:
            page += 1
            params = {**kind.shown, **REFERENCES, **asked, "per_page": PAGE, "page": page}
            answer = await self._http.get(f"/{kind.many}", params=params)
            known += [
                (str(each["id"]), each, key_of(answer, each)) for each in found(answer, kind.many)
            ]
            last = pages(answer)
        return known
