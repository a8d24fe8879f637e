"""A program that calls the REST API with a token of somebody."""

import secrets
from datetime import timedelta
from typing import Any

from flask import Flask

from portal import clock
from portal.extensions import db
from portal.models import OAuthClient, OAuthToken, User
from portal.services import tokens
from portal.services.scopes import SCOPES


def token_of(user: User, *scopes: str) -> str:
    """Return an access token of a person, with these scopes or with all that the roles admit."""
    wanted = scopes or tuple(
        name for name, scope in SCOPES.items() if not scope.roles or scope.roles & user.roles
    )
    client = db.session.query(OAuthClient).filter_by(tenant_id=user.tenant_id).first()
    if client is None:
        client = OAuthClient(
            client_id=secrets.token_urlsafe(12),
            client_secret_hash="none",
            tenant_id=user.tenant_id,
            owner_id=user.user_id,
            client_name="tests",
        )
        db.session.add(client)
        db.session.flush()
    text = secrets.token_urlsafe(24)
    row = OAuthToken(
        oauth_client_id=client.oauth_client_id,
        user_id=user.user_id,
        access_token_hash=tokens.digest(text),
        scope=" ".join(wanted),
        expires_at=clock.now() + timedelta(hours=1),
    )
    db.session.add(row)
    db.session.commit()
    return text


class Rest:
    """Calls below one base path with one token."""

    def __init__(self, app: Flask, user: User, base: str, *scopes: str) -> None:
        self._client = app.test_client()
        self._base = f"/api/am/{base}"
        self._headers = {"Authorization": f"Bearer {token_of(user, *scopes)}"}

    def __call__(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """Send a request and return the answer; headers are added to the token."""
        headers = {**self._headers, **more.pop("headers", {})}
        if body is not None:
            more["json"] = body
        return self._client.open(self._base + path, method=method, headers=headers, **more)

    def get(self, path: str, **more: Any) -> Any:
        """GET."""
        return self("GET", path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> Any:
        """POST."""
        return self("POST", path, body, **more)

    def put(self, path: str, body: Any, match: str | None = "*", **more: Any) -> Any:
        """PUT with If-Match."""
        headers = {"If-Match": match} if match else {}
        return self("PUT", path, body, headers=headers, **more)

    def delete(self, path: str, **more: Any) -> Any:
        """DELETE."""
        return self("DELETE", path, **more)
