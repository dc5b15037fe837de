"""Rules about what the code says: imports, calls and names, read from the syntax tree."""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator

from tests.architecture.tree import File, Project, Rule

UNSAFE_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal"}
UNSAFE_ARGUMENTS = {("verify", False), ("shell", True)}
REAL_TIME = {"datetime.now", "datetime.utcnow", "date.today", "time.time", "asyncio.sleep"}
MAY_ASK_REAL_TIME = {
    "apis/runtime/clock.py": "it is the clock",
    "apis/runtime/clients.py": "the deadline of a call in flight is real",
    "apis/runtime/tokens.py": "an internal token lives as long as a call in flight",
    "apis/gateway/uses.py": "what waits is written in real time",
    "apis/gateway/fields.py": "as above",
    "apis/runtime/caller.py": "the deadline of a call in flight is real",
    "apis/runtime/leases.py": "leases hold against real processes",
    "apis/runtime/metrics.py": "the lag of the event loop is real",
    "apis/gateway/decisions.py": "what was decided is written as real calls come",
    "apis/runtime/limits.py": "Redis keeps the time of limits",
    "apis/runtime/permits.py": "Redis keeps the time of permits",
    "apis/runtime/rounds.py": "leaders look at the database as it is",
    "apis/runtime/sandbox.py": "serves the clock, and is slow on request",
    "apis/runtime/sandbox_files.py": "TLS clients know no simulated clock",
    "apis/runtime/watching.py": "files change and other processes revoke in real time",
}
VENDOR_TABLES = {"vendor.py", "mapping.py", "adapter.py", "feed.py"}
MAPS_AND_ERRORS = {"vendor.py", "mapping.py"}
MOST_OF_A_VENDOR = 600
SILENT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
NOT_IN_VENDORS = {"litestar", "sqlalchemy", "dbos", "redis", "structlog", "process_apis"}
NOT_IN_FLOWS = {"litestar", "httpx", "dbos"}
CLASS_NAME = re.compile(r"^(Abstract|Base)[A-Z]|^I[A-Z][a-z]|(Impl|Manager|Helper|Service)$")
FUNCTION_NAME = re.compile(r"^_?(do|handle|process)_")
BARE_IGNORE = re.compile(r"#\s*type:\s*ignore(?!\[[\w, -]+\]\s*#\s*\w)")


def contracts_stand_alone(project: Project) -> Iterator[str]:
    allowed = sys.stdlib_module_names | {"msgspec", "contracts", "__future__"}
    for file in project.under("contracts"):
        for name in file.imports():
            if name.split(".")[0] not in allowed:
                yield f"{file}: imports {name}"


def flows_only_decide(project: Project) -> Iterator[str]:
    for file in project.under("process_apis"):
        if any(is_flow(node) for node in ast.walk(file.tree)):
            for name in file.imports():
                if name.split(".")[0] in NOT_IN_FLOWS:
                    yield f"{file}: imports {name}"


def is_flow(node: ast.AST) -> bool:
    """Whether this function is decorated with `flow` or `flow(...)`."""
    if not isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef):
        return False
    marks = [mark.func if isinstance(mark, ast.Call) else mark for mark in node.decorator_list]
    return any(ast.unparse(mark).split(".")[-1] == "flow" for mark in marks)


def vendors_stand_apart(project: Project) -> Iterator[str]:
    vendors = project.vendors()
    for file in project.under("system_apis"):
        own = file.path.parts[1]
        for name in file.imports() if own in vendors else ():
            parts = name.split(".")
            other = parts[1] if parts[0] == "system_apis" and len(parts) > 1 else own
            if other in vendors - {own} or name.startswith(".."):
                yield f"{file}: imports {name}"


def vendors_stay_thin(project: Project) -> Iterator[str]:
    for file in project.under("system_apis"):
        if len(file.path.parts) > 2 and file.path.name in VENDOR_TABLES:
            for name in file.imports():
                if name.split(".")[0] in NOT_IN_VENDORS:
                    yield f"{file}: imports {name}"


def vendors_stay_small(project: Project) -> Iterator[str]:
    for vendor in sorted(project.vendors()):
        own = [
            file
            for file in project.under("system_apis")
            if file.path.parts[1] == vendor
            and "sandbox" not in file.path.parts
            and file.path.name not in MAPS_AND_ERRORS
        ]
        if (lines := sum(map(lines_of_code, own))) > MOST_OF_A_VENDOR:
            yield f"system_apis/{vendor}: {lines} lines of code, at most {MOST_OF_A_VENDOR}"


