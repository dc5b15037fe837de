from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
import pytest

from apis.runtime.typed_yaml import read_yaml
from contracts.errors import Misconfigured


class Part(msgspec.Struct, frozen=True):
    name: str
    price: Decimal = Decimal(1)
    on: date | None = None
    wait_s: Annotated[float, msgspec.Meta(gt=0)] = 1
    open: bool = False
    kind: Literal["a", "b"] | None = None


class File(msgspec.Struct, frozen=True):
    parts: dict[str, Part] = {}
    rows: tuple[Part, ...] = ()
    majors: dict[int, str] = {}
    anything: str | list[dict[str, Any]] | None = None


def mistakes(text: str) -> list[str]:
    with pytest.raises(Misconfigured) as caught:
        read_yaml("f.yaml", text, File)
    return caught.value.detail.splitlines()


@pytest.mark.parametrize("text", ["no", "on", "22:00", "2026-01-31", "0x1F", "010", "1e3", "1_000"])
def test_text_stays_the_text_that_is_written(text: str) -> None:
    file, _ = read_yaml("f.yaml", f"rows: [{{name: {text}}}]", File)

    assert file.rows[0].name == text


def test_numbers_days_and_flags_are_read() -> None:
    text = "rows: [{name: a, price: '1.50', on: 2026-01-31, wait_s: 0.5, open: true, kind: b}]"

    file, lines = read_yaml("f.yaml", text, File)

    assert file.rows == (Part("a", Decimal("1.50"), date(2026, 1, 31), 0.5, open=True, kind="b"),)
    assert lines.told(("rows", 0), "x") == "f.yaml:1: rows.0: x"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rows: [{name: 1.5}]", "rows.0.name: Expected `str`, got `decimal`: write it in quotes"),
        ("rows: [{name: 15}]", "rows.0.name: Expected `str`, got `int`: write it in quotes"),
        ("rows: [{name: true}]", "rows.0.name: Expected `str`, got `bool`: write it in quotes"),
        ("rows: [{name: a, price: 1.50}]", "rows.0.price: write it in quotes, such as"),
        ("rows: [{name: a, price: 1}]", "rows.0.price: write it in quotes, such as"),
        ("rows: [{name: a, price: '1e5'}]", "rows.0.price: `1e5` is no decimal number"),
        ("rows: [{name: a, price: }]", "rows.0.price: Expected `decimal`, got `null`"),
        ("rows: [{name: a, open: no}]", "rows.0.open: Expected `bool`, got `str`: write true or"),
        ("rows: [{name: a, kind: c}]", "rows.0.kind: Invalid enum value 'c', expected a or b"),
        ("rows: [{name: a, wait_s: -1}]", "rows.0.wait_s: Expected `float` > 0"),
        ("rows: [{}]", "rows.0: `name` is missing"),
        ("rows: {a: 1}", "rows: Expected `array`, got `object`"),
        ("parts: {a: }", "parts.a: Expected `object`, got `null`"),
        ("parts: {1: {name: a}}", "parts.1: Expected `str`, got `int`: write it in quotes"),
        ("majors: {one: a}", "majors.one: Expected `int`, got `str`"),
        ("part: {}", "part: there is no such setting, only anything, majors, parts, rows"),
        ("parts: {a: {name: b}, a: {name: c}}", "`a` is there twice"),
        ("parts: {[a]: {name: b}}", "a name is expected"),
        ("- a", "the file: Expected `object`, got `array`"),
        ("", "the file: Expected `object`, got `null`"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(text: str, told: str) -> None:
    (mistake,) = mistakes(text)

    assert mistake.startswith(f"f.yaml:1: {told}")


def test_all_mistakes_are_told_at_once_each_with_its_line() -> None:
    text = "parts:\n  a: {nam: x}\n  b:\n    name: y\n    price: 7\nrows:\n  - name: 1.0\n"

    assert [each.split(": ")[0:2] for each in mistakes(text)] == [
        ["f.yaml:2", "parts.a.nam"],
        ["f.yaml:2", "parts.a"],
        ["f.yaml:5", "parts.b.price"],
        ["f.yaml:7", "rows.0.name"],
    ]


def test_what_is_no_yaml_names_its_line_and_shows_nothing_of_it() -> None:
    (told,) = mistakes("rows:\n  - {name: hunter2\n")

    assert told.startswith("f.yaml:3: did not find expected ',' or '}'")
    assert "hunter2" not in told


def test_two_documents_are_not_one() -> None:
    assert mistakes("rows: []\n---\nrows: []\n") == ["f.yaml:2: but found another document"]
