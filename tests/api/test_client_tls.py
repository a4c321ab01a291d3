"""A certificate of one's own: the client trusts what SSL_CERT_FILE names, on this machine as elsewhere."""

from __future__ import annotations

import datetime
import ipaddress
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fault_rig import until

from api.app import create_app
from api.http_guard import GuardedProtocol
from api.settings import ServiceSettings
from asic_reservoir.client import Client, _requests
from asic_reservoir.errors import ServerError


def certify(folder: Path) -> tuple[str, str]:
    """A key and a certificate of localhost that it signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(secret)
    return str(folder / "cert.pem"), str(folder / "key.pem")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Address and certificate."""
    certificate, key = certify(tmp_path)
    app = create_app(ServiceSettings(f"sqlite:///{tmp_path}/facts.db", tmp_path, workers=False))
    config = uvicorn.Config(
        app, port=0, log_level="critical", ssl_certfile=certificate, ssl_keyfile=key, http=GuardedProtocol
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started, "the server started")
    yield f"https://localhost:{server.servers[0].sockets[0].getsockname()[1]}", certificate
    server.should_exit = True
    thread.join(30)


def test_who_is_named_is_trusted(service: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    url, certificate = service
    monkeypatch.setattr(_requests, "FIRST_WAIT_S", 0.0)
    with Client(url) as client, pytest.raises(ServerError, match="certificate"):
        client.boards()
    monkeypatch.setenv("SSL_CERT_FILE", certificate)
    with Client(url) as client:
        assert client.boards() == []
