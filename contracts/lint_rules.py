"""The rules for every published OpenAPI document; what is let be stands in `exemptions.yaml`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeGuard

from contracts import lint_fields as fields
from contracts.changes import Document, escaped, sunset_of
from contracts.lint import MUTATIONS, Look, Part, Rule, Told, parts_of
from contracts.schema_changes import kinds_of

SEMANTIC = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?")
KEBAB = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
CAMEL = re.compile(r"[a-z][a-zA-Z0-9]*")
SCOPE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\.[a-z]+")
FAILED = re.compile(r"[45](\d\d|XX)|default")
AUDIENCES = ("internal", "partner")
CLASSES = ("public", "internal", "confidential", "personal")
TOTALS = {"total", "count", "total_count", "total_items", "total_pages"}
NAMED = re.compile(r"\{([^{}]*)\}")
TRACES = {"stack", "stacktrace", "exception", "backtrace", "traceback"}
"""Without underscores."""
PROBLEM = "application/problem+json"
LIMITED = ("RateLimit", "RateLimit-Policy", "Retry-After")
VENDOR_FIELD = re.compile(
    r"__[cr]$|^(custbody|custentity|custrecord|custcol|custitem|nsp_)|^sobject"
)
OPEN_TIERS = frozenset({"process", "experience"})


def spec_valid(look: Look) -> Iterator[Told]:
    """The document is what OpenAPI 3.1 asks for."""
    if not str(look.document.get("openapi", "")).startswith("3.1."):
        yield "/openapi", "an OpenAPI 3.1 document is expected"
    found = look.around.shape(look.document)
    yield from found or parameters_agree(look)


def parameters_agree(look: Look) -> Iterator[Told]:
    """Each parameter is told once, and those of the path are the ones that it names."""
    for operation in look.operations:
        seen: set[tuple[str, str]] = set()
        for index, node in enumerate(operation.told.get("parameters", ())):
            told, _ = look.follow(node, f"{operation.pointer}/parameters/{index}")
            if (one := (told["in"], told["name"])) in seen:
                yield f"{operation.pointer}/parameters/{index}", f"{told['name']} is told twice"
            seen.add(one)
        named = set(NAMED.findall(operation.path))
        given = {each["name"] for each, _ in look.parameters(operation) if each["in"] == "path"}
        for name in sorted(named ^ given):
            missing = "is not told" if name in named else "is not in the path"
            yield operation.pointer, f"the path parameter {name} {missing}"


def operation_ids(look: Look) -> Iterator[Told]:
    """Policy, catalog and clients know an operation by its own name."""
    seen: set[str] = set()
    for operation in look.operations:
        name = operation.told.get("operationId", "")
        if not CAMEL.fullmatch(name):
            yield operation.pointer, f"operationId {name!r} is no name in camelCase"
        elif name in seen:
            yield operation.pointer, f"two operations are called {name}"
        seen.add(name)


def info_complete(look: Look) -> Iterator[Told]:
    """Whose it is, for whom, how secret, and how well it is served."""
    info = look.document.get("info", {})
    if not info.get("x-owner"):
        yield "/info/x-owner", "nobody owns this API"
    if info.get("x-audience") not in AUDIENCES:
        yield "/info/x-audience", f"the audience is one of {', '.join(AUDIENCES)}"
    if info.get("x-data-class") not in CLASSES:
        yield "/info/x-data-class", f"the data class is one of {', '.join(CLASSES)}"
    slo = info.get("x-slo")
    told = slo if isinstance(slo, dict) else {}
    good, soon = told.get("availability"), told.get("latency_ms")
    if not (positive(good) and positive(soon) and good <= 100):  # noqa: PLR2004 - per cent
        yield "/info/x-slo", "availability (per cent) and latency_ms are expected as numbers"


def positive(value: object) -> TypeGuard[float]:
    """Whether this is a number over 0."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def semantic_version(look: Look) -> Iterator[Told]:
    """The version says what a change means, and its major is the one in the address."""
    version = str(look.document.get("info", {}).get("version", ""))
    if not SEMANTIC.fullmatch(version):
        yield "/info/version", f"{version!r} is no semantic version"
    elif version.partition(".")[0] != look.name.rpartition("/v")[2]:
        yield "/info/version", f"{version} is not of the major in its address, {look.name}"


