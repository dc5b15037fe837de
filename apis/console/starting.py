"""What a start of this deployment would refuse, found by what a start itself reads, and not made.

Keys, secrets, certificates and people's hashes are read by the functions of a start; what the first
start makes in the home is no finding while it is not there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import msgspec

from apis.console.checking import findings
from apis.console.production import unsafe
from apis.console.unsafe_keys import LEAD, address, there
from apis.gateway.client_authentication import CLIENTS_FILE, load_credentials
from apis.gateway.people import PEOPLE_FILE, load_passwords
from apis.gateway.policy import Client, Gateway
from apis.gateway.tokens import SIGNING, signing_keys
from apis.runtime.audit_heads import Signer
from apis.runtime.clock import Clock
from apis.runtime.deployment import policy_of, records
from apis.runtime.metadata import Metadata, read_metadata
from apis.runtime.serving import only_here
from apis.runtime.settings import Settings
from apis.runtime.tls import Tls
from apis.runtime.traces import recording
from apis.runtime.variables import ENVIRONMENT, told
from contracts.errors import Misconfigured

Told = Iterator[str]


def checked(env: Mapping[str, str], *, production: bool) -> list[str]:
    """What is wrong with a deployment that this environment describes; nothing is written."""
    try:
        settings = Settings.found(env)
    except Misconfigured as error:
        return error.detail.splitlines()
    found = [*findings(settings), *refused(settings, env)]
    if production:
        found += unsafe(settings, env, Clock().now().date())
    return list(dict.fromkeys(found))


def refused(settings: Settings, env: Mapping[str, str]) -> Told:
    """What would keep processes of this deployment from starting, though both files are right."""
    home = settings.home
    yield from places(settings)
    yield from told_by(lambda: records(env, home))
    yield from told_by(only_here, f"{ENVIRONMENT}: THROUGHLINE_HOST")
    yield from told_by(lambda: recording(env), ENVIRONMENT)
    if there(settings.audit_key):
        same = settings.audit_key.parent  # a signer makes its folder: this one is there
        place = told("THROUGHLINE_AUDIT_KEY", str(settings.audit_key))
        yield from told_by(lambda: Signer(settings.audit_key, same), place)
    try:
        gateway = policy_of(settings)
        metadata, _ = read_metadata(settings.entities)
    except (Misconfigured, OSError):
        return  # `findings` says what is wrong with them
    yield from keys_of(gateway, home)
    for name, listener in gateway.listeners.items():
        yield from told_by(partial(Tls.of, name, listener, home), settings.gateway.name)
    yield from addresses(settings, metadata, env)


def told_by(attempt: Callable[[], object], place: str = "") -> Told:
    """What a part of the start says when it cannot be done, never how it failed inside."""
    before = f"{place}: " if place else ""
    try:
        attempt()
    except Misconfigured as error:
        remedy = f": {error.remedy}" if error.remedy else ""
        yield from (f"{before}{line}{remedy}" for line in error.detail.splitlines())
    except (OSError, ValueError, TypeError, LookupError) as error:
        yield f"{before}{error}"


def places(settings: Settings) -> Told:
    """Folders that a start makes where they are missing, and writes to."""
    home = settings.home
    named = {"THROUGHLINE_HOME": home}
    if not settings.audit_heads.absolute().is_relative_to(home):
        named["THROUGHLINE_AUDIT_HEADS"] = settings.audit_heads
    if not settings.audit_key.absolute().is_relative_to(home) and not there(settings.audit_key):
        named["THROUGHLINE_AUDIT_KEY"] = settings.audit_key.parent
    for name, folder in named.items():
        last = next(each for each in (folder, *folder.absolute().parents) if there(each))
        if not last.is_dir():
            yield told(name, f"{last} is no folder")
        elif not os.access(last, os.W_OK | os.X_OK):
            yield told(name, f"{last} cannot be written to")


def keys_of(gateway: Gateway, home: Path) -> Told:
    """Signing keys, clients' secrets and keys, and people's hashes."""
    if gateway.signing or there(home / SIGNING.partition(":")[2]):
        yield from told_by(lambda: signing_keys(gateway.signing, home))
    yield from told_by(lambda: load_credentials(with_secrets(gateway, home), home))
    yield from told_by(lambda: load_passwords(with_people(gateway, home), home))


def with_secrets(gateway: Gateway, home: Path) -> Gateway:
    """The policy without the secrets that the next start makes."""
    held, ours = members(home / CLIENTS_FILE), f"home:{CLIENTS_FILE}"

    def there(name: str, client: Client) -> Client:
        secrets = tuple(each for each in client.secrets if each != ours or name in held)
        return msgspec.structs.replace(client, secret=secrets)

    clients = {name: there(name, client) for name, client in gateway.clients.items()}
    return msgspec.structs.replace(gateway, clients=clients)


def with_people(gateway: Gateway, home: Path) -> Gateway:
    """The policy without the people whose password the next start makes."""
    held, ours = members(home / PEOPLE_FILE), f"home:{PEOPLE_FILE}"
    people = {
        name: person
        for name, person in gateway.people.items()
        if person.password != ours or name in held
    }
    return msgspec.structs.replace(gateway, people=people)


def members(path: Path) -> frozenset[str]:
    """Who has an entry in a file of the home."""
    try:
        held = json.loads(path.read_bytes()) if path.exists() else {}
    except ValueError as error:
        raise Misconfigured("reference.missing", f"{path}: {error}") from error
    return frozenset(held) if isinstance(held, dict) else frozenset()


def addresses(settings: Settings, metadata: Metadata, env: Mapping[str, str]) -> Told:
    """Where connections lead: references that a start follows, or the first sign-in."""
    for name, connection in metadata.connections.items():
        for member in LEAD:
            place = f"{settings.entities.name}: connections.{name}.{member}"
            reference = getattr(connection, member)
            yield from told_by(partial(address, reference, env, settings.home), place)
