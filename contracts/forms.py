"""The forms that one value may have, and which of an old schema's is which of a new one's."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from contracts.changes import Document
from contracts.meanings import alike, meaning
from contracts.merging import exact


class Option(NamedTuple):
    """One of the schemas that a value may be of, in one, by what it is called."""

    document: Document
    name: str
    schema: Document
    pointer: str


class Form(NamedTuple):
    """A schema without its detours: may it be null, and what else may it be."""

    nullable: bool
    options: list[Option]
    word: str = "any-of"

    def label(self, option: Option) -> str:
        """What an option is called here: those of one name are told apart by what they say."""
        if sum(each.name == option.name for each in self.options) == 1:
            return option.name
        said = exact(meaning(option.document, option.schema))
        return f"{option.name} {hashlib.sha256(said.encode()).hexdigest()[:6]}"


class Paired(NamedTuple):
    """Which option became which, and those that are there on one side alone."""

    kept: list[tuple[Option, Option]]
    lost: list[Option]
    more: list[Option]


def paired(was: Form, now: Form) -> Paired:
    """Each option with its next form: the same, of the same name, or the one that is left."""
    lost, more = list(was.options), list(now.options)
    if len(lost) == len(more) == 1:
        return Paired([(lost[0], more[0])], [], [])
    found = Paired([], lost, more)
    for one in was.options:
        _pair(found, one, [each for each in more if same(one, each)])
    for one in tuple(lost):
        named = [each for each in more if each.name == one.name]
        _pair(found, one, sorted(named, key=lambda each: shared(one, each), reverse=True))
    if len(lost) == len(more) == 1 and not by_name(lost[0]):
        _pair(found, lost[0], more)
    return found


def _pair(found: Paired, one: Option, others: list[Option]) -> None:
    if others:
        other = others[0]
        found.kept.append((one, other))
        found.lost[:] = [each for each in found.lost if each is not one]
        found.more[:] = [each for each in found.more if each is not other]


def same(one: Option, other: Option) -> bool:
    """Whether both say the same, and are called the same where that counts."""
    if by_name(one) and one.name != other.name:
        return False
    return alike((one.document, one.schema), (other.document, other.schema))


def by_name(option: Option) -> bool:
    """Whether a value says by its name which option it is."""
    return "discriminator" in option.schema


def shared(one: Option, other: Option) -> int:
    """How many members two options have in common."""
    names = (each.schema.get("properties", {}).keys() for each in (one, other))
    return len(next(names) & next(names))