def path_names(look: Look) -> Iterator[Told]:
    """Parts of a path are kebab-case; a collection is a plural noun."""
    posted = {each.path for each in look.operations if each.method == "post"}
    for path in dict.fromkeys(each.path for each in look.operations):
        steps = path.strip("/").split("/")
        for step, after in zip(steps, [*steps[1:], ""], strict=True):
            if step.startswith("{"):
                continue
            collection = after.startswith("{") or (after == "" and path in posted)
            if not KEBAB.fullmatch(step):
                yield f"/paths/{escaped(path)}", f"{step} is not in kebab-case"
            elif collection and not step.endswith("s"):
                yield f"/paths/{escaped(path)}", f"{step} is a collection, not in the plural"


def top_level_object(look: Look) -> Iterator[Told]:
    """What can be an object alone can have another member later."""
    for operation in look.operations:
        for status, schema, _ in look.answers(operation):
            place = f"{operation.pointer}/responses/{status}"
            options = list(look.forms(schema, place))
            whole = look.follow(schema, place)[0]
            null = any(each.get("type") == "null" for each in whole.get("anyOf", ()))
            if null or any(kinds_of(each) != {"object"} for each, _ in options if each):
                yield place, "the answer is not always an object"
        body, at = look.body(operation)
        if body and any(kinds_of(each) != {"object"} for each, _ in look.forms(body, at)):
            yield f"{operation.pointer}/requestBody", "the body is not always an object"


def problem_json(look: Look) -> Iterator[Told]:
    """Every refusal is a problem document (RFC 9457) that shows nothing of our insides."""
    known: set[str] = set()
    for operation in look.operations:
        if not any(FAILED.fullmatch(status) for status in operation.told.get("responses", {})):
            yield f"{operation.pointer}/responses", "no refusal is told"
        for status, told, place in look.responses(operation):
            if not FAILED.fullmatch(status):
                continue
            if set(told.get("content", {})) != {PROBLEM}:
                yield f"{operation.pointer}/responses/{status}", f"{status} is not {PROBLEM} alone"
            schema, at = look.json(told, place)
            for name, shown in members(look, schema, at):
                if name.lower().replace("_", "") in TRACES and shown not in known:
                    known.add(shown)
                    yield shown, f"{name} shows our insides"


def members(look: Look, schema: Document, pointer: str) -> Iterator[Told]:
    """The members of a value at any depth, references followed, and where each stands."""
    waiting, seen = [(schema, pointer)], set()
    while waiting:
        told, place = look.follow(*waiting.pop())
        if place in seen:
            continue
        seen.add(place)
        for part in parts_of(Part(told, place)):
            if part.pointer.endswith(f"/properties/{escaped(part.field)}"):
                yield part.field, part.pointer
            if "$ref" in part.schema:
                waiting.append((part.schema, part.pointer))


def rate_limited(look: Look) -> Iterator[Told]:
    """Who asks too often is told so, and when to come back."""
    for operation in look.operations:
        told = {status: answer for status, answer, _ in look.responses(operation)}
        if "429" not in told:
            yield f"{operation.pointer}/responses", "429 is not told"
            continue
        given = {name.lower() for name in told["429"].get("headers", {})}
        for name in LIMITED:
            if name.lower() not in given:
                yield f"{operation.pointer}/responses/429", f"{name} is not told"


def batch_results(look: Look) -> Iterator[Told]:
    """Who sends many records is told what became of each."""
    for operation in look.operations:
        if operation.method not in MUTATIONS or not batch(look, *look.body(operation)):
            continue
        for status, schema, place in look.answers(operation):
            if status != "207" and not each_told(look, schema, place):
                at = f"{operation.pointer}/responses/{status}"
                yield at, "many records are sent, and no result of each is told"


def cursor_paging(look: Look) -> Iterator[Told]:
    """A list is read in pages: `cursor` asks for the next, and an answer names it."""
    for operation in look.operations:
        if operation.method != "get":
            continue
        for status, schema, place in look.answers(operation):
            if not listed(look, schema, place):
                continue
            names = {told["name"] for told, _ in look.parameters(operation)}
            if "cursor" not in names:
                yield operation.pointer, "a list without the query parameter `cursor`"
            if not schema.get("properties", {}).keys() & {"next", "next_cursor"}:
                yield f"{operation.pointer}/responses/{status}", "a page that names no next one"


