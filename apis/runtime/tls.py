"""TLS of a listener: who we are, whose client certificates count, and what one of them says."""

from __future__ import annotations

import base64
import ssl
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from apis.gateway.listeners import Listener
from contracts.errors import Misconfigured

OTHERS = 0o077


class Certificate(NamedTuple):
    """What a client showed: a token can be bound to the one, a listener knows the other."""

    thumbprint: str
    names: frozenset[str]


class Tls:
    """The files of a listener, and the context made of them; a new one when they change."""

    def __init__(self, name: str, listener: Listener, home: Path) -> None:
        self.name = name
        self.listener = listener
        named = (listener.certificate, listener.key, listener.client_ca, listener.crl)
        self._paths = [path_of(each, home) for each in named if each]
        self._seen = self._looks()
        self.context = self._made()

    @classmethod
    def of(cls, name: str, listener: Listener, home: Path) -> Tls | None:
        """TLS of a listener, unless it is plain."""
        return cls(name, listener, home) if listener.certificate else None

    def changed(self) -> bool:
        """Whether the files are others since this was last asked; the context is then new.

        Misconfigured where they do not fit together: what was in use stays in use.
        """
        looks = self._looks()
        if looks == self._seen:
            return False
        self._seen = looks
        self.context = self._made()
        return True

    def _looks(self) -> list[tuple[int, int, int]]:
        try:
            told = [path.stat() for path in self._paths]
        except OSError as error:
            raise unusable(self.name, f"{error.filename}: {error.strerror}") from None
        return [(each.st_mtime_ns, each.st_size, each.st_ino) for each in told]

    def _made(self) -> ssl.SSLContext:
        certificate, key, *trusted = self._paths
        if key.stat().st_mode & OTHERS:
            raise unusable(self.name, f"{key} can be read by others: chmod 600")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(certificate, key, password=no_password)
            for path in trusted:
                context.load_verify_locations(path)
        except (OSError, ValueError) as error:  # an ssl.SSLError is an OSError
            told = " and ".join(str(path) for path in self._paths)
            raise unusable(self.name, f"{told}: {error}") from None
        if trusted:
            context.verify_mode = ssl.CERT_REQUIRED
        if self.listener.crl:
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        return context


def unusable(name: str, told: str) -> Misconfigured:
    """A listener that cannot be opened."""
    return Misconfigured(
        "listener.unusable", f"listeners.{name}: {told}", remedy="set its files right"
    )


def path_of(reference: str, home: Path) -> Path:
    """The file that `file:/path` or `home:name` names."""
    kind, _, name = reference.partition(":")
    return home / name if kind == "home" else Path(name)


def no_password() -> str:
    """Refuse a key with a password instead of asking for it at a terminal."""
    raise ValueError("a key with a password cannot be used")


def shown(connection: Any) -> Certificate | None:
    """The certificate that the client of a TLS connection showed."""
    der = connection.getpeercert(binary_form=True) if connection is not None else None
    if not der:
        return None
    said = connection.getpeercert()
    subject = [pair for part in said.get("subject", ()) for pair in part]
    named = said.get("subjectAltName") or subject  # a common name counts where there is no other
    names = [value for kind, value in named if kind in {"commonName", "DNS", "URI"}]
    thumbprint = base64.urlsafe_b64encode(sha256(der).digest()).rstrip(b"=").decode()
    return Certificate(thumbprint, frozenset(name.lower() for name in names))
