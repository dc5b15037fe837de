"""The published OpenAPI 3.1 documents, made from the routes; the gateway is compiled from them.

`python -m apis.runtime.openapi` publishes what `gateway.yaml` mounts and is not published yet, and
refuses to change what is; `--draft` writes it anew, and says what breaks those who hold to what was
released.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple, get_args

import msgspec
from litestar.handlers import HTTPRouteHandler

from apis.gateway.policy import Api, load_gateway
from apis.gateway.scopes import opening
from apis.runtime.app import PROBLEM, App
from apis.runtime.clock import Clock
from apis.runtime.openapi_terms import Terms, limit_headers, marked, retold, with_terms
from contracts.api_changes import api_changes
from contracts.changes import Change
from contracts.errors import Problem, ThroughlineError

PUBLISHED = Path("contracts/published/openapi")
RELEASED = Path("contracts/published/released")
REFS = "#/components/schemas/{name}"
NOISE = {"deprecated": False, "allowEmptyValue": False, "allowReserved": False, "headers": {}}
RESPONSES = "#/components/responses/{name}"
Document = dict[str, Any]


class Told(NamedTuple):
    """A status from 400 on: what it is called here, what it means, which header comes with it."""

    name: str
    meaning: str
    header: str | None = None


ALWAYS = {
    "400": Told("NotReadable", "The request is not valid HTTP or JSON, or its path is not plain."),
    "401": Told("NotKnown", "No access token, or none that is valid.", "WWW-Authenticate"),
    "403": Told("NotAllowed", "The access token, or the person, may not do this."),
    "404": Told("NotFound", "There is nothing here."),
    "409": Told("Changed", "The record is not in the state this needs."),
    "410": Told("Retired", "This version is no longer served.", "Sunset"),
    "414": Told("AddressTooLong", "The path and query are too long."),
    "421": Told("WrongHost", "This host is not served here."),
    "422": Told("NotAccepted", "A value is not accepted, or a rule was not met."),
    "429": Told("TooMany", "The limit of the plan or operation is reached.", "Retry-After"),
    "431": Told("HeadersTooLarge", "The headers are too large."),
    "500": Told("Failed", "A defect, which was logged and will be looked at."),
    "502": Told("SystemRefused", "A system behind this is not set up as it must be."),
    "503": Told("NotNow", "This, or a system behind it, is not available now.", "Retry-After"),
}
OF_BODIES = {
    "413": Told("TooLarge", "The body is too large."),
    "415": Told("NotJson", "The body is not JSON in UTF-8."),
}
"""What only calls with a body meet."""


def document(app: App, tier: str, api: str, major: int, terms: Terms | None = None) -> Document:
    """What an app serves, under its public path; every refusal is a problem document."""
    made: Document = json.loads(msgspec.json.encode(app.litestar.openapi_schema.to_schema()))
    made["servers"] = [{"url": f"/{tier}/{api}/v{major}"}]
    told_of = {each.operation_id: _told(each) for each in _handlers(app)}
    for path, item in made["paths"].items():
        for method, operation in item.items():
            told = {status: r for status, r in operation["responses"].items() if status < "400"}
            operation["responses"] = told | refusals(method)
            said = told_of.get(operation["operationId"], "")
            operation["summary"], operation["description"] = said.partition("\n")[0], said
            if not said:
                msg = f"{method.upper()} {path} has no sentence that says what it is"
                raise ValueError(msg)
    structs = {Problem, *_structs(app)}
    _, contracts = msgspec.json.schema_components(structs, ref_template=REFS)
    components = made.setdefault("components", {})
    components.setdefault("schemas", {}).update(contracts)
    components["responses"] = {told.name: response(told) for told in (ALWAYS | OF_BODIES).values()}
    made = {part: made[part] if part == "components" else _plain(made[part]) for part in made}
    return with_terms(made, terms or Terms())


def refusals(method: str) -> Document:
    """The statuses from 400 on that a call by this method may meet."""
    table = ALWAYS if method == "get" else ALWAYS | OF_BODIES
    return {status: {"$ref": RESPONSES.format(name=told.name)} for status, told in table.items()}


def response(told: Told) -> Document:
    """A problem document (RFC 9457) and the headers that come with it."""
    text = {"schema": {"type": "string"}, "required": True}
    headers = {name: dict(text) for name in ("X-Request-Id", told.header) if name}
    limits = limit_headers() if told.header == "Retry-After" else {}
    return {
        "description": told.meaning,
        "headers": headers | limits,
        "content": {PROBLEM: {"schema": {"$ref": REFS.format(name="Problem")}}},
    }


def publish(
    documents: Mapping[str, Document], folder: Path = PUBLISHED, *, draft: bool = False
) -> list[str]:
    """Write documents by their `<tier>/<api>/v<major>`; ValueError if a published one changes."""
    written = []
    for name, made in documents.items():
        path, text = folder / f"{name}.json", text_of(made)
        if path.exists() and path.read_bytes() == text.encode():
            continue
        if path.exists() and not draft:
            msg = f"{path} is published: make another version of it"
            raise ValueError(msg)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        written.append(name)
    return written


def text_of(made: Document) -> str:
    """A document as it is published: sorted and indented, so that a change reads as one."""
    return json.dumps(made, indent=2, sort_keys=True) + "\n"


def losses(names: Iterable[str], today: date) -> Iterator[Change]:
    """What those who hold to what was released of these documents lose, or may trip over."""
    for name in names:
        old, new = (_read(folder, name) for folder in (RELEASED, PUBLISHED))
        if old is not None and new is not None:
            changes = api_changes(old, new, today=today, name=name)
            yield from (each for each in changes if each.level != "info")


def documents_of(apis: Mapping[str, Api]) -> dict[str, Document]:
    """The documents of everything that is mounted from a package; vendors once, by their name."""
    made = {}
    for mounted, api in apis.items():
        tier, name = mounted.split("/")
        app: App
        if api.vendor:
            name, app = api.vendor, _loaded("system_apis.app:described")(api.vendor)
            about = f"What {api.vendor} is asked for, whoever asks."
        elif api.app:
            app, about = _loaded(api.app)(None), _about(api.app)
        else:
            continue
        plain = document(app, tier, name, api.spoken)
        scopes = scopes_of(tier, name, api, plain)
        for major, version in api.versions.items():
            terms, target = Terms(about, api, version, scopes), document_name(mounted, api, major)
            if major == api.spoken:
                made[target] = document(app, tier, name, major, terms)
            elif (frozen := frozen_of(target)) is not None:
                made[target] = retold(frozen, terms)
    return made


def document_name(mounted: str, api: Api, major: int) -> str:
    """What the document of a version is called: that of a vendor's connection by the vendor."""
    tier, name = mounted.split("/")
    return f"{tier}/{api.vendor or name}/v{major}"


