"""Every restricted attribute, to every role, by every way in which a record is told."""

from __future__ import annotations

import types
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from litestar import Response, get
from litestar.response import Response as Plain

from apis.runtime.app import App, make_app
from apis.runtime.clients import Local
from apis.runtime.context import Context
from apis.runtime.lean import LeanResponse
from contracts.canonical.money import Money
from contracts.canonical.visibility import restricted, structs_in, visible_to
from contracts.runs import Overwritten, Plan, PlannedWrite, Run, RunStep, WorkItem
from contracts.schemas import contracts

AT = datetime(2026, 3, 2, tzinfo=UTC)
CANARY = Decimal("76543.21")
CELLS = [
    pytest.param(contract, name, id=f"{contract.__name__}.{name}")
    for contract in structs_in(*contracts().values())
    for name in restricted(contract)
]
ROLES = sorted(
    {role for cell in CELLS for role in restricted(cell.values[0])[cell.values[1]]}  # type: ignore[index]  # as just made
    | {"integration", "finance-master-data"}
)


class Several(msgspec.Struct):
    """A page of records, as lists and exports are."""

    items: tuple[Any, ...]


PLAIN = {
    str: str(CANARY),
    Decimal: CANARY,
    date: AT.date(),
    datetime: AT,
    int: 1,
    bool: True,
    Money: Money(CANARY, "EUR"),
}


def filled(hint: Any) -> Any:
    """A value of a type that can be told from all others."""
    made, parts = get_origin(hint), get_args(hint)
    if made in (Annotated, Union, types.UnionType):
        return filled(parts[0])
    if made is Literal:
        return parts[0]
    if made in (tuple, dict):
        return (filled(parts[0]),) if made is tuple else {}
    if hint in PLAIN:
        return PLAIN[hint]
    return hint(**{name: filled(each) for name, each in hints(hint).items()})


def hints(contract: type[msgspec.Struct]) -> dict[str, Any]:
    return get_type_hints(contract, include_extras=True)


def record(contract: type[msgspec.Struct], name: str) -> Any:
    """A record with what it needs and the attribute in question."""
    wanted = {each.name for each in msgspec.structs.fields(contract) if each.required} | {name}
    blank = {each: filled(hint) for each, hint in hints(contract).items() if each in wanted}
    bare = {each: untold(value) for each, value in blank.items() if each != name}
    return contract(**blank | bare)


def untold(value: Any) -> Any:
    """The same without what the test looks for."""
    told = msgspec.json.encode(value).replace(str(CANARY).encode(), b"1.00")
    return msgspec.json.decode(told, type=type(value))


def ways(contract: type[msgspec.Struct], name: str) -> Iterator[tuple[str, Any, Any]]:
    """How a record reaches people: the way, the type of the answer, the answer."""
    one = record(contract, name)
    bare = msgspec.to_builtins(one)
    step = RunStep(name="a", state="done", overwrote=(overwritten(bare),))
    yield "item", contract, one
    yield "list", list[contract], [one, one]  # type: ignore[valid-type]  # made here
    yield "export", Several, Several((one,))
    yield "headers", LeanResponse[contract], LeanResponse(one, headers={"ETag": '"1"'})  # type: ignore[valid-type]  # made here
    yield "journey", dict[str, Any], {"records": [one]}
    yield "result", Run, Run(id="a", flow="a", state="done", result=bare, kept=(bare,))
    yield "evidence", Run, Run(id="a", flow="a", state="done", steps=(step,))
    write = PlannedWrite(system="erp", operation="create", body={"lines": [bare]})
    yield "dry-run", Plan, Plan(writes=(write,), records=({"object": "a", "value": bare},))


def overwritten(value: Any) -> Overwritten:
    return Overwritten(
        system="erp", object="a", external_id="1", field="f", before=value, after=value
    )


def telling(contract: type[msgspec.Struct], name: str) -> App:
    """An app with a route for each way."""
    routes = [
        get(f"/{way}", operation_id=way)(bound(value, answer))
        for way, answer, value in ways(contract, name)
    ]
    return make_app("Told", version="1.0.0", routes=routes)


def bound(value: Any, answer: Any) -> Any:
    """A handler that answers this."""

    async def tell() -> Any:
        return value

    tell.__annotations__ = {"return": answer}
    return tell


@pytest.mark.parametrize(("contract", "name"), CELLS)
async def test_an_attribute_is_told_to_its_roles_and_to_nobody_else(
    contract: type[msgspec.Struct], name: str
) -> None:
    app, seen_by = Local(telling(contract, name)), restricted(contract)[name]

    for way, *_ in ways(contract, name):
        for role in ROLES:
            asked = Context(actor="kim", client="kim", roles=("staff", role))
            status, _, body = await app("GET", f"/{way}", "", b"", asked)

            assert status == 200, body
            assert (str(CANARY).encode() in body) == (role in seen_by), (way, role, body)


@pytest.mark.parametrize(("contract", "name"), CELLS)
async def test_a_flow_sees_all_whoever_it_acts_for(
    contract: type[msgspec.Struct], name: str
) -> None:
    asked = Context(actor="svc:process for kim", client="svc:process")

    _, _, body = await Local(telling(contract, name))("GET", "/item", "", b"", asked)

    assert str(CANARY).encode() in body


def test_a_restricted_attribute_that_cannot_be_left_out_stops_the_start() -> None:
    class Person(msgspec.Struct):
        salary: Annotated[int, visible_to("finance")]

    with pytest.raises(TypeError, match=r"Person\.salary is restricted and has no default"):
        make_app("Wrong", version="1.0.0", routes=[get("/", operation_id="a")(bound(1, Person))])


def test_an_answer_that_nobody_trims_stops_the_start() -> None:
    answer = bound(Plain(1), Response[WorkItem])

    with pytest.raises(TypeError, match="return a LeanResponse"):
        make_app("Wrong", version="1.0.0", routes=[get("/", operation_id="a")(answer)])


def test_bank_details_cost_rates_and_prices_are_restricted() -> None:
    assert {cell.id for cell in CELLS} >= {
        *("Customer.bank_accounts", "LegalEntity.bank_accounts", "Payment.payer_account"),
        *("Resource.cost_rates", "TimeEntry.bill_rate", "Assignment.bill_rate"),
        *("ContractLine.card_rate", "ContractLine.discount_percent"),
    }
