"""Rules about files and folders: what exists, where, how long, and what the documents name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.architecture.tree import CODE, Project, Rule

TOP = CODE | {
    *(".ci", ".editorconfig", ".gitattributes", ".github", ".gitignore"),
    *("CHANGELOG.md", "LICENSE", "Makefile", "README.md", "docs", "gateway.yaml"),
    *("alembic.ini", "pyproject.toml", "requirements.lock", "requirements-dev.lock", "tests"),
    *("deploy", ".containerignore"),
}
NOT_HERE = {"utils", "util", "common", "helpers", "base", "core", "services", "managers", "models"}
VENDOR = {"vendor.py", "mapping.py", "adapter.py", "README.md"}
LINES = 400
FUNCTION_LINES = 60
TARGETS = ("run", "test", "check", "crash", "bench", "fidelity", "lock", "clean")
COMMANDS = ("up", "serve gateway", "worker", "sandbox", "check", "journey", "work", "demo")
TARGET = re.compile(r"^([a-z]+):", re.MULTILINE)
MENTION = re.compile(r"`make ([a-z]+)|^make ([a-z]+)", re.MULTILINE)
SETTING = re.compile(r"\b(?:THROUGHLINE_[A-Z_]*[A-Z]|PORT|SANDBOX_PORT)\b")
LINK = re.compile(r"\]\(([^)#:\s]+)[^):]*\)")
MACHINE = re.compile(r"(?<![\w.*}-])/(?:root|work|home|Users)/\w|(?<!\w)[A-Z]:\\\\?Users")


def agreed_names(project: Project) -> Iterator[str]:
    for name in sorted({file.top for file in project.files} - TOP):
        yield f"{name}: not one of the agreed top-level names"


def no_rag_bags(project: Project) -> Iterator[str]:
    for file in project.files:
        if bad := NOT_HERE & {*file.path.parts[:-1], file.path.stem}:
            yield f"{file}: {bad.pop()} says nothing about what is inside"


def vendor_folders(project: Project) -> Iterator[str]:
    for vendor in sorted(project.vendors()):
        folder = f"system_apis/{vendor}/"
        inside = {str(f)[len(folder) :] for f in project.files if str(f).startswith(folder)}
        missing = VENDOR - inside
        if "sandbox.py" not in inside and not any(name.startswith("sandbox/") for name in inside):
            missing = missing | {"sandbox.py or sandbox/"}
        if missing:
            yield f"{folder}: lacks {', '.join(sorted(missing))}"


def vendor_readmes(project: Project) -> Iterator[str]:
    for vendor in sorted(project.vendors()):
        text = project.text(f"system_apis/{vendor}/README.md")
        if not re.search(r"https://", text) or not re.search(r"\b20\d\d-\d\d-\d\d\b", text):
            yield f"system_apis/{vendor}/README.md: no fact with its link and date"


def short_files(project: Project) -> Iterator[str]:
    for file in project.python:
        if (lines := len(file.text.splitlines())) > LINES:
            yield f"{file}: {lines} lines, at most {LINES}"


def short_functions(project: Project) -> Iterator[str]:
    for file in project.code:
        for node in ast.walk(file.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    yield f"{file}:{node.lineno}: {node.name} has {lines} lines"


def empty_packages(project: Project) -> Iterator[str]:
    for file in project.python:
        if file.path.name == "__init__.py" and file.text.strip():
            yield f"{file}: not empty"


def make_targets(project: Project) -> Iterator[str]:
    known = set(TARGET.findall(project.text("Makefile")))
    yield from (f"Makefile: no target {name}" for name in TARGETS if name not in known)
    for name in ("README.md", ".github/CONTRIBUTING.md"):
        for pair in MENTION.findall(project.text(name)):
            if (target := pair[0] or pair[1]) not in known:
                yield f"{name}: make {target} does not exist"


def readme_commands(project: Project) -> Iterator[str]:
    text = project.text("README.md")
    wanted = [f"throughline {name}" for name in COMMANDS] + ["make run", "make test"]
    yield from (f"README.md: {name} is not named" for name in wanted if name not in text)


def explained_settings(project: Project) -> Iterator[str]:
    text = project.text("docs/configuration.md")
    for file in project.code:
        for name in sorted(set(SETTING.findall(file.text))):
            if f"`{name}`" not in text:
                yield f"{file}: {name} is not in apis/runtime/variables.py"


def links_lead_somewhere(project: Project) -> Iterator[str]:
    for file in project.files:
        if file.path.suffix == ".md":
            for target in LINK.findall(file.text):
                if not (project.root / file.path.parent / target).exists():
                    yield f"{file}: {target} does not exist"


def decisions(project: Project) -> Iterator[str]:
    seen: set[str] = set()
    for file in project.files:
        if str(file.path.parent) != "docs/decisions":
            continue
        number = file.path.name[:4]
        if not number.isdigit() or number in seen:
            yield f"{file}: needs a number of its own"
        seen.add(number)
        for heading in ("## Context", "## Decision", "## Consequence"):
            if heading not in file.text:
                yield f"{file}: no {heading}"


def locked(project: Project) -> Iterator[str]:
    for file in project.files:
        if file.path.suffix != ".lock":
            continue
        for part in re.split(r"\n(?=\S)", file.text):
            if re.match(r"[\w.\[\]-]+==", part) and "--hash=sha256:" not in part:
                yield f"{file}: {part.split()[0]} has no hash"
            if re.match(r"--|.*://|[\w.\[\]-]+(?!==)\s*(@|>=|$)", part):
                yield f"{file}: {part.split()[0]} is not a pinned release of a package"


def no_machine_paths(project: Project) -> Iterator[str]:
    for file in project.files:
        if found := MACHINE.search(file.text):
            yield f"{file}: {found.group()} is a path of somebody's machine"


RULES = [
    Rule("the top level holds only what was agreed", agreed_names, {"stuff/x.py": ""}),
    Rule("no folder or file is a rag-bag", no_rag_bags, {"apis/utils/x.py": ""}),
    Rule("a vendor folder is complete", vendor_folders, {"system_apis/acme/vendor.py": ""}),
    Rule(
        "a vendor README states facts with link and date",
        vendor_readmes,
        {"system_apis/acme/README.md": "Acme has limits."},
    ),
    Rule("a file has at most 400 lines", short_files, {"apis/x.py": "x = 1\n" * 401}),
    Rule(
        "a function has at most 60 lines",
        short_functions,
        {"apis/x.py": "def f():\n" + "    x = 1\n" * 60},
    ),
    Rule("__init__.py is empty", empty_packages, {"apis/__init__.py": "import os\n"}),
    Rule(
        "the documents name targets that exist",
        make_targets,
        {"Makefile": "".join(f"{t}:\n" for t in TARGETS), "README.md": "`make coffee`"},
    ),
    Rule("the README names the commands", readme_commands, {"README.md": "`make run`"}),
    Rule(
        "the configuration reference explains every setting",
        explained_settings,
        {"docs/configuration.md": "`PORT`", "apis/x.py": 'env["THROUGHLINE_HOME"]'},
    ),
    Rule("links in documents lead somewhere", links_lead_somewhere, {"README.md": "[a](b.md)"}),
    Rule(
        "a decision has a number, context, decision and consequence",
        decisions,
        {"docs/decisions/0001-x.md": "## Context\n## Decision\n"},
    ),
    Rule("the locks pin releases with hashes", locked, {"requirements.lock": "httpx==0.28.1\n"}),
    Rule("no file names a machine's path", no_machine_paths, {"README.md": "/ho" + "me/ann/x"}),
]
