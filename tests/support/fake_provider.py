"""An OpenID provider that can be told to lie, one thing at a time."""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from werkzeug import Request, Response
from werkzeug.serving import WSGIRequestHandler, make_server

CLIENT, SECRET = "the portal", "its secret"
_KEY = RSAKey.generate_key(2048, auto_kid=True)
_OTHER = RSAKey.generate_key(2048, auto_kid=True)


class Quiet(WSGIRequestHandler):
    """Prints no line for each request."""

    def log(self, *_args: object) -> None:
        """Print nothing."""


class FakeProvider:
    """Answers as OpenID Connect has it, except for what a test changes."""

    def __init__(self) -> None:
        self.issuer = ""
        self.claims: dict[str, Any] = {"sub": "248289761001", "preferred_username": "jane"}
        self.metadata: dict[str, Any] = {}
        self.signing, self.published, self.algorithm = _KEY, [_KEY], "RS256"
        self.asked: list[str] = []
        self._codes: dict[str, dict[str, str]] = {}

    def rotate(self) -> None:
        """Sign with another key, published from now on."""
        self.signing, self.published = _OTHER, [_OTHER]

    def forge(self) -> None:
        """Sign with a key of one's own under the published key's name."""
        self.signing = RSAKey.import_key(_OTHER.as_dict(private=True) | {"kid": _KEY.kid})

    def agree(self, address: str, **changed: Any) -> str:
        """Let the person agree; return where the browser is sent back to, without the origin."""
        asked = dict(parse_qsl(urlsplit(address).query))
        code = secrets.token_urlsafe(8)
        self._codes[code] = asked
        back = {"code": code, "state": asked["state"], "iss": self.issuer} | changed
        query = urlencode({name: value for name, value in back.items() if value is not None})
        return f"{urlsplit(asked['redirect_uri']).path}?{query}"

    def __call__(self, environ: Any, start: Any) -> Any:
        """Answer a request."""
        request = Request(environ)
        self.asked.append(request.path)
        body = {
            "/.well-known/openid-configuration": self._discovery,
            "/keys": lambda _: {"keys": [key.as_dict(private=False) for key in self.published]},
            "/token": self._token,
        }.get(request.path, lambda _: None)(request)
        status = 404 if body is None else 400 if "error" in body else 200
        return Response(json.dumps(body), status, mimetype="application/json")(environ, start)

    def _discovery(self, _request: Request) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "end_session_endpoint": f"{self.issuer}/end",
            "authorization_response_iss_parameter_supported": True,
        } | self.metadata

    def _token(self, request: Request) -> dict[str, Any]:
        asked = self._codes.pop(request.form.get("code", ""), None)
        shown = base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode()
        verifier = request.form.get("code_verifier", "").encode()
        hashed = base64.urlsafe_b64encode(hashlib.sha256(verifier).digest()).rstrip(b"=").decode()
        if asked is None or hashed != asked["code_challenge"]:
            return {"error": "invalid_grant"}
        if shown != "the%20portal:its%20secret" or asked["redirect_uri"] != request.form.get(
            "redirect_uri"
        ):
            return {"error": "invalid_client"}
        return {
            "access_token": "one",
            "token_type": "Bearer",
            "id_token": self.id_token(asked["nonce"]),
        }

    def id_token(self, nonce: str) -> str:
        """Return an id token, right but for what was changed."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT,
            "iat": now,
            "exp": now + 300,
            "nonce": nonce,
        } | self.claims
        claims = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": self.algorithm, "kid": self.signing.kid}
        if self.algorithm == "none":
            parts = [
                base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
                for part in (header, claims)
            ]
            return f"{parts[0]}.{parts[1]}."
        key = OctKey.import_key(SECRET * 4) if self.algorithm == "HS256" else self.signing
        return jwt.encode(header, claims, key, algorithms=["RS256", "HS256"])


@contextmanager
def running() -> Iterator[FakeProvider]:
    """A provider behind a socket."""
    provider = FakeProvider()
    server = make_server("127.0.0.1", 0, provider, threaded=True, request_handler=Quiet)
    provider.issuer = f"http://127.0.0.1:{server.port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
