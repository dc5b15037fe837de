"""What `deploy/` promises: settings and commands that exist, no root, no secret, one generation."""

from __future__ import annotations

import re
import tomllib

import click
import pytest

from apis.cli import main
from apis.runtime.variables import VARIABLES
from tests.deploy.files import (
    CHORES,
    COMPOSE,
    DEPLOY,
    NAMED,
    PROGRAMS,
    commands,
    manifests,
    pods,
    texts,
    units,
)
from tests.servers import ROOT

KNOWN = {each.name for each in VARIABLES}
SECRET = {each.name for each in VARIABLES if each.secret}
IMAGE = (DEPLOY / "Containerfile").read_text()
LITERAL = re.compile(
    r"(?i)(?:password|secret|token|key)\w*\s*[:=]\s*[\"']?(?!file:)[A-Za-z0-9+=]{16,}"
)
DEPLOYMENTS = manifests("Deployment")


def test_every_variable_is_one_that_the_code_reads() -> None:
    named = {(str(path), name) for path, text in texts() for name in NAMED.findall(text)}

    assert {each for each in named if each[1] not in KNOWN} == set()
    assert len(named) > len(KNOWN) // 2


@pytest.mark.parametrize("words", [pytest.param(words, id=place) for place, words in commands()])
def test_every_command_exists_with_its_options(words: list[str]) -> None:
    command: click.Command = main
    while isinstance(command, click.Group):
        name, *words = words
        command = command.commands[name]

    if "--help" not in words:
        command.make_parser(click.Context(command)).parse_args(list(words))


def test_secrets_are_files_and_stand_nowhere() -> None:
    for place, settings in (
        ("compose", PROGRAMS["worker"]["environment"]),
        ("kubernetes", manifests("ConfigMap")["settings"]["data"]),
    ):
        for name in SECRET & settings.keys():
            assert settings[name].startswith("file:/"), f"{place}: {name}"
    found = [(str(path), hit.group()) for path, text in texts() for hit in LITERAL.finditer(text)]
    assert found == []
    assert manifests("Secret") == {}


def test_the_image_runs_as_nobody_in_particular_with_what_the_lock_pins() -> None:
    stages = re.split(r"^FROM ", IMAGE, flags=re.MULTILINE)[1:]
    assert [stage.split()[0] for stage in stages] == [
        "docker.io/library/python:3.11.13-slim-trixie"
    ] * 2
    assert re.search(r"^USER 10001:10001$", stages[-1], re.MULTILINE)
    assert "HEALTHCHECK" in stages[-1]
    installs = [line for line in IMAGE.replace("\\\n", " ").split("&&") if " install " in line]
    for line in installs:
        if "pip" in line:
            assert "--require-hashes -r" in line or "--no-index" in line, line
    assert "latest" not in IMAGE


def test_every_image_and_build_tool_is_pinned() -> None:
    for name, service in COMPOSE["services"].items():
        assert re.search(r":\d+\.\d+(\.\d+)?(-\w+)?$", service["image"]), name
    lock = (DEPLOY / "build.lock").read_text()
    theirs = (ROOT / "requirements-dev.lock").read_text()
    for pinned in re.findall(r"^([\w.-]+==\S+)", lock, re.MULTILINE):
        assert f"\n{pinned} " in theirs, pinned


def test_every_form_starts_the_image_of_this_tree() -> None:
    this = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    tags = {tag for _, text in texts() for tag in re.findall(r"(?<=throughline:)\d[\w.]*", text)}
    tags |= {tag for _, text in texts() for tag in re.findall(r"newTag: (\S+?)\}", text)}
    assert tags == {this}


