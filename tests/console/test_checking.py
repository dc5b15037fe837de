"""`throughline check` finds what does not fit together, and says where."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import pytest
import yaml

from apis.console.checking import contract_problems, differences, findings
from apis.runtime.settings import Settings
from contracts.schemas import PUBLISHED

ROOT = Path(__file__).parents[2]


def edited(tmp_path: Path, name: str, old: str, new: str) -> Path:
    text = (ROOT / name).read_text()
    assert old in text
    path = tmp_path / Path(name).name
    path.write_text(text.replace(old, new, 1))
    return path


def test_the_project_as_it_is_has_nothing_wrong(settings: Settings) -> None:
    assert findings(settings) == []


def test_an_app_that_cannot_be_loaded_is_named(settings: Settings, tmp_path: Path) -> None:
    gateway = edited(tmp_path, "gateway.yaml", "process_apis.work_queue:app", "work_kew:app")

    found = findings(msgspec.structs.replace(settings, gateway=gateway))

    told = "apis.process.work-queue: its app cannot be loaded (No module named 'work_kew')"
    assert any(told in each for each in found), found


def test_both_files_are_told_at_once(settings: Settings, tmp_path: Path) -> None:
    gateway = edited(tmp_path, "gateway.yaml", "rate: 6000/min", "rte: 6000/min")
    entities = edited(tmp_path, "apis/entities.yaml", "every_s: 30", "every_s: 0")

    found = findings(msgspec.structs.replace(settings, gateway=gateway, entities=entities))

    assert [each.split(":")[0] for each in found] == ["gateway.yaml", "entities.yaml"]


@pytest.mark.parametrize("role", ["sales-operations", "delivery-operations"])
def test_a_role_that_flows_ask_and_nobody_has_is_named(
    settings: Settings, tmp_path: Path, role: str
) -> None:
    told = yaml.safe_load(Path("gateway.yaml").read_text())
    for each in (*told["clients"].values(), *told["people"].values()):
        each["roles"] = [other for other in each.get("roles", ()) if other != role]
    gateway = tmp_path / "gateway.yaml"
    gateway.write_text(yaml.safe_dump(told))
    entities = edited(tmp_path, "apis/entities.yaml", "  deal: sales-operations\n", "")

    found = findings(msgspec.structs.replace(settings, gateway=gateway, entities=entities))

    assert len(found) == 1
    assert f"clients: none has the role {role}, which the step " in found[0]


def test_a_steward_whom_nobody_is_is_named_where_the_metadata_says_it(
    settings: Settings, tmp_path: Path
) -> None:
    entities = edited(
        tmp_path, "apis/entities.yaml", "contract: delivery-director", "contract: legal"
    )

    [found] = findings(msgspec.structs.replace(settings, entities=entities))

    assert found.endswith("stewards.contract: nobody in gateway.yaml has the role legal")


def test_a_steward_may_be_a_person_who_signs_in(settings: Settings, tmp_path: Path) -> None:
    entities = edited(
        tmp_path, "apis/entities.yaml", "contract: delivery-director", "contract: legal"
    )
    gateway = edited(tmp_path, "gateway.yaml", "roles: [api-owner]", "roles: [api-owner, legal]")

    assert findings(msgspec.structs.replace(settings, gateway=gateway, entities=entities)) == []


def test_a_missing_file_is_named(settings: Settings, tmp_path: Path) -> None:
    gone = msgspec.structs.replace(settings, gateway=tmp_path / "none.yaml")

    assert any("none.yaml" in each for each in findings(gone))


def test_an_app_that_differs_from_its_port_is_named() -> None:
    told = {"getDeal": ("GET", "/deals/{id}"), "about": ("GET", "/about")}
    served = {"getDeal": ("GET", "/deal/{id}"), "extra": ("GET", "/extra")}

    assert list(differences("the port", told, served, "system/x")) == [
        "the port: about is not served by system/x",
        "the port: extra, served by system/x, is missing",
        "the port: getDeal is GET /deals/{id}, but system/x has GET /deal/{id}",
    ]


def test_a_published_schema_that_was_edited_or_lost_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "published"
    shutil.copytree(PUBLISHED, folder, ignore=shutil.ignore_patterns("openapi"))
    (folder / "deal" / "1.0.json").write_text(json.dumps({}))
    (folder / "run" / "1.0.json").unlink()

    found = list(contract_problems(folder))

    assert len(found) == 2
    assert any("deal/1.0.json: was changed" in each for each in found)
    assert any("run/1.0.json: is in the manifest, but not there" in each for each in found)
