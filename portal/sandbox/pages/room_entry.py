"""Who may enter the control room: this machine, with the admin token, from its own pages."""

from __future__ import annotations

import hmac
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, make_response, render_template, request, url_for
from itsdangerous import BadData, URLSafeTimedSerializer
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as Answer

from portal.sandbox.control import is_local
from portal.sandbox.pages.jsonview import address
from portal.sandbox.pages.web import TEMPLATES, now, secure, see_other
from portal.sandbox.service import current

blueprint = Blueprint("room", __name__, url_prefix="/_sandbox", template_folder=TEMPLATES)

# Cookies don't tell ports apart: a name of its own keeps clear of the portal's session.
COOKIE = "sandbox_room"
_HOURS = 12 * 3600
_OPEN = ("room.sign_in_page", "room.sign_in")


def page(template: str, status: int = 200, **values: Any) -> Response:
    """Return a page of the control room."""
    body = render_template(f"room/{template}", address=address, now=now(), **values)
    return make_response(body, status)


def _signer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(current().settings.admin_token, salt="control-room")


def signed_in() -> bool:
    """Tell whether the request carries a cookie that this sandbox gave out."""
    try:
        return bool(_signer().loads(request.cookies.get(COOKIE, ""), max_age=_HOURS) == "in")
    except BadData:
        return False


def _own_page() -> bool:
    """Tell whether a form was sent by one of our pages; SameSite doesn't tell ports apart."""
    sender = urlsplit(request.headers.get("Origin") or request.headers.get("Referer") or "").netloc
    return sender in (request.host, urlsplit(current().settings.base_url).netloc)


@blueprint.before_request
def _guard() -> Answer | None:
    sandbox = current()
    if not sandbox.settings.allow_remote and not is_local(request.remote_addr):
        return _say("This machine only", "The control room answers on the sandbox's machine.", 403)
    if request.method == "POST" and not _own_page():
        return _say("Press the button here", "This form was not sent by the control room.", 403)
    if request.endpoint in _OPEN or signed_in():
        return None
    return see_other(url_for("room.sign_in_page"))


blueprint.after_request(secure)


def _say(title: str, text: str, status: int) -> Response:
    return make_response(render_template("room/message.html", title=title, text=text), status)


@blueprint.errorhandler(HTTPException)
def _refused(error: HTTPException) -> Response:
    title = {404: "There is nothing here"}.get(error.code or 500, "That did not work")
    return _say(title, error.description or "Go back and try again.", error.code or 500)


@blueprint.get("/sign-in")
def sign_in_page() -> Response:
    """Ask for the admin token."""
    return make_response(render_template("room/sign_in.html", wrong=False))


@blueprint.post("/sign-in")
def sign_in() -> Answer:
    """Give a cookie to whoever knows the admin token."""
    token = request.form.get("token", "").strip()
    if not hmac.compare_digest(token.encode(), current().settings.admin_token.encode()):
        return make_response(render_template("room/sign_in.html", wrong=True), 403)
    answer = see_other(url_for("room.overview"))
    answer.set_cookie(
        COOKIE,
        str(_signer().dumps("in")),
        max_age=_HOURS,
        path="/_sandbox",
        httponly=True,
        samesite="Strict",
        secure=request.is_secure,
    )
    return answer


@blueprint.post("/sign-out")
def sign_out() -> Answer:
    """Take the cookie back."""
    answer = see_other(url_for("room.sign_in_page"))
    answer.delete_cookie(COOKIE, path="/_sandbox")
    return answer
