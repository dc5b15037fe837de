"""The codes of problems that the code can tell, read from its syntax trees.

A code is the first argument of an error class, a `Refusal` or an OAuth error, and the `code` of a
work item or a finding. A part of it that is known only later is a `*`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.architecture.tree import File, Project

CODE = re.compile(r"[a-z][a-z0-9*-]*(\.[a-z*][a-z0-9*-]*)?")
RAISING = {"Refusal", "ExceptionRaised"}
CARRYING = {"WorkItem", "Gap", "Problem"}
FIRST = "ThroughlineError"
NOT_TOLD = ("sandbox", "migrations")
"""Sandboxes speak the languages of vendors."""


def raised(project: Project) -> dict[str, str]:
    """Each code with a place that tells it."""
    files = [file for file in project.code if not {*NOT_TOLD} & {*file.path.parts}]
    errors = {FIRST, *_subclasses(files)}
    constants = {name: told for file in files for name, told in _constants(file)}
    found: dict[str, str] = {}
    for file in files:
        for call in (node for node in ast.walk(file.tree) if isinstance(node, ast.Call)):
            for given in _given(call, errors):
                for code in _codes(given, constants, file):
                    if CODE.fullmatch(code):
                        found.setdefault(code, f"{file}:{call.lineno}")
    return found


def _subclasses(files: list[File]) -> set[str]:
    known, grown = {FIRST}, True
    classes = [
        node for file in files for node in ast.walk(file.tree) if isinstance(node, ast.ClassDef)
    ]
    while grown:
        more = {each.name for each in classes if known & {ast.unparse(b) for b in each.bases}}
        grown, known = bool(more - known), known | more
    return known


def _given(call: ast.Call, errors: set[str]) -> Iterator[ast.expr]:
    """What a call gives as a code."""
    name = ast.unparse(call.func).split(".")[-1]
    first: list[ast.expr] = []
    for each in call.args:
        starred = isinstance(each, ast.Starred) and isinstance(each.value, ast.Tuple)
        first += each.value.elts if starred else [each]  # type: ignore[attr-defined]  # as asked
    named = [each.value for each in call.keywords if each.arg == "code"]
    if name in errors | {"Refusal"}:
        yield from first[:1] or named
    elif name in RAISING | CARRYING:
        yield from named
    elif name == "Finding":  # a pointer, then the code; of the audit the code alone
        yield from first[:2]


def _constants(file: File) -> Iterator[tuple[str, str]]:
    for node in file.tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name | ast.Tuple):
            target = node.targets[0]
            names = target.elts if isinstance(target, ast.Tuple) else [target]
            values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
            for name, value in zip(names, values, strict=False):
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield ast.unparse(name), value.value


def _codes(given: ast.expr, constants: dict[str, str], file: File) -> Iterator[str]:
    if isinstance(given, ast.Constant) and isinstance(given.value, str):
        yield given.value
    elif isinstance(given, ast.JoinedStr):
        parts = [
            str(each.value) if isinstance(each, ast.Constant) else "*" for each in given.values
        ]
        yield "".join(parts)
    elif isinstance(given, ast.IfExp):
        yield from _codes(given.body, constants, file)
        yield from _codes(given.orelse, constants, file)
    elif isinstance(given, ast.Subscript) and isinstance(given.value, ast.Name):
        if given.value.id in constants:
            yield constants[given.value.id]
    elif isinstance(given, ast.Name):
        if given.id in constants:
            yield constants[given.id]
        yield from _assigned(given.id, file)


def _assigned(name: str, file: File) -> Iterator[str]:
    """What a variable of this name is given anywhere in the file: `code = f"deal.{x}-missing"`."""
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Assign) and node.targets:
            target, value = node.targets[0], node.value
            pairs = (
                zip(target.elts, value.elts, strict=False)
                if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
                else [(target, value)]
            )
            for each, told in pairs:
                if (
                    isinstance(each, ast.Name)
                    and each.id == name
                    and not isinstance(told, ast.Name)
                ):
                    yield from _codes(told, {}, file)
