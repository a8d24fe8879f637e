"""What the gateway passes on, both ways."""

import hashlib

from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from tests.functional.gateway.conftest import Caller, MakeCaller


def test_a_call_reaches_the_back_end_with_its_path_query_and_body(
    caller: Caller, backend: HTTPServer
) -> None:
    seen: list[Request] = []

    def answer(request: Request) -> Response:
        seen.append(request)
        return Response(request.get_data()[::-1], status=201, headers={"X-Answer": "yes"})

    backend.expect_request("/base/a%2Fb//c", method="POST").respond_with_handler(answer)
    backend.expect_request("/base/a/b//c", method="POST").respond_with_handler(answer)
    response = caller.call("/a%2Fb//c?x=1&x=2&y=%20", method="POST", data=b"abc")

    assert response.status_code == 201
    assert response.data == b"cba"
    assert response.headers["X-Answer"] == "yes"
    assert seen[0].environ["RAW_URI"] == "/base/a%2Fb//c?x=1&x=2&y=%20"


def test_every_method_goes_through(caller: Caller, backend: HTTPServer) -> None:
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        backend.expect_ordered_request("/base/m", method=method).respond_with_data(method)
        response = caller.call("/m", method=method)
        assert response.status_code == 200, method
        assert response.data == (b"" if method == "HEAD" else method.encode())
    assert len(caller.events()) == 7


def test_the_roots_of_an_api_are_told_apart(caller: Caller, backend: HTTPServer) -> None:
    backend.expect_request("/base").respond_with_data("bare")
    backend.expect_request("/base/").respond_with_data("slash")

    assert caller.call("").data == b"bare"
    assert caller.call("/").data == b"slash"


def test_key_cookies_and_hop_by_hop_fields_stay_here(caller: Caller, backend: HTTPServer) -> None:
    seen: list[Request] = []

    def answer(request: Request) -> Response:
        seen.append(request)
        return Response(
            "ok",
            headers={
                "Set-Cookie": "portal_session=stolen; Path=/",
                "Connection": "X-Private",
                "X-Private": "1",
                "Strict-Transport-Security": "max-age=0",
                "RateLimit": "the back end's own",
            },
        )

    backend.expect_request("/base/hello").respond_with_handler(answer)
    caller.client.set_cookie("portal_session", "secret")
    response = caller.call(
        headers={
            "Authorization": f"Bearer {caller.key}",
            "Connection": "keep-alive, X-Mine",
            "X-Mine": "1",
            "X-Forwarded-For": "6.6.6.6",
            "Forwarded": "for=6.6.6.6",
            "User-Agent": "tests/1",
            "Accept-Language": "ja",
        }
    )

    sent = seen[0].headers
    for name in ("Authorization", "ApiKey", "Cookie", "X-Mine", "Forwarded"):
        assert name not in sent, name
    assert caller.key not in str(sent)
    assert sent["X-Forwarded-For"] == "127.0.0.1"
    assert sent["X-Forwarded-Host"] == "127.0.0.1:8000"
    assert sent["X-Forwarded-Proto"] == "http"
    assert sent["X-Forwarded-Prefix"] == caller.api.gateway_path
    assert sent["User-Agent"] == "tests/1"
    assert sent["Accept-Language"] == "ja"
    assert sent["Host"] == f"127.0.0.1:{backend.port}"
    assert sent["X-Request-Id"] == response.headers["X-Request-Id"]
    for name in ("Set-Cookie", "X-Private", "Strict-Transport-Security"):
        assert name not in response.headers, name
    assert "own" not in response.headers["RateLimit"]


def test_another_authorization_of_the_back_end_is_passed_on(
    caller: Caller, backend: HTTPServer
) -> None:
    seen: list[Request] = []

    def answer(request: Request) -> Response:
        seen.append(request)
        return Response("ok")

    backend.expect_request("/base/hello").respond_with_handler(answer)
    caller.call(headers={"ApiKey": caller.key, "Authorization": "Basic Zm9vOmJhcg=="})

    assert seen[0].headers["Authorization"] == "Basic Zm9vOmJhcg=="


def test_a_long_answer_and_a_compressed_one_arrive_as_they_are(
    caller: Caller, backend: HTTPServer
) -> None:
    body = bytes(range(256)) * 8192
    backend.expect_request("/base/long").respond_with_data(body)
    backend.expect_request("/base/gzip").respond_with_data(
        b"\x1f\x8b-not-really", headers={"Content-Encoding": "gzip"}
    )

    response = caller.call("/long")
    assert hashlib.sha256(response.data).digest() == hashlib.sha256(body).digest()
    assert response.content_length == len(body)
    assert caller.call("/gzip").data == b"\x1f\x8b-not-really"


def test_redirects_are_handed_back_and_not_followed(caller: Caller, backend: HTTPServer) -> None:
    backend.expect_request("/base/old").respond_with_data(
        "", status=302, headers={"Location": backend.url_for("/base/new?x=1")}
    )
    backend.expect_request("/base/out").respond_with_data(
        "", status=307, headers={"Location": "http://169.254.169.254/latest"}
    )

    moved = caller.call("/old")
    assert moved.status_code == 302
    assert moved.headers["Location"] == (f"http://127.0.0.1:8000{caller.api.gateway_path}/new?x=1")
    assert caller.call("/out").headers["Location"] == "http://169.254.169.254/latest"
    assert len(backend.log) == 2


def test_sandbox_keys_go_to_the_sandbox_back_end(
    make_caller: MakeCaller, backend: HTTPServer
) -> None:
    caller = make_caller(api={"sandbox_endpoint_url": backend.url_for("/sandbox")})
    backend.expect_request("/base/hello").respond_with_data("production")
    backend.expect_request("/sandbox/hello").respond_with_data("sandbox")

    assert caller.call().data == b"production"
    assert caller.call(headers={"ApiKey": caller.sandbox_key}).data == b"sandbox"


def test_a_tenants_api_is_called_at_its_own_address(
    make_caller: MakeCaller, backend: HTTPServer, factories
) -> None:
    other = factories.tenant("other.example")
    caller = make_caller(api={"provider": factories.user(None, "publisher", tenant=other)})
    backend.expect_request("/base/hello").respond_with_data("ok")

    assert caller.api.gateway_path.startswith("/gateway/t/other.example/")
    assert caller.call().data == b"ok"
    here = caller.client.get(
        f"/gateway/{caller.api.context}/1.0/hello", headers={"ApiKey": caller.key}
    )
    assert here.status_code == 404
