"""Pictures of the pages for their documents: `python -m tests.fidelity.screenshots` writes them.

Run it in `.fidelity` (`make fidelity` makes that); it starts a deployment of its own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, expect

from tests.fidelity.browser import DESKTOP, PHONE, ROOT, House, Person, asking, browser, house

IMAGES = ROOT / "docs/images"
WIDTHS = {"desktop": DESKTOP, "phone": PHONE}
DELIVERY = "/portal/apis/experience/delivery"


class Camera:
    """Takes pictures at one width."""

    def __init__(self, opened: Browser, built: House, width: str) -> None:
        self.opened, self.built, self.width = opened, built, width

    def person(self, **options: Any) -> Person:
        """Somebody whose window has this width."""
        still = {"viewport": WIDTHS[self.width], "reduced_motion": "reduce"}
        return Person(self.built, self.opened, **still, **options)

    def takes(self, person: Person, name: str, *, at: str = "", whole: bool = True) -> None:
        """The whole of the page that is shown, or what fits the window around a place on it."""
        if at:
            person.page.locator(at).evaluate("each => each.scrollIntoView({block: 'center'})")
        path = IMAGES / f"{name}-{self.width}.png"
        person.page.screenshot(path=path, full_page=whole and not at)


def open_pages(camera: Camera) -> None:
    """What everybody sees, and what people of the firm see."""
    reader = camera.person()
    reader.opens("/portal")
    camera.takes(reader, "portal-front")
    reader.opens(f"{DELIVERY}/v2")
    camera.takes(reader, "portal-reference", whole=False)
    reader.opens("/problems/customer.credit-hold")
    camera.takes(reader, "portal-problem")
    inside = camera.person(color_scheme="dark" if camera.width == "phone" else "light")
    password = camera.built.password("demo-owner")
    inside.signs_in("demo-owner", password, "/portal")
    camera.takes(inside, "portal-apis", whole=False)
    inside.opens("/portal/apis/process/deal-to-project")
    camera.takes(inside, "portal-api", at="main .picture")


def sign_in_pages(camera: Camera) -> None:
    """How a person lets a client act for them."""
    person = camera.person()
    person.opens(asking(camera.built))
    camera.takes(person, "sign-in", whole=False)
    person.fills(Name="demo-person", Password="not this")
    person.presses("Sign in")
    camera.takes(person, "wrong-password", whole=False)
    person.fills(Name="demo-person", Password=camera.built.password("demo-person"))
    person.presses("Sign in")
    camera.takes(person, "consent", whole=False)


def newcomer(camera: Camera) -> tuple[Person, str]:
    """From signing up to a wish for more; who it is, and their application."""
    ada = camera.person()
    ada.opens("/portal/sign-up")
    camera.takes(ada, "portal-sign-up")
    ada.signs_up("Ada")
    client, secret = ada.makes("Shop window")
    camera.takes(ada, "portal-credential")
    pasted = ada.page.locator("pre code").inner_text()
    for _ in range(3):
        subprocess.run(["sh", "-c", pasted], check=True, capture_output=True)
    refused = pasted.replace("/projects", "/projects?nothing=1")
    subprocess.run(["sh", "-c", refused], check=True, capture_output=True)
    in_the_console(camera, ada, client, secret)
    ada.opens(f"/portal/applications/{client}")
    ada.unfolds("Ask for more")
    ada.page.get_by_label("Scopes of").select_option("experience/delivery")
    ada.fills(Why="We show the projects of our customer Fabrikam on their own pages.")
    ada.presses("Ask for it")
    ada.opens("/portal/requests")
    camera.takes(ada, "portal-calls")
    with ada.page.expect_navigation():
        ada.page.locator("tbody tr").filter(has_text="422").get_by_role("link").click()
    camera.takes(ada, "portal-call")
    return ada, client


def in_the_console(camera: Camera, ada: Person, client: str, secret: str) -> None:
    """An operation called from its page."""
    ada.opens(f"{DELIVERY}/v2?client_id={client}#listProjects")
    ada.fills(Client_secret=secret)
    ada.page.get_by_role("button", name="Get a token").click()
    expect(ada.page.locator("#token-told")).to_contain_text("A token for")
    operation = ada.page.locator("#listProjects")
    operation.get_by_text("Try it", exact=True).click()
    operation.get_by_role("button", name="Send").click()
    expect(operation.locator(".answer .badge")).to_have_text("200 OK")
    camera.takes(ada, "portal-console", at="#listProjects .trial button")


def approval(camera: Camera, ada: Person, client: str) -> None:
    """What who decides sees, and what came of it."""
    owner = camera.person()
    owner.signs_in("demo-owner", camera.built.password("demo-owner"), "/portal/approvals")
    camera.takes(owner, "portal-approvals")
    with owner.page.expect_navigation():
        owner.page.locator("main li").filter(has_text=client).get_by_role("link").click()
    camera.takes(owner, "portal-approval")
    answer = "Welcome. You see Fabrikam's projects."
    owner.fills(Answer=answer, Customers="C-1001", Legal_entities="NOSUCH")
    owner.presses("Approve")
    camera.takes(owner, "portal-approval-again")
    owner.fills(Legal_entities="")
    owner.presses("Approve")
    ada.opens(f"/portal/applications/{client}")
    camera.takes(ada, "portal-application")
    ada.opens("/portal/applications")
    camera.takes(ada, "portal-applications")


def main() -> int:
    """Write every picture at both widths."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as home, house(Path(home)) as built, browser() as opened:
        for width in WIDTHS:
            camera = Camera(opened, built, width)
            open_pages(camera)
            sign_in_pages(camera)
            approval(camera, *newcomer(camera))
    return 0


if __name__ == "__main__":
    sys.exit(main())