def test_a_program_of_the_compose_file_may_do_little_and_waits_for_its_stores() -> None:
    assert set(PROGRAMS) == {"gateway", "system", "process", "experience", "worker"}
    for name, service in PROGRAMS.items():
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"]), name
        waits = service["depends_on"]
        assert {waits[each]["condition"] for each in ("postgres", "redis")} == {"service_healthy"}
        assert "healthcheck" in service, name
    assert set(CHORES) == {"backup", "restore"}
    for name, service in CHORES.items():
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"]), name
    assert PROGRAMS["worker"]["deploy"]["replicas"] == 2
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    published = {
        name: each["ports"] for name, each in COMPOSE["services"].items() if "ports" in each
    }
    assert published == {"gateway": ["127.0.0.1:8080:8080"]}


def test_workers_are_replaced_and_everything_else_is_rolled() -> None:
    strategies = {name: each["spec"]["strategy"] for name, each in DEPLOYMENTS.items()}

    assert strategies.pop("worker") == {"type": "Recreate"}
    assert set(strategies) == {"gateway", "system", "process", "experience"}
    for strategy in strategies.values():
        assert strategy["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert set(manifests("PodDisruptionBudget")) == set(strategies) == set(manifests("Service"))


@pytest.mark.parametrize("name", pods())
def test_a_pod_is_restricted(name: str) -> None:
    pod = pods()[name]

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    for container in (*pod["initContainers"], *pod["containers"]):
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_pod_is_given_time_to_leave(name: str) -> None:
    pod = pods()[name]

    drain = float(manifests("ConfigMap")["settings"]["data"]["THROUGHLINE_DRAIN"])
    assert pod["terminationGracePeriodSeconds"] >= drain + 45
    [program] = pod["containers"]
    assert "livenessProbe" in program
    if name != "worker":
        ready = program["readinessProbe"]
        assert ready["httpGet"]["path"] == "/readyz"
        assert drain > ready["periodSeconds"] * ready["failureThreshold"]


def test_nobody_gets_in_but_by_a_rule() -> None:
    policies = manifests("NetworkPolicy")

    nobody = policies["nobody"]["spec"]
    assert (nobody["podSelector"], nobody["policyTypes"]) == ({}, ["Ingress", "Egress"])
    assert "ingress" not in nobody
    assert "egress" not in nobody
    assert {name for name in policies if name.startswith("to-")} == {
        "to-gateway",
        "to-system",
        "to-process",
        "to-experience",
    }


def test_the_cluster_reads_metrics_and_gateways_read_the_keys_of_trusted_issuers() -> None:
    policies = manifests("NetworkPolicy")

    [to_gateway] = policies["to-gateway"]["spec"]["ingress"]
    named = [each["namespaceSelector"]["matchLabels"] for each in to_gateway["from"]]
    assert {"kubernetes.io/metadata.name": "monitoring"} in named
    [keys] = policies["from-gateway"]["spec"]["egress"]
    assert keys["ports"] == [{"port": 443}]
    assert {"port": 4318} in [
        port for rule in policies["from-ours"]["spec"]["egress"] for port in rule.get("ports", ())
    ]


@pytest.mark.parametrize("unit", units())
def test_a_unit_is_hardened_and_drains(unit: str) -> None:
    said = units()[unit]

    assert said["User"] == ["throughline"]
    assert said["ProtectSystem"] == ["strict"]
    assert said["CapabilityBoundingSet"] == [""]
    assert int(said["TimeoutStopSec"][0]) >= 60
    assert said["StateDirectory"] == ["throughline throughline-audit"]
    assert not [path for path in said.get("ReadWritePaths", ()) if path.startswith("-")]


def test_the_audit_is_looked_at_where_its_signed_heads_are() -> None:
    """Elsewhere whatever is verified looks as if its heads had been taken away."""
    page = (ROOT / "docs/running.md").read_text()
    heads = manifests("ConfigMap")["settings"]["data"]["THROUGHLINE_AUDIT_HEADS"]
    named = re.findall(r"exec deploy/(\w+) -- throughline audit", page)

    assert named
    for name in named:
        [container] = DEPLOYMENTS[name]["spec"]["template"]["spec"]["containers"]
        assert heads in {each["mountPath"] for each in container["volumeMounts"]}
