"""A demo behind nginx that ends TLS, on another origin than the one it listens on."""

import datetime
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from playwright.sync_api import Browser

from portal.cli.processes import Servers, free_ports
from tests.browser.demo import running
from tests.browser.walking import Person, chromium_or_skip
from tests.support import nginx

pytestmark = pytest.mark.browser
NAME = "localhost"


@dataclass(frozen=True)
class Front:
    """A demo and its public face."""

    demo: dict[str, Any]
    certificate: Path


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for this machine that nobody signed but itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    pem = serialization.Encoding.PEM
    paths[0].write_bytes(signed.public_bytes(pem))
    paths[1].write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    nginx.needed()
    certificate, key = self_signed(tmp_path)
    port, sandbox_port, tls, sandbox_tls = free_ports(4)
    words = {
        "PORTAL_NAME": NAME,
        "PORTAL_TLS_PORT": str(tls),
        "SANDBOX_NAME": NAME,
        "SANDBOX_TLS_PORT": str(sandbox_tls),
        "PORTAL_ADDRESS": f"127.0.0.1:{port}",
        "SANDBOX_ADDRESS": f"127.0.0.1:{sandbox_port}",
        "CERTIFICATE": str(certificate),
        "CERTIFICATE_KEY": str(key),
    }
    public = {
        "PORTAL_BASE_URL": f"https://{NAME}:{tls}",
        "SANDBOX_BASE_URL": f"https://{NAME}:{sandbox_tls}",
        "TRUSTED_PROXIES": "1",
    }
    http = f"access_log off; {nginx.filled('nginx-tls.conf', words)}"
    with (
        Servers(tmp_path / "logs") as servers,
        running(tmp_path, port, sandbox_port, **public) as demo,
    ):
        proxy = servers.start(nginx.server(tmp_path, "nginx", http))
        trust = ssl.create_default_context(cafile=str(certificate))
        servers.wait_until_answers(proxy, f"{public['PORTAL_BASE_URL']}/healthz", context=trust)
        yield Front(demo, certificate)


@pytest.fixture
def chromium() -> Iterator[Browser]:
    with chromium_or_skip() as browser:
        yield browser


@pytest.mark.parametrize("scripts", [True, False], ids=["with-scripts", "without-scripts"])
def test_a_demo_behind_tls_works_through_checkout_and_back(
    front: Front, chromium: Browser, scripts: bool
) -> None:
    assert front.demo["portal"].startswith(f"https://{NAME}:")
    assert front.demo["sandbox"].startswith(f"https://{NAME}:")
    # Nobody's list of authorities has this certificate; requests below checks it.
    context = chromium.new_context(ignore_https_errors=True, java_script_enabled=scripts)
    developer = Person(front.demo, context, "developer")
    developer.signs_in()
    (cookie,) = [found for found in context.cookies() if "portal" in str(found["name"])]
    assert cookie["secure"]
    assert cookie["httpOnly"]

    key = developer.makes_application("Rover")
    subscription = developer.subscribes("Rover", "Pay-as-you-go")
    developer.pays()
    assert developer.page.url.startswith(subscription)
    assert developer.calls(key, 2, verify=str(front.certificate)) == [200, 200]
    developer.opens_customer_portal(subscription)
    developer.page.get_by_role("link", name=re.compile("^Return")).click()
    developer.arrives(re.compile("Currency and Locale"))

    assert developer.page.url.startswith(subscription)
    assert developer.watch.complaints == []
