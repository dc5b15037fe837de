"""What the framework found wrong with a request, in our words: pointers, codes, sentences.

Litestar and msgspec name handler arguments and Python types; a caller knows neither.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_args

from litestar.exceptions import ValidationException
from litestar.params import ParameterKwarg

from contracts.canonical.money import Currency
from contracts.canonical.party import Country
from contracts.errors import FieldError
from contracts.runs import Person

Told = Mapping[str, Any]
Parameters = Mapping[str, Any]
"""The arguments of a handler, by name."""

MOST = 200
RULES = (
    (r"Object missing required field `(?P<field>.*?)`?", "missing", "is missing"),
    (r"Object contains unknown field `(?P<field>.*?)`?", "unknown-field", "is not known here"),
    (r"Invalid enum value (?P<value>.*)", "unknown-value", "cannot be {value}"),
    (
        r"Expected `(?P<want>[^`]*)`, got `(?P<got>[^`]*)`",
        "wrong-type",
        "must be {want}, not {got}",
    ),
    (r"Expected `str` matching regex '(?P<form>.*)'", "wrong-form", "must be {form}"),
    (r"Expected `(?P<want>[^`]*)` (?P<rule>.*)", "out-of-range", "must be {want} {rule}"),
    (r"Invalid (?P<form>.*)", "wrong-form", "must be {form}"),
)
FORMS = (Person, Currency, Country)
"""Texts of a form: what a person reads in place of its pattern."""
WORDS = {
    repr(meta.pattern)[1:-1]: f"{meta.description} such as {meta.examples[0]}"
    for meta in (get_args(form)[1] for form in FORMS)
} | {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "decimal": "a decimal number",
    "bool": "true or false",
    "object": "an object",
    "array": "a list",
    "datetime": "a moment such as 2026-01-31T09:00:00Z",
    "date": "a day such as 2026-01-31",
    "RFC3339 encoded datetime": "a moment such as 2026-01-31T09:00:00Z",
    "RFC3339 encoded date": "a day such as 2026-01-31",
    "decimal string": "a decimal number",
}
_RULES = [(re.compile(rule, re.DOTALL), code, sentence) for rule, code, sentence in RULES]
_MISSING = re.compile(r"Missing required \w+ parameter '(.*)' for path ", re.DOTALL)
_IN_BODY = re.compile(r"(?P<told>.*) - at `(?:key` in `)?\$\.data(?P<path>[^`]*)`", re.DOTALL)
_STEPS = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")


def field_errors(error: ValidationException, parameters: Parameters) -> tuple[FieldError, ...]:
    """Every field and parameter the framework refused; one for the body when it names none."""
    if missing := _MISSING.match(error.detail):
        name = missing[1]
        told = f"the parameter {name} is missing"
        return (FieldError(pointer="", parameter=name, code="missing", message=told),)
    extra = error.extra if isinstance(error.extra, list) else []
    found = [each for each in extra if isinstance(each, Mapping)]
    if not found:
        return (FieldError(pointer="", code="invalid", message="the request cannot be read"),)
    return tuple(_refused(each, error.__cause__, parameters) for each in found)


def pointer(*parts: str) -> str:
    """A JSON Pointer (RFC 6901) of these steps."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def _refused(told: Told, cause: BaseException | None, parameters: Parameters) -> FieldError:
    key, message = str(told.get("key", "")), str(told.get("message", ""))
    if told.get("source") != "body":
        name = _public(key, parameters)
        _, code, sentence = said(message)
        return FieldError(pointer="", parameter=name, code=code, message=f"{name} {sentence}")
    path = "" if key == "data" else key
    if whole := _IN_BODY.fullmatch(str(cause)):  # the framework cuts what holds a dash
        message, path = whole["told"], whole["path"]
    known, entry, _ = path.partition("[...]")  # the name of an entry is not told
    parts = [name or number for name, number in _STEPS.findall(known)]
    field, code, sentence = said(message)
    subject = parts[-1] if parts else "the body"
    if field is not None and len(field) <= MOST:
        parts, subject = [*parts, field], field
    elif field is not None:
        subject = f"a name of over {MOST} letters"
    elif entry:
        subject = f"an entry of {subject}"
    return FieldError(pointer=pointer(*parts), code=code, message=f"{subject} {sentence}")


def said(message: str) -> tuple[str | None, str, str]:
    """The member a message is about, if it names one, with its code and its sentence."""
    for rule, code, sentence in _RULES:
        if found := rule.fullmatch(message):
            parts = found.groupdict()
            words = {name: _worded(text)[:MOST] for name, text in parts.items()}
            return parts.get("field"), code, sentence.format(**words)
    return None, "invalid", "is not accepted"


def _worded(text: str) -> str:
    return " or ".join(WORDS.get(each, each) for each in text.split(" | "))


def _public(name: str, parameters: Parameters) -> str:
    """What a parameter is called outside: `in_state` may be `state`."""
    given = parameters.get(name)
    described = getattr(given, "kwarg_definition", None)
    return (isinstance(described, ParameterKwarg) and described.name) or name