def no_total(look: Look) -> Iterator[Told]:
    """A list does not count what nobody asked it to count."""
    for operation in look.operations:
        for _, schema, place in look.answers(operation):
            if operation.method == "get" and listed(look, schema, place):
                for name in sorted(TOTALS & schema.get("properties", {}).keys()):
                    yield f"{place}/properties/{name}", f"a page tells its {name}"


def idempotency_key(look: Look) -> Iterator[Told]:
    """What writes may be sent again after a lost answer."""
    for operation in look.operations:
        if operation.method in MUTATIONS and "idempotency-key" not in taken(
            look, operation.pointer
        ):
            yield operation.pointer, "the header Idempotency-Key is not told"


def if_match(look: Look) -> Iterator[Told]:
    """Who changes a record says which state of it was read."""
    for operation in look.operations:
        changes = operation.method in {"put", "patch", "delete"}
        if changes and "if-match" not in taken(look, operation.pointer):
            yield operation.pointer, "the header If-Match is not told"


def dry_run(look: Look) -> Iterator[Told]:
    """What writes can be tried without writing."""
    for operation in look.operations:
        if operation.method in MUTATIONS and "dry_run" not in taken(look, operation.pointer):
            yield operation.pointer, "the query parameter dry_run is not told"


def taken(look: Look, pointer: str) -> set[str]:
    """The names of what an operation takes; headers in small letters."""
    operation = next(each for each in look.operations if each.pointer == pointer)
    told = (each for each, _ in look.parameters(operation))
    return {each["name"].lower() if each["in"] == "header" else each["name"] for each in told}


def secured(look: Look) -> Iterator[Told]:
    """Every operation asks for a scope that says object and action."""
    schemes = look.document.get("components", {}).get("securitySchemes", {})
    for operation in look.operations:
        asked = operation.told.get("security", look.document.get("security"))
        if not asked or {} in asked:
            yield operation.pointer, "anybody may call this"
        for name, scopes in ((name, it) for one in asked or () for name, it in one.items()):
            if name not in schemes:
                yield f"{operation.pointer}/security", f"there is no security scheme {name}"
            if not scopes:
                yield f"{operation.pointer}/security", f"{name} asks for no scope"
            for scope in scopes:
                if not SCOPE.fullmatch(scope):
                    yield f"{operation.pointer}/security", f"{scope} is not <object>.<action>"


def deprecation_complete(look: Look) -> Iterator[Told]:
    """What is deprecated says until when, what comes instead, and whom to ask."""
    info = look.document.get("info", {})
    told: list[tuple[Document, str]] = [(each.told, each.pointer) for each in look.operations]
    for operation in look.operations:
        told += look.parameters(operation)
    told += [(part.schema, part.pointer) for part in look.parts()]
    if info.get("x-status") == "deprecated":
        told.append(({**info, "deprecated": True}, "/info"))
    for node, pointer in told:
        if not node.get("deprecated"):
            continue
        if sunset_of(node) is None:
            yield pointer, "deprecated without x-sunset"
        if not node.get("x-replacement"):
            yield pointer, "deprecated without x-replacement"
        if not (node.get("x-contact") or info.get("contact")):
            yield pointer, "deprecated, and nobody to ask"


def tier_leak(look: Look) -> Iterator[Told]:
    """What flows and audiences are promised names no vendor: it could not be replaced."""
    if look.tier not in OPEN_TIERS:
        return
    words = re.compile(
        "|".join(sorted(map(re.escape, look.around.vendors))) or "(?!)", re.IGNORECASE
    )
    for pointer, text in texts(look.document, ""):
        if found := words.search(text) or VENDOR_FIELD.search(text):
            yield pointer, f"{found.group()} is a vendor's word"


def texts(node: object, pointer: str) -> Iterator[tuple[str, str]]:
    """Every name and every text in a document, and where it stands."""
    if isinstance(node, dict):
        for name, value in node.items():
            place = f"{pointer}/{escaped(name)}"
            yield place, name
            yield from texts(value, place)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from texts(value, f"{pointer}/{index}")
    elif isinstance(node, str):
        yield pointer, node


