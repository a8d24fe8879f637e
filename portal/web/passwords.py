"""The one way in which a password is tried: slowed down, and noted in the log.

Signing in, the password grant, Basic and the page that asks for a confirmation all come here.
"""

import re
import secrets

import structlog
from flask import Flask, Response, current_app, g, request

from portal.errors import TooManyTries
from portal.models import User
from portal.models.user import ADMIN
from portal.services import accounts, identity_providers, sign_in_guard
from portal.services.sign_in_guard import Place
from portal.web.unit_of_work import in_unit_of_work

log = structlog.get_logger()

_SHAPE = re.compile(r"[A-Za-z0-9_-]{22}")
_DAYS = 180


def init_app(app: Flask) -> None:
    """Let browsers at which somebody has signed in be known again."""
    app.after_request(_remember_browser)


def may_use_password(user: User) -> bool:
    """Whether a password is enough: not where the tenant has its own identity provider.

    Administrators keep theirs, so that wrong settings of the provider can be mended.
    """
    return user.has_role(ADMIN) or identity_providers.enabled_for(user.tenant_domain) is None


def check(name: str, password: str, *, remember: bool = False) -> User | None:
    """Return the person if the password is right and lets them in, else ``None``.

    Counts the try before it looks; must not be called in a unit of work.

    :param remember: let this browser be known from now on, so that what strangers do does not
        lock it

    :raise portal.errors.TooManyTries: if it failed too often; the password was not looked at
    """
    place = Place(address=request.remote_addr or "", device=_device())
    account = sign_in_guard.account_key(name)[:16]
    try:
        counted = in_unit_of_work(lambda: sign_in_guard.count(name, place))
    except TooManyTries as error:
        log.warning("sign_in_locked", account=account, address=place.address, wait=error.seconds)
        raise
    user = accounts.authenticate(name, password)
    if user is None or not may_use_password(user):
        log.warning("sign_in_failed", account=account, address=place.address)
        return None
    if remember and not place.device:
        g.new_device = secrets.token_urlsafe(16)
        place = Place(address=place.address, device=g.new_device)
    in_unit_of_work(lambda: sign_in_guard.succeeded(name, place, counted))
    log.info("sign_in_proved", person=user.uuid, address=place.address, path=request.path)
    return user


def _device() -> str:
    found = request.cookies.get(_cookie_name(), "")
    return found if _SHAPE.fullmatch(found) else ""


def _cookie_name() -> str:
    secure = current_app.config["SESSION_COOKIE_SECURE"]
    return "__Host-browser" if secure else "portal_browser"


def _remember_browser(response: Response) -> Response:
    made = g.pop("new_device", None)
    if made:
        response.set_cookie(
            _cookie_name(),
            made,
            max_age=_DAYS * 86_400,
            secure=current_app.config["SESSION_COOKIE_SECURE"],
            httponly=True,
            samesite="Lax",
        )
    return response
