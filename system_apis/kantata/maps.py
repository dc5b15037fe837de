"""Bodies as Kantata takes them, by the maps that metadata has for each legal entity."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from apis.runtime.mapping import Map
from apis.runtime.metadata import Metadata, PerEntity, effective_mapping
from apis.runtime.places import At
from contracts.canonical.billing import BillingLine
from contracts.canonical.money import Money, decimals
from contracts.canonical.party import Contact, Customer
from contracts.canonical.project import Milestone, Project, ProjectState, StaffingRequest, Task
from contracts.errors import Rejected
from system_apis.kantata.envelope import SERVICE, Record, project_record
from system_apis.kantata.mapping import KEY, MAPS

MINUTES = 60
CUSTOM = "custom_fields"


class Maps:
    """How this connection's records are written and read."""

    def __init__(self, metadata: Metadata, connection: str) -> None:
        self._maps = PerEntity(
            metadata,
            lambda entity: {
                name: each.over(effective_mapping(metadata, connection, name, entity))
                for name, each in MAPS.items()
            },
        )

    def group(self, customer: Customer, key: str, contact: Contact | None = None) -> Record:
        """A customer as a new group, with the person to talk to there."""
        body = self._of("customer", customer.entity).write(customer)
        if contact is not None:
            body |= self._of("contact", customer.entity).write(contact)
        if address := address_of(customer):
            body["address"] = address
        return sent(body | {"company": True}, "Customer", key)

    def workspace(self, project: Project, key: str) -> Record:
        """A project as a new workspace; its budget in main units."""
        body = self._of("project", project.entity).write(project)
        body |= self._tenants("rate_card", project) | self._tenants("project_template", project)
        if project.budget is not None:
            total = project.budget.total
            if project.currency not in (None, total.currency):
                told = f"a budget in {total.currency} for a project in {project.currency}"
                raise Rejected("project.budget-currency", told)
            body |= {"price": number(total.amount), "currency": total.currency}
        return sent(body | {"creator_role": "maven", "budgeted": True}, "Project", key)

    def figures(self, project: Project) -> Record:
        """What follows a contract: state, days, purchase order and, in its currency, the price."""
        wanted = Project(
            name=project.name,
            state=project.state,
            starts_on=project.starts_on,
            ends_on=project.ends_on,
            purchase_order=project.purchase_order,
        )
        own = self._of("project", project.entity)
        body = {
            name: value for name, value in own.write(wanted).items() if name != own.path("name")
        }
        if project.budget is not None:
            body["price"] = number(project.budget.total.amount)
        return whole(body)

    def adopted(self, project: Project, key: str) -> Record:
        """What a workspace that was made by hand gets: our reference and what was sold."""
        return sent(self.figures(project), "Project", key)

    def state(self, state: ProjectState) -> Record:
        """A project's state, as the tenant calls it."""
        return whole(self._of("project").write({"state": state}))

    def project(self, answer: Any, record: Record) -> Project:
        """A workspace as a project."""
        project: Project = self._of("project").read(project_record(answer, record))
        return project

    @property
    def included(self) -> str:
        """What a question for a project has to include."""
        paths = self._of("project").paths
        custom = ["custom_field_values"] if any(CUSTOM in path for path in paths) else []
        return ",".join(["external_references", "primary_workspace_group", *custom])

    def task(self, task: Task, workspace: str, parent: str | None, key: str) -> Record:
        """A task as a new story."""
        body = self._of("task").write(task)
        if task.planned_hours is not None:
            body["time_estimate_in_minutes"] = round(task.planned_hours * MINUTES)
        if parent is not None:
            body["parent_id"] = parent
        return sent(body | {"story_type": "task", "workspace_id": workspace}, "Task", key)

    def plan(self, work: Task | Milestone) -> Record:
        """Hours and days of a story that exists, and nothing else of it."""
        if isinstance(work, Milestone):
            own, body = self._of("milestone"), self.milestone(work, "", "")
            return {name: value for name, value in body.items() if name == own.path("due_on")}
        own, body = self._of("task"), self.task(work, "", None, "")
        planned = {own.path(name) for name in ("planned_hours", "starts_on", "ends_on")}
        return {name: value for name, value in body.items() if name in planned}

    def milestone(self, milestone: Milestone, workspace: str, key: str) -> Record:
        """A milestone as a new story."""
        body = self._of("milestone").write(milestone)
        body |= {"story_type": "milestone", "workspace_id": workspace}
        return sent(body, "Milestone", key)

    def billing_milestone(
        self, line: BillingLine, workspace: str, stories: Mapping[str, str], key: str
    ) -> Record:
        """A line that is billed on a day, or when its milestone is completed."""
        body = self._of("billing_line").write(line)
        body = {"title": f"Billing {line.number}"} | body
        body |= {"amount_in_cents": cents(line.total), "workspace_id": workspace}
        if line.milestone is not None:
            if line.milestone not in stories:
                told = f"line {line.number} waits for milestone {line.milestone}, which has no id"
                raise Rejected("billing-line.milestone-missing", told)
            body |= {"billing_type": "upon_completion", "story_id": stories[line.milestone]}
        elif line.bill_on is not None:
            body["billing_type"] = "fixed_date"
        return sent(body, "BillingLine", key)

    def resource(self, request: StaffingRequest, workspace: str, key: str) -> Record:
        """A role to fill as an unnamed resource; what else was asked for is told in words."""
        body = self._of("staffing_request").write(request)
        body |= {"user_id": None, "workspace_id": workspace}
        return sent(body, "StaffingRequest", key, message=asked_for(request))

    def _of(self, name: str, entity: str | None = None) -> Map[Any]:
        """The map of the record's entity, else of the one that the call is for."""
        return self._maps.own(entity)[name]

    def _tenants(self, name: str, project: Project) -> Record:
        """An id of the tenant, where its metadata has one for this project."""
        by = self._of(name, project.entity)
        known = {
            field: value
            for field, place in by.fields.items()
            if isinstance(place, At)
            and (value := getattr(project, field)) in (place.table or {}).values()
        }
        return by.write(known)