def lines_of_code(file: File) -> int:
    """Its lines but for blank ones, comments and docstrings."""
    words = [
        node.value
        for node in ast.walk(file.tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    ]
    said = {line for each in words for line in range(each.lineno, (each.end_lineno or 0) + 1)}
    tokens = tokenize.generate_tokens(io.StringIO(file.text).readline)
    code = (token for token in tokens if token.type not in SILENT and token.string.strip())
    return len({n for each in code for n in range(each.start[0], each.end[0] + 1)} - said)


def no_pickle(project: Project) -> Iterator[str]:
    for file in project.code:  # a test may show that a value refuses to be pickled
        for name in file.imports():
            if name.split(".")[0] in UNSAFE_MODULES:
                yield f"{file}: imports {name}"


def no_unsafe_calls(project: Project) -> Iterator[str]:
    for file in project.python:
        for call in calls(file):
            for keyword in call.keywords:
                value = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
                if isinstance(value, bool) and (keyword.arg, value) in UNSAFE_ARGUMENTS:
                    yield f"{file}:{call.lineno}: {keyword.arg}={value}"


def one_clock(project: Project) -> Iterator[str]:
    for file in project.code:
        if str(file) in MAY_ASK_REAL_TIME:
            continue
        for node in ast.walk(file.tree):
            if isinstance(node, ast.Attribute):
                name = ".".join(ast.unparse(node).split(".")[-2:])
                if name in REAL_TIME:
                    yield f"{file}:{node.lineno}: {name}; ask the Clock"
            if isinstance(node, ast.ImportFrom) and node.module in {"time", "asyncio"}:
                for alias in node.names:
                    if f"{node.module}.{alias.name}" in REAL_TIME:
                        yield f"{file}:{node.lineno}: imports {alias.name} from {node.module}"


def calls(file: File) -> Iterator[ast.Call]:
    """Every call in a file."""
    return (node for node in ast.walk(file.tree) if isinstance(node, ast.Call))


def plain_names(project: Project) -> Iterator[str]:
    for file in project.code:
        for node in ast.walk(file.tree):
            if isinstance(node, ast.ClassDef):
                bad, name = CLASS_NAME, node.name
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                bad, name = FUNCTION_NAME, node.name
            else:
                continue
            if bad.search(name):
                yield f"{file}:{node.lineno}: {name}"


def explained_ignores(project: Project) -> Iterator[str]:
    for file in project.python:
        for number, line in enumerate(file.text.splitlines(), 1):
            if BARE_IGNORE.search(line):
                yield f"{file}:{number}: name the code, then the reason after a second #"


def no_mocks(project: Project) -> Iterator[str]:
    for file in project.under("tests"):
        for name in file.imports():
            if name.startswith(("unittest.mock", "mock")):
                yield f"{file}: imports {name}"
        for call in calls(file):
            dotted = call.args and isinstance(call.args[0], ast.Constant)
            if dotted and ast.unparse(call.func) == "monkeypatch.setattr":
                yield f"{file}:{call.lineno}: patches a dotted path"


def no_floats_in_contracts(project: Project) -> Iterator[str]:
    for file in project.under("contracts"):
        for node in ast.walk(file.tree) if "canonical" in file.path.parts else ():
            if isinstance(node, ast.AnnAssign) and re.search(r"\bfloat\b", ast.unparse(node)):
                yield f"{file}:{node.lineno}: a float; amounts and quantities are Decimal"


RULES = [
    Rule(
        "contracts import msgspec and the standard library",
        contracts_stand_alone,
        {"contracts/x.py": "from litestar import get\n"},
    ),
    Rule(
        "a flow only decides",
        flows_only_decide,
        {"process_apis/x.py": "import litestar\n@flow\nasync def f(source): ...\n"},
    ),
    Rule(
        "vendors do not import each other",
        vendors_stand_apart,
        {
            "system_apis/acme/adapter.py": "from system_apis.zenith.mapping import DEAL\n",
            "system_apis/zenith/mapping.py": "",
        },
    ),
    Rule(
        "an adapter knows no database, web framework or log",
        vendors_stay_thin,
        {"system_apis/acme/adapter.py": "import structlog\n"},
    ),
    Rule(
        "a vendor without its sandbox and tables has at most 600 lines of code",
        vendors_stay_small,
        {"system_apis/acme/vendor.py": "", "system_apis/acme/adapter.py": "x = 1\n" * 601},
    ),
    Rule("nothing is pickled", no_pickle, {"apis/x.py": "def f():\n    import pickle\n"}),
    Rule(
        "no call switches a safeguard off", no_unsafe_calls, {"tests/x.py": "get(verify=False)\n"}
    ),
    Rule(
        "only the clock asks the time or waits",
        one_clock,
        {"apis/x.py": "import datetime\nnow = datetime.datetime.now()\n"},
    ),
    Rule("names say what a thing is", plain_names, {"apis/x.py": "class DealManager: ...\n"}),
    Rule(
        "every type: ignore names its code and reason",
        explained_ignores,
        {"apis/x.py": "x = 1  # type: ig" + "nore[assignment]\n"},
    ),
    Rule("tests mock nothing", no_mocks, {"tests/test_x.py": "from unittest.mock import Mock\n"}),
    Rule(
        "canonical records hold no float",
        no_floats_in_contracts,
        {"contracts/canonical/x.py": "class A:\n    amount: float | None\n"},
    ),
]
