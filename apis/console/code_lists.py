"""Whether code lists and metadata know the same values: what is used is listed, and the reverse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, get_args, get_origin

import msgspec

from apis.runtime.mapping import Map, Overrides
from apis.runtime.metadata import Kind, Metadata, effective_mapping, serving
from apis.runtime.offer_findings import MODELS
from apis.runtime.places import At
from apis.runtime.typed_yaml import Finding, Place, bare, choices
from contracts.errors import Misconfigured

OPEN = frozenset({"tax_code", "payment_terms", "service_line", "role"})
"""Fields whose values are the firm's own: what metadata names is all there is."""
Used = dict[str, dict[str, Place]]
"""Field -> value -> where metadata says it first."""


def unmapped(
    name: str, port: Kind, maps: Mapping[str, Map[Any]], metadata: Metadata
) -> Iterator[Finding]:
    """Values that metadata uses and a code list of the connection does not have."""
    told: set[tuple[Place, str, Place]] = set()
    for entity in served(name, port, metadata):
        known = used(metadata, entity)
        if port == "erp" and (project := maps.get("project")) is not None:
            overrides = effective_mapping(metadata, name, "project", entity)
            for used_at, dimension in _unplaced(project, overrides, known):
                where = f"mappings.{name}.base.project.fields.{dimension}"
                yield used_at, f"{name} has no field for it ({where})"
        for each, by in maps.items():
            for field, mapped in listed(by, effective_mapping(metadata, name, each, entity)):
                place: Place = ("mappings", name, "base", each, "codes", field)
                for value, used_at in _needed(by, field, known, place).items():
                    if value in mapped or (found := (used_at, value, place)) in told:
                        continue
                    told.add(found)
                    where = ".".join(map(str, place))
                    yield used_at, f"{value} is not in the code list {where}"


def served(name: str, port: Kind, metadata: Metadata) -> list[str]:
    """The entities that a connection serves, on whatever day."""
    days = {row.valid_from or date.min for row in metadata.roles}
    return [
        each
        for each in metadata.entities
        if any(serving(metadata, port, each, day) == name for day in days)
    ]


def listed(by: Map[Any], overrides: Overrides) -> Iterator[tuple[str, set[Any]]]:
    """The fields of a map that are written by a code list, and what it has."""
    try:
        fields = by.over(overrides).fields
    except Misconfigured:  # told where it stands, with the other overrides
        return
    for field, place in fields.items():
        if isinstance(place, At) and place.table is not None and not place.readonly:
            yield field, {*place.table.values()}


def _unplaced(by: Map[Any], overrides: Overrides, known: Used) -> Iterator[tuple[Place, str]]:
    """Dimensions of an entity's projects that the books cannot take: they have no field there."""
    for field, values in known.items():
        if field.startswith("dimensions.") and not {field} & {*by.fields, *overrides.fields}:
            yield from ((place, field) for place in values.values())


def _needed(by: Map[Any], field: str, known: Used, place: Place) -> dict[str, Place]:
    """What an entity uses; of a closed list, such as the states of a project, every value."""
    if used_at := known.get(field) or known.get(field.rpartition(".")[2]):
        return used_at
    return dict.fromkeys(choices(type_at(by.contract, field)), place)


def used(metadata: Metadata, entity: str) -> Used:
    """What the projects, customers and bills of an entity can say, by the field that says it."""
    party, here = metadata.entities[entity], ("entities", entity)
    found: Used = {
        "entity": {entity: here},
        "currency": {party.currency: (*here, "currency")},
        "dimensions.location": {party.region: (*here, "region")},
    }
    for field in ("tax_code", "payment_terms", "service_line"):
        member = field if field.endswith("s") else f"{field}s"
        values = getattr(party, member)
        found[field] = {value: (*here, member, n) for n, value in enumerate(values)}
    found["dimensions.department"] = found["service_line"]
    for dimension, value in party.dimensions.items():
        found[f"dimensions.{dimension}"] = {value: (*here, "dimensions", dimension)}
    return found | _offered(metadata, entity, found["currency"])


def _offered(metadata: Metadata, entity: str, currencies: dict[str, Place]) -> Used:
    """What is sold: billing models, roles, and the currencies of rates."""
    models: dict[str, Place] = {}
    roles: dict[str, Place] = {}
    for at, template in enumerate(metadata.templates):
        if template.entities and entity not in template.entities:
            continue
        for n, model in enumerate(template.billing_models or MODELS):
            named = ("templates", at, *(("billing_models", n) if template.billing_models else ()))
            models.setdefault(model, named)
        for n, task in enumerate(template.tasks):
            if task.role:
                roles.setdefault(task.role, ("templates", at, "tasks", n, "role"))
    for at, card in enumerate(metadata.rate_cards):
        for n, rate in enumerate(card.rates if card.entity in (None, entity) else ()):
            here = ("rate_cards", at, "rates", n)
            roles.setdefault(rate.role, (*here, "role"))
            currencies.setdefault(rate.rate.currency, (*here, "rate", "currency"))
    return {"billing_model": models, "role": roles, "currency": currencies}


def unknown_value(metadata: Metadata, field: str, value: str) -> str | None:
    """Why a code list leads to what no metadata knows; where it knows nothing, all is known."""
    known = set[str]()
    if field in OPEN or field.startswith("dimensions."):
        known = {each for name in metadata.entities for each in used(metadata, name).get(field, ())}
    if field == "template":
        known = {each.code for each in metadata.templates}
    if field == "role":
        known |= {package for each in metadata.templates for package in each.packages}
    if not known or value in known:
        return None
    return (
        f"{value} is no {field.rpartition('.')[2]} of the metadata, only {', '.join(sorted(known))}"
    )


def type_at(contract: Any, field: str) -> Any:
    """The type of a canonical field, None where there is none."""
    kind = contract
    for part in field.split("."):
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            kind = {each.name: each.type for each in msgspec.structs.fields(kind)}.get(part)
        elif get_origin(kind) is dict:
            kind = get_args(kind)[1]
        elif get_origin(kind) is tuple and part.isdigit():
            kind = get_args(kind)[0]
        else:
            return None
        kind = bare(kind)
    return kind
