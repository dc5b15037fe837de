"""Delivery: the projects that were sold, and how they are."""

from __future__ import annotations

from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery, PathParameter, QueryParameter, SkipValidation
from litestar.types import ControllerRouterHandler

from apis.runtime.app import App, caller, make_app
from apis.runtime.flow import Runtime
from contracts.canonical.project import ProjectState
from experience_apis.delivery.reads import Reads, Wanted
from experience_apis.delivery.views import ProjectDetail, ProjectHealth, ProjectPage

ProjectId = Annotated[
    str, PathParameter(description="our id or key of the project, or its id in any system")
]
Read = NamedDependency[SkipValidation[Reads]]


@get("/projects", operation_id="listProjects")
async def list_projects(
    reads: Read,
    entity: FromQuery[str | None] = None,
    in_state: Annotated[ProjectState | None, QueryParameter(name="state")] = None,
    customer_id: FromQuery[str | None] = None,
    cursor: FromQuery[str | None] = None,
) -> ProjectPage:
    """Projects, the last activated first."""
    wanted = Wanted(entity=entity, state=in_state, customer=customer_id, cursor=cursor)
    return await reads.projects(wanted)


@get("/projects/{id:str}", operation_id="getProject")
async def get_project(id: ProjectId, reads: Read) -> ProjectDetail:  # noqa: A002 - the path's own word
    """One project with its work breakdown and what it is in each system."""
    return await reads.project(id)


@get("/projects/{id:str}/health", operation_id="getProjectHealth")
async def get_project_health(id: ProjectId, reads: Read) -> ProjectHealth:  # noqa: A002 - as above
    """Budget, burn and open work items of one project."""
    return await reads.health(id)


ROUTES: list[ControllerRouterHandler] = [list_projects, get_project, get_project_health]


def app(runtime: Runtime) -> App:
    """The API of delivery; what it reads is made per request, for who asks."""
    made = {"reads": lambda: Reads(runtime.store, caller().rows, runtime.links, runtime.cursors)}
    return make_app("Delivery", version="2.0.0", routes=ROUTES, dependencies=made)
