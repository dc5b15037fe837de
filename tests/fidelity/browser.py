"""A deployment with Debian's Chromium in front of it: what people see is checked as they look."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen

from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, sync_playwright

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
READY_S = 60
DESKTOP: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
NAMES = ("chromium", "chromium-browser", "google-chrome")
INSTALL = ["apt-get", "-q", "-y", "--no-install-recommends", "install"]
PACKAGES = ["chromium", "fonts-dejavu-core"]
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
AUDIT = """async () => (await axe.run()).violations
  .filter(found => ['serious', 'critical'].includes(found.impact))"""
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


def chromium() -> str:
    """The browser of this machine: there, or installed by Debian's packages where we may."""
    for name in NAMES:
        if found := shutil.which(name):
            return found
    if os.geteuid() or not shutil.which("apt-get"):
        raise RuntimeError("Chromium: none on PATH; install it (Debian: apt-get install chromium)")
    for command in (["apt-get", "-q", "update"], [*INSTALL, *PACKAGES]):
        subprocess.run(command, check=True, capture_output=True)
    return chromium()


@contextmanager
def browser() -> Iterator[Browser]:
    """Chromium without a window."""
    with sync_playwright() as playwright:
        flags = ["--no-sandbox"] if not os.geteuid() else []
        opened = playwright.chromium.launch(executable_path=chromium(), args=flags)
        yield opened
        opened.close()


Sizes = tuple[ViewportSize, ...]


class House(NamedTuple):
    """Throughline as `throughline up` starts it, with the shipped policy, and a client of it."""

    url: str
    home: Path
    back: str

    def password(self, name: str) -> str:
        """A person's of the shipped policy."""
        return json.loads((self.home / "people.json").read_bytes())[name]["password"]


def asking(built: House) -> str:
    """Where a client of the shipped policy sends a person's browser."""
    asked = f"client_id=demo-portal&state=s-1&redirect_uri={built.back}"
    proof = f"code_challenge={CHALLENGE}&code_challenge_method=S256"
    return f"/oauth/authorize?response_type=code&{asked}&{proof}"


@contextmanager
def house(home: Path) -> Iterator[House]:
    """The whole deployment in one process on SQLite; no vendor answers, which no page needs."""
    port, portal = free_port(), HTTPServer(("127.0.0.1", 0), Back)
    threading.Thread(target=portal.serve_forever, daemon=True).start()
    back = f"http://127.0.0.1:{portal.server_port}/back"
    policy = (ROOT / "gateway.yaml").read_text().replace("http://127.0.0.1:8400/back", back)
    (home / "gateway.yaml").write_text(policy)
    url = f"http://127.0.0.1:{port}"
    kept = {k: v for k, v in os.environ.items() if not k.startswith("THROUGHLINE_")}
    told = {
        "THROUGHLINE_HOME": str(home), "THROUGHLINE_GATEWAY": str(home / "gateway.yaml"),
        "THROUGHLINE_ISSUER": url, "THROUGHLINE_ENV": "test", "PORT": str(port),
    }  # fmt: skip
    command = [str(ROOT / ".venv/bin/python"), "-m", "apis.cli", "up"]
    with (home / "up.log").open("w") as log:
        running = subprocess.Popen(command, cwd=ROOT, env=kept | told, stdout=log, stderr=log)
    try:
        ready(f"{url}/readyz", running, home / "up.log")
        yield House(url, home, back)
    finally:
        portal.shutdown()
        portal.server_close()
        running.terminate()
        running.wait(READY_S)


