"""Keys and secrets that can be guessed, that others can read, or that lead nowhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from apis.gateway.listeners import is_loopback
from apis.gateway.policy import Gateway
from apis.gateway.tokens import read_secret
from apis.runtime.clock import Clock
from apis.runtime.deployment import loaded
from apis.runtime.metadata import Connection, Metadata
from apis.runtime.records import KEY, keys_of
from apis.runtime.references import resolve
from apis.runtime.settings import Settings
from apis.runtime.sign_in import asked_of
from apis.runtime.typed_yaml import Finding
from apis.runtime.variables import told
from contracts.errors import Misconfigured

ENOUGH = 32
"""Hexadecimal, 32 characters are 128 bits: RFC 6749 (10.10) asks so many of what nobody guesses."""
FEW = 8
"""So few different characters chance does not leave in 32, even of hexadecimal ones."""
INTERNAL, DIGEST = "THROUGHLINE_INTERNAL_KEY", "THROUGHLINE_DIGEST_KEY"
AUDIT = "THROUGHLINE_AUDIT_KEY"
LEAD = ("url", "login_url")
"""The members of a connection that are addresses."""
Told = Iterator[str]


def guessable(value: bytes) -> str | None:
    """Why a secret can be found by trying."""
    if len(value) < ENOUGH:
        return f"under {ENOUGH} characters it can be guessed"
    if len(set(value)) < FEW or value in (value + value)[1:-1]:
        return "of few different characters, or one word again and again, it can be guessed"
    return None


def there(path: Path) -> bool:
    """Whether a file is there for us: one in a folder that we may not enter is not."""
    try:
        return path.exists()
    except OSError:
        return False


def keys(settings: Settings, env: Mapping[str, str]) -> Told:
    """Keys that are missing, weak, or in no second place."""
    for name, key in ((INTERNAL, settings.internal_key), (DIGEST, settings.digest_key)):
        if key and (what := guessable(key)):
            yield f"{told(name, what)}: openssl rand -base64 48"
    mend = "openssl rand -base64 32, as file:/path"
    if not env.get(KEY):
        what = "none: personal values of running flows are stored as they are"
        yield f"{told(KEY, what)}: {mend}"
    with suppress(Misconfigured, ValueError, TypeError):  # a start refuses them
        if any(guessable(key) for key in keys_of(env, settings.home)):
            yield f"{told(KEY, 'its bytes can be guessed')}: {mend}"
    if settings.audit_heads.resolve().is_relative_to(settings.home):
        what = "the signed heads lie beside what they prove"
        where = "a folder of another disk, or of another host"
        yield f"{told('THROUGHLINE_AUDIT_HEADS', what)}: {where}"
    if env.get(AUDIT) and not there(settings.audit_key):
        mend = f"openssl genpkey -algorithm ed25519 -out {settings.audit_key}"
        yield f"{told(AUDIT, 'it is not there, and each host would make its own')}: {mend}"


def secret_findings(gateway: Gateway, home: Path) -> Iterator[Finding]:
    """Clients' secrets that can be guessed; those that cannot be read keep a start back."""
    for name, client in gateway.clients.items():
        for reference in client.secrets:
            with suppress(ValueError, OSError):
                what = guessable(read_secret(reference, home, member=name).encode())
                if what:
                    yield ("clients", name, "secret"), f"{what}: openssl rand -base64 32"


def vendors(settings: Settings, metadata: Metadata, env: Mapping[str, str]) -> Told:
    """Connections that lead to sandboxes, or in plain HTTP, and credentials of no use."""
    if settings.entities.name == "entities.yaml" and settings.entities.parent.name == "apis":
        what = "the sample firm's metadata"
        yield f"{told('THROUGHLINE_ENTITIES', what)}: the file of your own firm"
    for name, connection in metadata.connections.items():
        try:
            urls = {each: address(getattr(connection, each), env, settings.home) for each in LEAD}
        except (Misconfigured, ValueError):
            continue  # `check` says so without being asked about production
        place = f"{settings.entities.name}: connections.{name}"
        yield from (f"{place}.{each}: {what}" for each in urls if (what := _led(urls[each])))
        if "sandboxes/" in connection.auth.credentials:
            what = "those of a sandbox: file:/path of the vendor's, mode 600"
        else:
            what = _refusal(connection, settings, env)
        if what:
            yield f"{place}.auth.credentials: {what}"


def parts(url: str) -> SplitResult:
    """The parts of an address; none of what is no address."""
    try:
        return urlsplit(url)
    except ValueError:
        return SplitResult("", "", url, "", "")


def address(reference: str | None, env: Mapping[str, str], home: Path) -> SplitResult | None:
    """Where a reference of a connection leads; ValueError where that is no address."""
    return urlsplit(resolve(reference, env, home)) if reference else None


def _led(url: SplitResult | None) -> str:
    if url is None:
        return ""
    if is_loopback(url.hostname or ""):
        return f"{url.netloc} is a sandbox of this machine: the vendor's address"
    if not url.hostname:
        return "it names no host: https://..."
    if url.scheme not in {"https", "postgresql"}:
        return f"{url.scheme} can be read on the way: https://..."
    return ""


def _refusal(connection: Connection, settings: Settings, env: Mapping[str, str]) -> str:
    """Why the credentials of a connection cannot sign in: they are read as for a sign-in."""
    vendor = connection.vendor
    try:
        found = loaded(f"system_apis.{vendor}.vendor:{vendor.upper()}")
    except (ImportError, AttributeError):
        return ""  # `findings` says that there is no such vendor
    account, home = loaded("system_apis.app:account_of"), loaded("system_apis.app:Home")
    try:
        asked_of(
            vendor,
            found.sign_in,
            lambda: account(connection, home(env, settings.home)),
            Clock(),
        )
    except Misconfigured as error:
        return f"{error.detail}: file:/path of the vendor's as JSON, mode 600"
    return ""
