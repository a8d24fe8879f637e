"""Headers and cookies that hold for every answer."""

import structlog
from flask import Flask, Response, g, request
from flask_login import current_user
from flask_talisman import Talisman
from flask_wtf.csrf import CSRFError

from portal.config import Settings

log = structlog.get_logger()

#: Answers that are the same for everybody, and must not ask the database who it is.
_NOBODYS = ("static", "account.healthz")
_SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")
#: What programs call, which show a token, a key, a secret or a signature and never a cookie.
_PROGRAMS = ("oauth", "api", "gateway")
_CALLED = ("stripe.webhook",)


def init_app(app: Flask, settings: Settings) -> None:
    """Set a strict Content-Security-Policy and its companions on every answer."""
    https = settings.portal_base_url.startswith("https://")
    # Registered before Talisman's, and so run after it.
    app.after_request(_widen_form_action)
    app.before_request(_refuse_other_sites)
    Talisman(
        app,
        # The proxy in front redirects to https; doing it here would redirect /healthz too.
        force_https=False,
        strict_transport_security=https,
        strict_transport_security_max_age=31_536_000,
        session_cookie_secure=https,
        session_cookie_samesite="Lax",
        frame_options="DENY",
        referrer_policy="strict-origin-when-cross-origin",
        content_security_policy=policy(settings),
    )
    app.after_request(_no_store)


def _refuse_other_sites() -> None:
    """Refuse a form that another site sends, whatever token it carries.

    Browsers say where a request comes from; programs do not, and carry no cookie.
    """
    called = request.blueprint in _PROGRAMS and request.endpoint != "oauth.authorize"
    if request.method in _SAFE or called or request.endpoint in _CALLED:
        return
    if request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
        log.warning("other_site", path=request.path)
        raise CSRFError


def policy(settings: Settings) -> dict[str, str | list[str]]:
    """Return the Content-Security-Policy.

    ``form-action`` names the payment pages, because Chromium applies it to redirects after a
    form was sent: without them, Complete Payment would just stay on the page.
    """
    return {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": ["'self'", "data:"],
        "font-src": "'self'",
        "connect-src": "'self'",
        "manifest-src": "'self'",
        "object-src": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
        "form-action": ["'self'", *settings.payment_origins],
    }


def _widen_form_action(response: Response) -> Response:
    """Let a page's form lead to one more origin: the client that a consent page names."""
    also = g.pop("form_action_also", None)
    if also:
        name = "Content-Security-Policy"
        kept = response.headers[name]
        response.headers[name] = kept.replace("form-action ", f"form-action {also} ", 1)
    return response


def _no_store(response: Response) -> Response:
    """Keep pages of people who have signed in out of every cache."""
    response.headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    if request.endpoint in _NOBODYS or request.blueprint == "gateway":
        return response
    if response.status_code >= 500 or request.method != "GET" or current_user.is_authenticated:
        response.headers["Cache-Control"] = "no-store"
    response.headers.add("Vary", "Cookie")
    return response
