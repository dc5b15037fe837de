"""What `deploy/` says: the compose file, the manifests, the units, as plain values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.servers import ROOT

DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
OURS = {
    name: service
    for name, service in COMPOSE["services"].items()
    if service["image"].startswith("throughline")
}
PROGRAMS = {name: service for name, service in OURS.items() if "profiles" not in service}
CHORES = {name: service for name, service in OURS.items() if "profiles" in service}
NIGHTLY = DEPLOY / "nightly"
NAMED = re.compile(r"\b(?:THROUGHLINE_[A-Z_]*[A-Z]|OTEL_[A-Z_]*[A-Z])\b")


def texts() -> Iterator[tuple[Path, str]]:
    """Every file of the folder that git knows or would add."""
    for path in sorted(DEPLOY.rglob("*")):
        if path.is_file() and not {"secrets", "config"} & set(path.relative_to(DEPLOY).parts):
            yield path.relative_to(ROOT), path.read_text("utf-8")


def manifests(kind: str) -> dict[str, Any]:
    """The Kubernetes objects of a kind, by name."""
    found = {}
    for path in sorted((DEPLOY / "kubernetes").rglob("*.yaml")):
        for each in yaml.safe_load_all(path.read_text("utf-8")):
            if each.get("kind") == kind:
                found[each["metadata"]["name"]] = each
    return found


def pods() -> dict[str, Any]:
    """What each Deployment, CronJob and Job starts."""
    found = {name: each["spec"]["template"] for name, each in manifests("Deployment").items()}
    for name, each in manifests("CronJob").items():
        found[name] = each["spec"]["jobTemplate"]["spec"]["template"]
    found |= {name: each["spec"]["template"] for name, each in manifests("Job").items()}
    return {name: template["spec"] for name, template in found.items()}


def units() -> dict[str, dict[str, list[str]]]:
    """The services of systemd: each setting with its values."""
    found: dict[str, dict[str, list[str]]] = {}
    for path in sorted((DEPLOY / "systemd").glob("*.service")):
        settings: dict[str, list[str]] = {}
        for line in path.read_text("utf-8").splitlines():
            name, equals, value = line.partition("=")
            if equals and not line.startswith("#"):
                settings.setdefault(name, []).append(value)
        found[path.name] = settings
    return found


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every command of ours that is started, and where it stands."""
    for name, service in OURS.items():
        words = [*service.get("entrypoint", ["throughline"]), *service["command"]]
        if words[0] == "throughline":
            yield f"compose {name}", words[1:]
    for name, pod in pods().items():
        if "args" in pod["containers"][0]:
            yield f"kubernetes {name}", pod["containers"][0]["args"]
    for name, unit in units().items():
        program, *words = unit["ExecStart"][0].split()
        if program.endswith("/bin/throughline"):
            yield name, words
