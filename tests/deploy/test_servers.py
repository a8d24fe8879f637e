"""gunicorn and nginx with the settings of deploy/, in front of the demo's back end."""

import datetime
import http.client
import re
import ssl
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from portal.cli.processes import Child, Servers, free_ports
from tests.support import nginx
from tests.support.nginx import DEPLOY

ECHO = """
import json
def app(environ, start_response):
    status = "403 No" if environ["PATH_INFO"].endswith("/refused") else "200 OK"
    start_response(status, [("Content-Type", "application/json")])
    keys = [key for key in environ if key.startswith("HTTP_")] + ["wsgi.url_scheme"]
    return [json.dumps({key: environ[key] for key in keys}).encode()]
"""


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    (tmp_path / "echo.py").write_text(ECHO)
    with Servers(tmp_path / "logs") as servers:
        yield servers


def configured_gunicorn(tmp_path: Path, port: int, **env: str) -> Child:
    command = [sys.executable, "-m", "gunicorn", "-c", str(DEPLOY / "gunicorn.conf.py"), "echo:app"]
    settings = {"PORTAL_BIND": f"127.0.0.1:{port}", "WEB_CONCURRENCY": "1"}
    return Child("web", command, {"PYTHONPATH": str(tmp_path), **settings, **env})


def asked(url: str, *, context: ssl.SSLContext | None = None, **headers: str) -> str:
    request = urllib.request.Request(url, headers=headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=10, context=context) as answer:  # noqa: S310
        return str(answer.read().decode())


@pytest.mark.parametrize(("proxies", "scheme"), [("0", "http"), ("1", "https")])
def test_gunicorn_believes_a_proxy_only_if_there_is_one(
    servers: Servers, tmp_path: Path, proxies: str, scheme: str
) -> None:
    (port,) = free_ports(1)
    web = servers.start(configured_gunicorn(tmp_path, port, TRUSTED_PROXIES=proxies))
    servers.wait_until_answers(web, f"http://127.0.0.1:{port}/")
    answer = asked(f"http://127.0.0.1:{port}/", **{"X-Forwarded-Proto": "https"})
    assert f'"wsgi.url_scheme": "{scheme}"' in answer


def test_gunicorn_logs_paths_without_their_queries(servers: Servers, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    web = servers.start(configured_gunicorn(tmp_path, port))
    servers.wait_until_answers(web, f"http://127.0.0.1:{port}/")
    asked(f"http://127.0.0.1:{port}/oauth2/authorize?code=s3cret")
    servers.stop()
    log = web.log.read_text()
    assert '"GET /oauth2/authorize" 200' in log
    assert "s3cret" not in log


def test_gunicorn_leaves_the_log_of_calls_to_the_gateway_that_asked(
    servers: Servers, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    web = servers.start(configured_gunicorn(tmp_path, port))
    servers.wait_until_answers(web, f"http://127.0.0.1:{port}/")
    asked(f"http://127.0.0.1:{port}/gateway/authorize?meter=log")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        asked(f"http://127.0.0.1:{port}/gateway/authorize/refused")
    asked(f"http://127.0.0.1:{port}/gateway/authorizer/1.0")
    servers.stop()
    lines = [line for line in web.log.read_text().splitlines() if "/gateway/" in line]
    told = ["/gateway/authorize/refused", "/gateway/authorizer/1.0"]
    assert [path in line for path, line in zip(told, lines, strict=True)] == [True, True]


def test_gunicorn_answers_and_logs_what_it_cannot_read(servers: Servers, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    web = servers.start(configured_gunicorn(tmp_path, port))
    servers.wait_until_answers(web, f"http://127.0.0.1:{port}/")
    with pytest.raises(urllib.error.HTTPError, match="400"):
        asked(f"http://127.0.0.1:{port}/", **{"Content-Length": "abc"})
    servers.stop()
    assert re.search(r'" 400 ', web.log.read_text())


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A key and a certificate for localhost that nobody signed but itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    today = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = tmp_path / "certificate.pem", tmp_path / "key.pem"
    files[0].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


def test_nginx_ends_tls_and_tells_only_the_truth_about_the_client(
    servers: Servers, tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    web_port, tls, sandbox_tls = free_ports(3)
    web = servers.start(configured_gunicorn(tmp_path, web_port, TRUSTED_PROXIES="1"))
    servers.wait_until_answers(web, f"http://127.0.0.1:{web_port}/")
    words = {
        "PORTAL_NAME": "localhost",
        "PORTAL_TLS_PORT": str(tls),
        "SANDBOX_NAME": "localhost",
        "SANDBOX_TLS_PORT": str(sandbox_tls),
        "PORTAL_ADDRESS": f"127.0.0.1:{web_port}",
        "SANDBOX_ADDRESS": f"127.0.0.1:{web_port}",
        "CERTIFICATE": str(certificate[0]),
        "CERTIFICATE_KEY": str(certificate[1]),
    }
    nginx.needed()
    tls_conf = nginx.filled("nginx-tls.conf", words)
    front = servers.start(nginx.server(tmp_path, "nginx", f"access_log off; {tls_conf}"))
    context = ssl.create_default_context(cafile=str(certificate[0]))
    servers.wait_until_answers(front, f"https://localhost:{tls}/", context=context)
    forged = {
        "X-Forwarded-For": "203.0.113.9",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Prefix": "/evil",
        "Forwarded": "for=203.0.113.9",
    }
    for port in (tls, sandbox_tls):
        answer = asked(f"https://localhost:{port}/any", context=context, **forged)
        assert '"wsgi.url_scheme": "https"' in answer
        assert f'"HTTP_X_FORWARDED_HOST": "localhost:{port}"' in answer
        assert '"HTTP_X_FORWARDED_FOR": "127.0.0.1"' in answer
        assert "evil" not in answer
        assert "203.0.113.9" not in answer
    # This machine may read the metrics and ask for decisions; the rest of the world may not.
    shut = ["/metrics", "/gateway/authorize", "/gateway/authorize/w/1"]
    for path in [*shut, "/gateway/authorizer/1"]:
        assert asked(f"https://localhost:{tls}{path}", context=context)
        elsewhere = http.client.HTTPSConnection(
            "localhost", tls, source_address=("127.0.0.2", 0), context=context, timeout=10
        )
        elsewhere.request("GET", path)
        assert elsewhere.getresponse().status == (403 if path in shut else 200)
        elsewhere.close()
