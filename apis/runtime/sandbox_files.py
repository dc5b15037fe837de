"""What a sandbox keeps under `$THROUGHLINE_HOME/sandboxes`: log, credentials, certificates."""

from __future__ import annotations

import fcntl
import ipaddress
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = timedelta(days=365)
TAIL = 65_536


class Log:
    """Two lines a request, each written through before anything else happens."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._encode = msgspec.json.Encoder().encode
        self.n = self._last_n()

    def write(self, line: dict[str, Any]) -> None:
        """One line, straight to the file: a killed sandbox has it on disk."""
        os.write(self._file, self._encode(line) + b"\n")

    def clear(self) -> None:
        """An empty log; numbers begin again."""
        os.ftruncate(self._file, 0)
        self.n = 0

    def _last_n(self) -> int:
        """Where a sandbox that was restarted goes on counting."""
        size = os.fstat(self._file).st_size
        lines = os.pread(self._file, TAIL, max(0, size - TAIL)).splitlines()
        numbers = [
            json.loads(line)["n"] for line in lines if line[:1] == b"{" and line[-1:] == b"}"
        ]
        return max(numbers, default=0)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)


def private_file(path: Path, content: bytes) -> None:
    """Write a file only we can read, whole or not at all."""
    part = path.with_suffix(path.suffix + f".{os.getpid()}")
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    part.replace(path)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Sandboxes of several vendors share the folder's files: one writer at a time."""
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def credentials(folder: Path, vendor: str, make: Callable[[], dict[str, str]]) -> dict[str, str]:
    """What this vendor's sandbox accepts; made once, kept beside the other vendors'."""
    path = folder / "credentials.json"
    with locked(folder):
        known: dict[str, dict[str, str]] = json.loads(path.read_bytes()) if path.exists() else {}
        if vendor not in known:
            known[vendor] = make()
            private_file(path, json.dumps(known, indent=2).encode())
    return known[vendor]


def certificate(folder: Path) -> tuple[Path, Path]:
    """Certificate and key for localhost, from the folder's own authority (`ca.pem`)."""
    ca_pem, server, key = (folder / name for name in ("ca.pem", "server.pem", "server.key"))
    with locked(folder):
        if not (ca_pem.exists() and server.exists() and key.exists()):
            _make_certificates(ca_pem, server, key)
    return server, key


def _make_certificates(ca_pem: Path, server: Path, key: Path) -> None:
    ca_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Throughline sandbox CA")])
    ca = (
        _certificate(authority, authority, ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    names: list[x509.GeneralName] = [
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    mine = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    leaf = (
        _certificate(subject, authority, server_key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(mine, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    clear = serialization.NoEncryption()
    private_file(key, server_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, clear))
    server.write_bytes(leaf.public_bytes(pem))
    ca_pem.write_bytes(ca.public_bytes(pem))


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)  # real time: TLS clients know no simulated clock
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