def sent(body: Record, model: str, key: str, message: str | None = None) -> Record:
    """A body with our external reference."""
    ours: Record = {"service_name": SERVICE, "service_model": model, "service_model_ref": key}
    ours |= {"status": "successful"} | ({"external_message": message} if message else {})
    return whole(body | {KEY.partition(".")[0]: ours})


def whole(body: Record) -> Record:
    """A body with ids as numbers and custom fields as a list."""
    result = {
        name: identifier(value) if name.endswith(("_id", "_key")) else value
        for name, value in body.items()
    }
    if custom := result.pop(CUSTOM, None):
        listed = [{"custom_field_id": identifier(k), "value": v} for k, v in custom.items()]
        result[CUSTOM] = listed
    return result


def identifier(id_: Any) -> Any:
    """An id as a request takes it; what is no number (of a dry run) stays as it is."""
    return int(id_) if isinstance(id_, str) and id_.isdecimal() else id_


def number(amount: Decimal) -> int | Decimal:
    """An amount in main units: a whole one as a whole number."""
    return int(amount) if amount == amount.to_integral_value() else amount


def cents(money: Money) -> int:
    """An amount in the subunits of its currency; Rejected if it has parts of one."""
    small = money.amount.scaleb(decimals(money.currency))
    if small != small.to_integral_value():
        told = f"{money.amount} is finer than {money.currency} can be billed"
        raise Rejected("billing-line.too-fine", told)
    return int(small)


def address_of(customer: Customer) -> str | None:
    """The first address in one line."""
    if not customer.addresses:
        return None
    first = customer.addresses[0]
    parts = (first.street, first.postal_code, first.city, first.region, first.country)
    return ", ".join(part for part in parts if part) or None


def asked_for(request: StaffingRequest) -> str:
    """Hours, days, region and skills of a request, for who fills it."""
    until = f" until {request.ends_on}" if request.ends_on else ""
    parts = [f"{request.hours.normalize():f} hours from {request.starts_on}{until}"]
    parts += [f"region {request.region}"] if request.region else []
    parts += [f"skills {', '.join(request.skills)}"] if request.skills else []
    return "; ".join(parts)


def without_parent(task: Task) -> Rejected:
    """A task whose parent is nowhere."""
    return Rejected("task.parent-missing", f"task {task.code}: there is no {task.parent}")
