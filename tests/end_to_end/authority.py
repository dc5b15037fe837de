"""A certificate authority of a test: who we are, who may come in, and who no longer may."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PEM = serialization.Encoding.PEM
DAY = timedelta(days=1)


class Authority:
    """Signs certificates and says which are revoked, in files of one folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder / name
        self.folder.mkdir()
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = named(name)
        self.certificate = self.folder / "ca.pem"
        self.crl = self.folder / "crl.pem"
        own = built(self._name, self._name, self._key.public_key())
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.certificate.write_bytes(own.sign(self._key, hashes.SHA256()).public_bytes(PEM))
        self.revokes()

    def signs(self, name: str, *, file: str = "", until: timedelta = DAY) -> tuple[Path, Path]:
        """A certificate for a name, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName(name), x509.IPAddress(ip_address("127.0.0.1"))]
        made = (
            built(named(name), self._name, key.public_key(), until)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        certificate = self.folder / f"{file or name}.pem"
        private = self.folder / f"{file or name}.key"
        written(certificate, made.public_bytes(PEM))
        form = serialization.PrivateFormat.PKCS8
        written(private, key.private_bytes(PEM, form, serialization.NoEncryption()))
        return certificate, private

    def revokes(self, *certificates: Path) -> None:
        """The list of revoked certificates, written anew."""
        now = datetime.now(UTC)
        revoked = x509.CertificateRevocationListBuilder().issuer_name(self._name)
        revoked = revoked.last_update(now - DAY).next_update(now + DAY)
        for path in certificates:
            serial = x509.load_pem_x509_certificate(path.read_bytes()).serial_number
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now)
            revoked = revoked.add_revoked_certificate(entry.build())
        written(self.crl, revoked.sign(self._key, hashes.SHA256()).public_bytes(PEM))


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def built(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, until: timedelta = DAY
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 2 * DAY)
        .not_valid_after(now + until)
    )


def written(path: Path, content: bytes) -> None:
    """Put a file in its place at once, for our eyes only."""
    draft = path.with_suffix(".new")
    draft.write_bytes(content)
    draft.chmod(0o600)
    draft.replace(path)