def frozen_of(target: str) -> Document | None:
    """An older major: as it was released, with what is marked as ending since."""
    published, released = (_read(folder, target) for folder in (PUBLISHED, RELEASED))
    return published if released is None else marked(released, published)


def _read(folder: Path, name: str) -> Document | None:
    file = folder / f"{name}.json"
    told: Document | None = json.loads(file.read_bytes()) if file.exists() else None
    return told


def scopes_of(tier: str, name: str, api: Api, made: Document) -> dict[str, str]:
    """The scope that opens each operation; those of a system are named after its vendor."""
    scopes = opening(api, made)
    if tier == "system":
        for item in made["paths"].values():
            for method, operation in item.items():
                action = "read" if method in {"get", "head"} else "write"
                scopes.setdefault(operation["operationId"], f"{name}.{action}")
    return scopes


def _about(app: str) -> str:
    """What the module of an app says it is."""
    module = importlib.import_module(app.partition(":")[0])
    return (module.__doc__ or "").strip().partition("\n")[0]


def _handlers(app: App) -> Iterator[HTTPRouteHandler]:
    for route in app.litestar.routes:
        for handler in getattr(route, "route_handlers", ()):
            if isinstance(handler, HTTPRouteHandler) and handler.operation_id:
                yield handler


def _told(handler: HTTPRouteHandler) -> str:
    return inspect.cleandoc(handler.fn.__doc__ or "")


def _structs(app: App) -> Iterator[type[msgspec.Struct]]:
    """The contracts that go in and out: described as they are published, not by the framework."""
    for handler in _handlers(app):
        signature = handler.parsed_fn_signature
        yield from _inside(signature.return_type.raw)
        if field := signature.parameters.get("data"):
            yield from _inside(field.raw)


def _inside(hint: Any) -> Iterator[type[msgspec.Struct]]:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        yield hint
    for each in get_args(hint):
        yield from _inside(each)


def _plain(value: Any) -> Any:
    """Without members that say nothing; a value may well be of two kinds of a union."""
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if NOISE.get(k, value) != v}
        return {"anyOf" if k == "oneOf" else k: _plain(v) for k, v in kept.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value


def _loaded(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def main() -> None:
    """Publish; say what was written, and what of it breaks callers."""
    try:
        gateway = load_gateway(Path("gateway.yaml").read_text("utf-8"))
        written = publish(documents_of(gateway.own), draft="--draft" in sys.argv)
        found = list(losses(written, Clock().now().date()))
    except (OSError, ValueError, ThroughlineError) as error:
        sys.exit(str(error))
    for name in written:
        sys.stdout.write(f"{name}\n")
    for change in found:
        told = f"{change.level} {change.fingerprint}  {change.document}: {change.says}"
        sys.stderr.write(f"{told}; it was released otherwise\n")


if __name__ == "__main__":
    main()