class Back(BaseHTTPRequestHandler):
    """Where a client waits for who signed in."""

    def do_GET(self) -> None:
        """Say that they came back."""
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.wfile.write(b"back")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def ready(url: str, running: subprocess.Popen[bytes], log: Path) -> None:
    """Return when it answers."""
    end = time.monotonic() + READY_S
    while time.monotonic() < end and running.poll() is None:
        try:
            urlopen(url, timeout=2).close()  # noqa: S310 - our own address
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"it did not start: {log.read_text()[-2000:]}")


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def packages(folder: Path) -> Path:
    """What `package-lock.json` names, installed into a folder."""
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, folder)
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"]
    subprocess.run(command, cwd=folder, env={**os.environ, "PATH": paths}, check=True, timeout=120)
    return folder / "node_modules"


class Person:
    """Somebody at a browser; what their console says and what axe finds is kept."""

    def __init__(
        self, house: House, opened: Browser, axe: str = "", *, sizes: Sizes = (), **options: Any
    ) -> None:
        self.house = house
        self.sizes = sizes
        self.context: BrowserContext = opened.new_context(base_url=house.url, **options)
        if axe:
            self.context.add_init_script(axe)  # not by the page: its policy would not have it
        self.context.set_default_timeout(15_000)
        self.page: Page = self.context.new_page()
        self.wrong: list[str] = []
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.wrong.append(f"{self.page.url}: {error}"))

    def _said(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.wrong.append(f"{self.page.url}: {message.text}")

    def opens(self, path: str) -> Page:
        """A page by its address, looked over."""
        self.page.goto(path)
        return self.looks()

    def looks(self) -> Page:
        """The page that is shown, as axe sees it, and whether it fits each window."""
        for size in self.sizes:
            self.page.set_viewport_size(size)
            at = f"{self.page.url} at {size['width']}"
            for found in self.page.evaluate(AUDIT):
                nodes = "; ".join(each["html"][:160] for each in found["nodes"][:3])
                self.wrong.append(f"{at}: {found['id']}: {nodes}")
            if (wider := self.page.evaluate(OVERFLOW)) > 0:
                self.wrong.append(f"{at}: {wider} px wider than the window")
        return self.page

    def presses(self, name: str) -> Page:
        """A button, and the page it leads to."""
        with self.page.expect_navigation():
            self.page.get_by_role("button", name=name, exact=True).click()
        return self.looks()

    def follows(self, name: str) -> Page:
        """A link, and the page it leads to."""
        with self.page.expect_navigation():
            self.page.get_by_role("link", name=name, exact=True).first.click()
        return self.looks()

    def fills(self, **fields: str) -> None:
        """Fields by their labels (`_` for a space)."""
        for label, value in fields.items():
            self.page.get_by_label(label.replace("_", " "), exact=True).fill(value)

    def signs_up(self, name: str) -> str:
        """Become somebody new: the name to sign in with."""
        self.opens("/portal/sign-up")
        known = self.page.get_by_label("You will sign in as").input_value()
        self.fills(Your_name=name, **{"E-mail": f"{name.lower()}@example.com"})
        self.fills(Password="three loose words", The_same_password_again="three loose words")
        self.page.get_by_label("I accept these terms").check()
        self.presses("Sign up")
        return known

    def makes(self, title: str) -> tuple[str, str]:
        """A new application: its client id and its secret."""
        self.follows("New application")
        self.fills(Name=title, What_for="To show projects on our own pages.")
        self.presses("Make it")
        return self.shown()

    def shown(self) -> tuple[str, str]:
        """The client id and the secret on the page that shows them once."""
        client, secret = self.page.locator("dl.facts dd code").all_inner_texts()[:2]
        return client, secret

    def signs_in(self, name: str, password: str, to: str) -> Page:
        """At the portal, to go on to a page."""
        self.opens(f"/portal/sign-in?next={to}")
        self.fills(Name=name, Password=password)
        return self.presses("Sign in")

    def unfolds(self, words: str) -> None:
        """What a page has folded away."""
        self.page.locator("summary", has_text=re.compile(words)).first.click()

    def close(self) -> None:
        """Leave; whatever went wrong on the way is told."""
        self.context.close()
        assert not self.wrong, "\n".join(self.wrong)
