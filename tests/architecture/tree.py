"""The project's files as the rules see them."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

CODE = {"contracts", "apis", "system_apis", "process_apis", "experience_apis"}


@dataclass(frozen=True)
class File:
    """One file, read when first asked for."""

    root: Path
    path: PurePosixPath

    def __str__(self) -> str:
        return str(self.path)

    @property
    def top(self) -> str:
        """The top-level folder, or the file's own name."""
        return self.path.parts[0]

    @cached_property
    def text(self) -> str:
        """Its words; a file that is no text has none."""
        return (self.root / self.path).read_text(errors="ignore")

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax tree."""
        return ast.parse(self.text)

    def imports(self) -> Iterator[str]:
        """The full name of every module it imports, wherever in the file."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            if isinstance(node, ast.ImportFrom):
                yield "." * node.level + (node.module or "")


class Project:
    """All files under a root that git knows or would add; without git, all files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        if (root / ".git").exists():
            command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
            listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
            names = [name for name in listed.stdout.split("\0") if name]
        else:
            names = [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]
        paths = sorted(PurePosixPath(name) for name in set(names) if (root / name).is_file())
        self.files = [File(root, path) for path in paths]

    @property
    def python(self) -> list[File]:
        """Every Python file, tests included."""
        return [file for file in self.files if file.path.suffix == ".py"]

    @property
    def code(self) -> list[File]:
        """The product's own Python files."""
        return [file for file in self.python if file.top in CODE]

    def under(self, *tops: str) -> list[File]:
        """The Python files of these top-level folders."""
        return [file for file in self.python if file.top in tops]

    def text(self, name: str) -> str:
        """One file's words, empty when it is missing."""
        return next((file.text for file in self.files if str(file.path) == name), "")

    def vendors(self) -> set[str]:
        """The folders of `system_apis`: one a vendor."""
        return {f.path.parts[1] for f in self.files if f.top == "system_apis" and f.path.parts[2:]}


@dataclass(frozen=True)
class Rule:
    """A sentence about the project, what breaks it, and a small tree in which it is broken."""

    sentence: str
    offences: Callable[[Project], Iterator[str]]
    planted: dict[str, str]
