"""A policy file that changes is taken while calls are served: as a whole, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from apis.gateway.app import Front, Gateway
from apis.gateway.policy import Gateway as Policy
from apis.gateway.policy import PolicyError, load_gateway, place_of
from apis.gateway.tokens import SIGNING
from apis.runtime.log import get_logger
from apis.runtime.watching import watch
from contracts.errors import Misconfigured

LOOK_S = 0.5
log = get_logger(__name__)

Marks = tuple[tuple[int, int, int] | None, ...]


class Reloading:
    """Looks at the policy file and at the secrets it names; `front` makes all that follows.

    `take` is told what is served from now on, and may refuse it; `files` are home and policy.
    """

    def __init__(
        self,
        gateway: Gateway,
        policy: Policy,
        files: tuple[Path, Path],
        front: Callable[[Policy], Front],
        take: Callable[[Policy], None],
    ) -> None:
        self._gateway = gateway
        self._policy = policy
        self._home, self._file = files
        self._front = front
        self._take = take
        self._files = self._named(policy)
        self._taken = self._seen = _marks(self._files)
        self.mistakes: list[str] = []
        """Why the file as it is now is not served; nothing when it is."""

    async def go(self) -> None:
        """Look for as long as the process lives."""
        await watch("policy", self._looked, LOOK_S)

    async def _looked(self) -> None:
        self.look()

    def look(self) -> None:
        """Take what is new, if it was the same at the look before: nobody is writing it now."""
        marks = _marks(self._files)
        still, self._seen = marks == self._seen, marks
        if not still or marks == self._taken:
            return
        self._taken = marks
        try:
            policy = self._read()
            front = self._front(policy)
            self._take(policy)
        except Exception as error:  # noqa: BLE001 - whatever they hold, the old policy serves on
            told = error.detail if isinstance(error, Misconfigured) else repr(error)
            self.mistakes = told.splitlines()
            log.warning("policy.refused", file=str(self._file), mistakes=self.mistakes)
            return
        self.mistakes = []
        self._gateway.use(front)
        self._policy = policy
        log.info("policy.taken", file=str(self._file), clients=len(policy.clients))

    def again(self) -> None:
        """Serve by the same file, since what is registered beside it changed."""
        self._gateway.use(self._front(self._policy))

    def _read(self) -> Policy:
        """The file as it is now; a file that it names is looked at from now on, refused or not."""
        policy = load_gateway(self._file.read_text("utf-8"), self._file.name)
        self._files = self._named(policy)
        self._taken = self._seen = self._taken[0], *_marks(self._files[1:])
        if mistakes := list(_needs_a_start(self._policy, policy)):
            raise PolicyError(mistakes)
        return policy

    def _named(self, policy: Policy) -> list[Path]:
        """The policy file, and every file it names: secrets, keys, documents of foreign APIs."""
        references = [policy.signing or SIGNING]
        references += [person.password for person in policy.people.values()]
        for client in policy.clients.values():
            references += client.secrets
            references += [client.keys] if isinstance(client.keys, str) else []
        named = [file for api in policy.apis.values() for file in api.documents]
        read = (self._file.parent / file for file in named)
        return [self._file, *dict.fromkeys((*_paths(references, self._home), *read))]


def _paths(references: Iterable[str], home: Path) -> Iterator[Path]:
    for reference in references:
        kind, _, name = reference.partition(":")
        name = name.partition("#")[0]
        if kind in {"home", "file"}:
            yield home / name if kind == "home" else Path(name)


def _marks(files: Iterable[Path]) -> Marks:
    return tuple(_mark(file) for file in files)


def _mark(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _needs_a_start(old: Policy, new: Policy) -> Iterator[str]:
    """What this process was built from at its start, and cannot change while it serves."""
    for name in sorted(old.own.keys() | new.own.keys()):
        was, now = old.own.get(name), new.own.get(name)
        built_from = [(each.app, each.vendor) for each in (was, now) if each is not None]
        if len(built_from) == 1 or built_from[0] != built_from[1]:
            yield new.lines.told(place_of(name), "an API comes or goes: restart to serve it")
    if old.listeners != new.listeners:
        yield new.lines.told(("listeners",), "a listener comes, goes or changes: restart to use it")
    if old.signing != new.signing:
        yield new.lines.told(("signing",), "the signing keys are elsewhere: restart to use them")
