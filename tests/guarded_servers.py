"""Redis servers with users or TLS, and certificates of a test CA: what production has and other tests need not."""

import ipaddress
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from engine.embedded.binaries import ServerProgram
from engine.embedded.folders import socket_folder

START_TIMEOUT_S = 20


@contextmanager
def run_redis(program: ServerProgram, folder: Path, *options: str) -> Iterator[Path]:
    """Run a server for the length of a block; gives the path of its socket."""
    folder.mkdir()
    path = socket_folder(folder) / "redis.sock"
    command = [program.path, "--port", "0", "--unixsocket", path, "--dir", folder, "--save", "", *options]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*map(str, command), "--maxmemory-policy", "noeviction"], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _answers(path):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.01)
        yield path
    finally:
        process.kill()
        process.wait()


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
            client.sendall(b"PING\r\n")
            return client.recv(64).startswith(b"+PONG")
        except OSError:
            return False


class Authority:
    """A certificate authority; `ca` is the path of its own certificate."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir()
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.ca = self._write("ca.pem", self._sign(self._name, self._key, [x509.BasicConstraints(True, None)]))

    def issue(self, host: str) -> tuple[Path, Path]:
        """Give the paths of a certificate for a host name or address, and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        try:
            named: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            named = x509.DNSName(host)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        signed = self._sign(name, key, [x509.SubjectAlternativeName([named])])
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path = self._folder / f"{host}.key"
        path.write_bytes(private)
        path.chmod(0o600)
        return self._write(f"{host}.pem", signed), path

    def _sign(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, more: list) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
        )
        for extension in more:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(self._key, hashes.SHA256())

    def _write(self, name: str, certificate: x509.Certificate) -> Path:
        path = self._folder / name
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return path
