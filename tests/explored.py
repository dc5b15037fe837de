"""`python -m tests.explored`: a deployment to be explored by programs not written here.

Embedded, with one client that may do everything and two deals won; says on one line where the
gateway is and the client's secret, and stays until its input ends.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from tests.firm import Firm
from tests.house import House, opened

CLIENT = "explorer"


def policy() -> dict[str, Any]:
    """The sample's policy and a client with every scope, no limit and no rows left out."""
    made: dict[str, Any] = yaml.safe_load(Path("gateway.yaml").read_text())
    scopes = {"catalog.read"}
    for tier, apis in made["apis"].items():
        for name, api in apis.items():
            scopes |= set(api.get("scopes", {}))
            if tier == "system":
                scopes |= {f"{name}.read", f"{name}.write"}
    made["plans"]["unbound"] = {"rate": "10000000/min"}
    made["clients"][CLIENT] = {
        "plan": "unbound",
        "secret": "home:clients.json",
        "scopes": sorted(scopes),
        "roles": ["integration"],
    }
    return made


async def furnished(house: House) -> None:
    """One deal that becomes a project, and one that a person has to decide on."""
    firm = Firm(house)
    await firm.run_of(firm.salesforce.wins_deal(entity="UK"))
    deal = firm.salesforce.wins_deal(entity="DE", tax_code=None)
    await firm.work_item(deal, owner="finance-master-data")
    await firm.close()


def main() -> None:
    """Open it, say where it is, stay."""
    with tempfile.TemporaryDirectory(prefix="throughline-") as folder:
        home = Path(folder)
        (home / "gateway.yaml").write_text(yaml.safe_dump(policy()))
        with opened(home, None, THROUGHLINE_GATEWAY=str(home / "gateway.yaml")) as house:
            asyncio.run(furnished(house))
            known = json.loads((home / "clients.json").read_bytes())[CLIENT]
            told = {"gateway": house.gateway, "client": CLIENT, "secret": known["client_secret"]}
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()
            sys.stdin.read()


if __name__ == "__main__":
    main()
