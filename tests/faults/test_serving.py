# SPDX-License-Identifier: Apache-2.0
"""A served application as a process: SIGTERM lets it finish, HTTPS where it has a certificate, logs are JSON."""

from __future__ import annotations

import datetime
import json
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from consentum.errors import SettingsError
from consentum.settings import KeyServerSettings

pytestmark = pytest.mark.processes

PROGRAM = """
import json, sys, time
from consentum.services.http import new_app
from consentum.services.serve import serve
from consentum.settings import KeyServerSettings
app = new_app("a test", 1_000)

@app.get("/slow")
def slow():
    print("begun", flush=True)
    time.sleep(1)
    return {"done": True}

serve(app, KeyServerSettings(**json.loads(sys.argv[1])))
"""


def settings(**more: object) -> dict[str, object]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return {"rpc": "http://127.0.0.1:1", "deployment": "x", "port": port, "endpoint": "http://localhost", **more}


def served(given: dict[str, object]) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, json.dumps(given)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def asked(url: str, verify: ssl.SSLContext | bool = True) -> httpx.Response:
    """Asks until somebody answers."""
    until = time.monotonic() + 60
    while True:
        try:
            return httpx.get(url, verify=verify, trust_env=False, timeout=20)
        except httpx.ConnectError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, now, now + datetime.timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
    made = builder.add_extension(x509.BasicConstraints(True, None), True).sign(key, hashes.SHA256())
    paths = (tmp_path / "certificate.pem", tmp_path / "key.pem")
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    kind = serialization.PrivateFormat.PKCS8
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption()))
    return paths


def test_sigterm_lets_it_finish_what_it_is_answering(tmp_path: Path) -> None:
    given = settings()
    process = served(given)
    try:
        base = f"http://127.0.0.1:{given['port']}"
        asked(f"{base}/nowhere")
        found: list[httpx.Response] = []
        asking = threading.Thread(target=lambda: found.append(asked(f"{base}/slow")))
        asking.start()
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGTERM)
        asking.join(timeout=20)
        assert [(answer.status_code, answer.json()) for answer in found] == [(200, {"done": True})]
        process.wait(timeout=20)
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{base}/slow", trust_env=False)
        assert process.stderr is not None
        lines = [json.loads(line) for line in process.stderr.read().splitlines()]
        assert [line["route"] for line in lines if line["message"] == "answered"] == ["(none)", "/slow"]
    finally:
        process.kill()
        process.wait()


def test_with_a_certificate_it_speaks_https_alone(certificate: tuple[Path, Path]) -> None:
    given = settings(tls_certificate=str(certificate[0]), tls_key=str(certificate[1]))
    process = served(given)
    try:
        context = ssl.create_default_context(cafile=str(certificate[0]))
        assert asked(f"https://localhost:{given['port']}/metrics", context).status_code == 200
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://localhost:{given['port']}/metrics", trust_env=False)
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"tls_certificate": "pyproject.toml"}, "tls_key"),
        ({"tls_key": "pyproject.toml"}, "tls_certificate"),
        ({"tls_certificate": "no such file", "tls_key": "pyproject.toml"}, "tls_certificate"),
        ({"trusted_proxies": ("everybody",)}, "trusted_proxies"),
        ({"peers": ("localhost:1",)}, "peers"),
        ({"notice_fetch_seconds": 0}, "notice_fetch_seconds"),
    ],
)
def test_settings_that_cannot_work_are_refused(change: dict[str, object], field: str) -> None:
    with pytest.raises(SettingsError) as caught:
        KeyServerSettings(**settings(**change)).validate()  # type: ignore[arg-type]
    assert caught.value.field == field