def tier_direction(look: Look) -> Iterator[Told]:
    """An audience is not shown what a system answers: the records of contracts/ lie between."""
    if look.tier != "experience":
        return
    for pointer, text in texts(look.document, ""):
        if pointer.endswith("/$ref") and text != "$ref" and not text.startswith("#"):
            yield pointer, f"{text} is not in this document"
    for name, schema in look.document.get("components", {}).get("schemas", {}).items():
        if name in look.around.own and look.around.own[name] == schema:
            yield f"/components/schemas/{escaped(name)}", f"{name} is a schema of a system API"


def listed(look: Look, schema: Document, pointer: str) -> bool:
    """Whether an answer is a list of records: bare, or as the items of a page."""
    told = [told for told, _ in look.forms(schema, pointer)]
    return any(
        kinds_of(each) == {"array"}
        or kinds_of(each.get("properties", {}).get("items", {})) == {"array"}
        for each in told
    )


def batch(look: Look, schema: Document, pointer: str) -> bool:
    """Whether a body is many records: bare, or as the items of an object."""
    if not schema:
        return False
    if kinds_of(schema) == {"array"}:
        return True
    items, place = look.follow(schema.get("properties", {}).get("items"), pointer)
    told, _ = look.follow(items.get("items"), place)
    return kinds_of(items) == {"array"} and kinds_of(told) == {"object"}


def each_told(look: Look, schema: Document, pointer: str) -> bool:
    """Whether an answer has a result of each record: what it is now, or its problem."""
    items = (
        schema if kinds_of(schema) == {"array"} else schema.get("properties", {}).get("items", {})
    )
    told, _ = look.follow(items.get("items"), pointer)
    return bool(told.get("properties", {}).keys() & {"problem", "status"})


RULES = (
    Rule("spec-valid", "make it a valid OpenAPI 3.1 document", spec_valid, first=True),
    Rule("examples-valid", "make the example a value of its schema", fields.examples_valid),
    Rule("operation-id", "give the handler an operation_id of its own in camelCase", operation_ids),
    Rule("info-complete", "say owner, audience, data_class and slo in gateway.yaml", info_complete),
    Rule("semantic-version", "give make_app a version such as 1.4.0", semantic_version),
    Rule("path-names", "name a collection by a plural noun in kebab-case", path_names),
    Rule("field-names", "name the field in snake_case", fields.field_names),
    Rule("top-level-object", "answer an object that holds the list as `items`", top_level_object),
    Rule("standard-times", "type it datetime (`_at`) or date (`_on`)", fields.standard_times),
    Rule("standard-codes", "type it Currency or Country", fields.standard_codes),
    Rule("money-exact", "type it Money", fields.money_exact),
    Rule("number-format", "say int64 or double", fields.number_format),
    Rule("string-bounds", "say maxLength, a pattern or a format", fields.string_bounds),
    Rule("array-bounds", "say maxItems", fields.array_bounds),
    Rule("problem-json", "answer refusals as problem documents, without traces", problem_json),
    Rule("rate-limited", "tell 429 with RateLimit, RateLimit-Policy and Retry-After", rate_limited),
    Rule("batch-results", "answer 207, or an Outcome for each record", batch_results),
    Rule("cursor-paging", "take `cursor` and answer `items` and `next`", cursor_paging),
    Rule("no-total", "leave the count out, or make it a resource of its own", no_total),
    Rule("idempotency-key", "tell the header Idempotency-Key", idempotency_key),
    Rule("if-match", "tell the header If-Match, or how else a lost update is prevented", if_match),
    Rule("dry-run", "take the query parameter dry_run", dry_run),
    Rule("secured", "open the operation by a scope `<object>.<action>` in gateway.yaml", secured),
    Rule("enum-extensible", "say by x-extensible whether more may come", fields.enum_extensible),
    Rule("null-is-absent", "make null the default, or the field required", fields.null_is_absent),
    Rule("tier-leak", "use the firm's word for it", tier_leak),
    Rule("tier-direction", "answer a view of the audience's own", tier_direction),
    Rule("deprecation-complete", "say x-sunset, x-replacement and a contact", deprecation_complete),
)  # fmt: skip
"""The eighteen rules of our governance; those that say several things are several here."""
