"""`docs/configuration.md`: every variable and every member of the two files, from the code.

    python -m apis.console.reference [--write]

prints it, or writes it; a test compares the two.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect as types

from apis.gateway import policy
from apis.runtime.metadata import Metadata
from apis.runtime.variables import VARIABLES

PAGE = Path("docs/configuration.md")
HEAD = """\
# Configuration

Made from the code by `python -m apis.console.reference --write`; edit the code, not this page.

What a process is told comes from its environment, once, at its start. What is true of the firm
stands in two files: `gateway.yaml` (policy: who may call what) and `entities.yaml` (metadata:
entities, connections, mappings). `throughline check` reads all of it, with the keys and secrets
it names, as a start does; it starts and writes nothing, and says what a start would refuse.
`throughline check --production` also says what is [unsafe](running.md#what-a-check-asks-for).
"""


def page() -> str:
    """The whole reference."""
    parts = [HEAD, *variables()]
    titles: dict[Any, str] = {}
    for name, top in (("gateway.yaml", policy._File), ("entities.yaml", Metadata)):  # noqa: SLF001 - the file as it is read
        found = list(reached(top))
        for struct in found:
            title = struct.__name__.lstrip("_")
            taken = title in titles.values()
            titles.setdefault(struct, f"{title} of {name}" if taken else title)
        titles[top] = name
        parts += [f"\n## {name}\n", *structs(found, titles)]
    return "\n".join(parts).rstrip() + "\n"


def variables() -> Iterator[str]:
    """The table of the environment."""
    yield "## Environment\n"
    yield "A *secret* may also be `file:/path` of a file that nobody else can read (mode 600).\n"
    yield "| Variable | Default | Meaning |"
    yield "| --- | --- | --- |"
    for each in VARIABLES:
        secret = " (*secret*)" if each.secret else ""
        yield f"| `{each.name}`{secret} | {each.default} | {each.meaning} |"


def reached(top: Any) -> Iterator[Any]:
    """A file's struct, then every struct that it is made of, once each."""
    waiting, seen = [top], {top}
    while waiting:
        struct = waiting.pop(0)
        yield struct
        for field in fields_of(struct):
            for inner in inside(field.type):
                if inner not in seen:
                    seen.add(inner)
                    waiting.append(inner)


def fields_of(struct: Any) -> list[types.Field]:
    """The members that a person writes."""
    told: Any = types.type_info(struct)
    return list(told.fields)


def structs(found: list[Any], titles: Mapping[Any, str]) -> Iterator[str]:
    """A table for each struct of a file."""
    for struct in found:
        if struct is not found[0]:
            yield f"### {titles[struct]}\n"
        if told := inspect.cleandoc(struct.__doc__ or ""):
            yield told + "\n"
        yield "| Member | Type | Default | Meaning |"
        yield "| --- | --- | --- | --- |"
        notes = notes_of(struct)
        for field in fields_of(struct):
            cells = (
                f"`{field.encode_name}`",
                spelled(field.type, titles),
                default_of(field),
                notes.get(field.name, "").replace("|", "\\|"),
            )
            yield f"| {' | '.join(cells)} |"
        yield ""


def notes_of(struct: Any) -> dict[str, str]:
    """The words below a member, of the struct and of those it extends."""
    notes: dict[str, str] = {}
    for kind in reversed(struct.__mro__):
        if not issubclass(kind, msgspec.Struct) or kind is msgspec.Struct:
            continue
        tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
        body = tree.body[0].body  # type: ignore[attr-defined] # of a class
        for before, after in pairwise(body):
            if isinstance(before, ast.AnnAssign) and isinstance(after, ast.Expr):
                text = ast.literal_eval(after.value)
                notes[ast.unparse(before.target)] = " ".join(text.split())
    return notes


def default_of(field: types.Field) -> str:
    """A member's default as YAML would say it."""
    if field.required:
        return "required"
    value = field.default
    if value is msgspec.NODEFAULT:
        value = field.default_factory() if field.default_factory is not msgspec.NODEFAULT else None
    if isinstance(value, msgspec.Struct):
        return "its defaults"
    if isinstance(value, dict) and value:
        return ", ".join(f"`{key}`: its defaults" for key in value)
    plain = msgspec.to_builtins(value)
    return "none" if plain in (None, [], {}, "") else f"`{msgspec.json.encode(plain).decode()}`"


def spelled(kind: Any, titles: Mapping[Any, str]) -> str:
    """A type in the words of a file."""

    def of(inner: Any) -> str:
        return spelled(inner, titles)

    match kind:
        case types.StructType():
            title = titles[kind.cls]
            told = f"[{title}](#{title.lower().replace(' ', '-').replace('.', '')})"
        case types.DictType():
            told = f"map of {of(kind.key_type)} to {of(kind.value_type)}"
        case types.ListType() | types.VarTupleType() | types.FrozenSetType() | types.SetType():
            told = f"list of {of(kind.item_type)}"
        case types.TupleType():
            told = " and ".join(of(each) for each in kind.item_types)
        case types.UnionType():
            some = [each for each in kind.types if not isinstance(each, types.NoneType)]
            told = " or ".join(of(each) for each in some)
        case types.LiteralType():
            told = ", ".join(f"`{value}`" for value in kind.values)
        case types.StrType() if kind.pattern:
            told = f"text `{kind.pattern}`".replace("|", "\\|")
        case types.Metadata():
            told = of(kind.type)
        case _:
            name = type(kind).__name__
            told = WORDS.get(name, name.removesuffix("Type").lower())
    return told


WORDS = {
    "StrType": "text",
    "IntType": "whole number",
    "FloatType": "number",
    "DecimalType": "number in quotes",
    "BoolType": "`true` or `false`",
    "DateType": "date",
    "DateTimeType": "moment",
    "AnyType": "anything",
    "CustomType": "text",
}


def inside(kind: Any) -> Iterator[Any]:
    """The structs that a type is made of."""
    if isinstance(kind, types.StructType):
        yield kind.cls
        return
    for name in ("key_type", "value_type", "item_type", "type"):
        if (inner := getattr(kind, name, None)) is not None:
            yield from inside(inner)
    for name in ("types", "item_types"):
        for inner in getattr(kind, name, ()):
            yield from inside(inner)


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(page(), "utf-8")
    else:
        sys.stdout.write(page())
