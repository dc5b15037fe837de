"""Each secret is made for whoever reads it, and reaches nobody else."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.files import COMPOSE, DEPLOY, manifests, pods

pytestmark = pytest.mark.one_form
SERVERS = {"postgres_password", "database_password", "redis.conf"}


def made(folder: Path, *form: str) -> set[str]:
    """The files that `make-secrets` makes."""
    command = [str(DEPLOY / "make-secrets"), str(folder), *form]
    subprocess.run(command, check=True, capture_output=True)
    return {path.name for path in folder.iterdir()}


def mounted(pod: dict[str, Any]) -> set[str]:
    """The Secrets whose files a pod can read."""
    [volume] = [each for each in pod["volumes"] if each["name"] == "mounted"]
    if "secret" in volume:
        return {volume["secret"]["secretName"]}
    return {each["secret"]["name"] for each in volume["projected"]["sources"]}


def test_compose_finds_every_file_it_mounts(tmp_path: Path) -> None:
    names = made(tmp_path / "secrets")

    assert names == {Path(each["file"]).name for each in COMPOSE["secrets"].values()}
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "secrets").iterdir()} == {0o600}


def test_what_pods_mount_holds_no_password_of_a_server(tmp_path: Path) -> None:
    names = made(tmp_path / "secrets", "kubernetes")

    assert names.isdisjoint(SERVERS)
    settings = manifests("ConfigMap")["settings"]["data"]
    read = {Path(value).name for value in settings.values() if "/run/keys/" in value}
    assert read - names == {"database_url", "redis_url"}  # of the cluster's servers


def test_a_form_that_does_not_exist_makes_nothing(tmp_path: Path) -> None:
    command = [str(DEPLOY / "make-secrets"), str(tmp_path / "secrets"), "nomad"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)

    assert (done.returncode, "compose|systemd|kubernetes" in done.stderr) == (2, True)
    assert not (tmp_path / "secrets").exists()


def test_vendors_secrets_reach_the_system_tier_alone_and_clients_the_gateways() -> None:
    found = {name: mounted(pod) for name, pod in pods().items()}

    assert {name for name, secrets in found.items() if "vendors" in secrets} == {"system"}
    assert {name for name, secrets in found.items() if "clients" in secrets} == {"gateway"}
    assert all("throughline" in secrets for secrets in found.values())


@pytest.mark.parametrize("name", pods())
def test_whatever_stands_in_a_secret_is_copied_for_our_user_alone(
    name: str, tmp_path: Path
) -> None:
    [keys] = pods()[name]["initContainers"]
    there, here = tmp_path / "mounted", tmp_path / "keys"
    (there / "..data").mkdir(parents=True)  # as Kubernetes lays a Secret out
    here.mkdir()
    for each in ("database_url", "of-a-vendor"):
        (there / "..data" / each).write_text("a secret")
        (there / each).symlink_to(f"..data/{each}")
    *shell, words = keys["command"]
    words = words.replace("/run/mounted", str(there)).replace("/run/keys", str(here))

    subprocess.run([*shell, words], check=True)

    copies = {path.name: path.stat().st_mode & 0o777 for path in here.iterdir()}
    assert copies == {"database_url": 0o600, "of-a-vendor": 0o600}


def test_the_steps_to_a_secret_come_after_its_namespace() -> None:
    text = (DEPLOY / "kubernetes" / "kustomization.yaml").read_text()

    steps = ["make-secrets secrets kubernetes", "apply -f namespace.yaml", "create secret", "-k ."]
    assert sorted(steps, key=text.index) == steps
