"""Pictures of the portal for its documents: `python -m tests.fidelity.screenshots` writes them.

Run it in `.fidelity` (`make fidelity` makes that); it starts a deployment of its own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser

from tests.fidelity.browser import DESKTOP, PHONE, ROOT, House, Person, browser, house

IMAGES = ROOT / "docs/images"
WIDTHS = {"desktop": DESKTOP, "phone": PHONE}


def taken(person: Person, name: str, width: str) -> None:
    """The whole of the page that is shown."""
    person.page.screenshot(path=IMAGES / f"portal-{name}-{width}.png", full_page=True)


def pictures(opened: Browser, built: House, width: str) -> None:
    """A newcomer's way, and what who decides sees of it."""
    ada = Person(built, opened, viewport=WIDTHS[width])
    ada.opens("/portal")
    taken(ada, "front", width)
    ada.opens("/portal/apis/experience/delivery/v1")
    ada.page.screenshot(path=IMAGES / f"portal-reference-{width}.png")
    ada.opens("/portal/sign-up")
    taken(ada, "sign-up", width)
    ada.signs_up("Ada")
    client, _ = ada.makes("Shop window")
    taken(ada, "credential", width)
    pasted = ada.page.locator("pre code").inner_text()
    for _ in range(3):
        subprocess.run(["sh", "-c", pasted], check=True, capture_output=True)
    refused = pasted.replace("/projects", "/projects?nothing=1")
    subprocess.run(["sh", "-c", refused], check=True, capture_output=True)
    ada.opens(f"/portal/applications/{client}")
    ada.unfolds("Ask for more")
    ada.page.get_by_label("Scopes of").select_option("experience/delivery")
    ada.fills(Why="We show the projects of our customer Fabrikam on their own pages.")
    ada.presses("Ask for it")
    ada.opens("/portal/requests")
    taken(ada, "calls", width)
    with ada.page.expect_navigation():
        ada.page.locator("tbody tr").filter(has_text="422").get_by_role("link").click()
    taken(ada, "call", width)
    owner = Person(built, opened, viewport=WIDTHS[width])
    owner.signs_in("demo-owner", built.password("demo-owner"), "/portal/approvals")
    taken(owner, "approvals", width)
    with owner.page.expect_navigation():
        owner.page.locator("main li").filter(has_text=client).get_by_role("link").click()
    taken(owner, "approval", width)
    owner.fills(Answer="Welcome. You see Fabrikam's projects.", Customers="C-1001")
    owner.presses("Approve")
    ada.opens(f"/portal/applications/{client}")
    taken(ada, "application", width)
    ada.opens("/portal/applications")
    taken(ada, "applications", width)


def main() -> int:
    """Write every picture at both widths."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as home, house(Path(home)) as built, browser() as opened:
        for width in WIDTHS:
            pictures(opened, built, width)
    return 0


if __name__ == "__main__":
    sys.exit(main())
