"""Who may call a view. Every view carries exactly one of these decorators; a test holds it."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast
from urllib.parse import quote, urlsplit

from flask import abort, g, jsonify, redirect, request, url_for
from flask_login import current_user
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Unauthorized
from werkzeug.wrappers import Response

from portal.errors import NotAllowed
from portal.extensions import csrf
from portal.models.user import ADMIN, PUBLISHER, SUBSCRIBER, User
from portal.services import tokens
from portal.web import passwords

P = ParamSpec("P")
R = TypeVar("R")
View = Callable[P, R]


def _mark(view: Any, rule: str) -> Any:
    view.access = rule
    return view


def public(view: View[P, R]) -> View[P, R]:
    """Anybody may call, also without signing in."""
    return cast("View[P, R]", _mark(view, "public"))


def signed_by_engine(view: View[P, R]) -> View[P, R]:
    """The billing engine calls; the view itself verifies the signature."""
    return cast("View[P, R]", _mark(view, "signed"))


def with_key(view: View[P, R]) -> View[P, R]:
    """A program calls with an application's key; the view itself checks it."""
    return cast("View[P, R]", _mark(view, "key"))


def signed_in(view: View[P, R]) -> View[P, Any]:
    """Any person who has signed in."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
        return view(*args, **kwargs) if current_user.is_authenticated else to_sign_in()

    return cast("View[P, Any]", _mark(guarded, "signed_in"))


def role(*wanted: str) -> Callable[[View[P, R]], View[P, Any]]:
    """Only people who have one of these roles. Others are told so; visitors go to sign-in."""

    def decorate(view: View[P, R]) -> View[P, Any]:
        @wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
            if not current_user.is_authenticated:
                return to_sign_in()
            if not current_user.roles & set(wanted):
                raise NotAllowed(
                    f"This page is for the role {' or '.join(wanted)}. "
                    "Sign in with another account, or ask your administrator."
                )
            _acting(me(), "page")
            return view(*args, **kwargs)

        return cast("View[P, Any]", _mark(guarded, "role:" + ",".join(sorted(wanted))))

    return decorate


def only_reads(view: View[P, R]) -> View[P, R]:
    """Nothing is written while this view runs: what it asks needs no transaction around it.

    Stands below the decorator that says who may call.
    """
    view.only_reads = True  # type: ignore[attr-defined]
    return view


admin_only = role(ADMIN)
publisher_only = role(PUBLISHER, ADMIN)
subscriber_only = role(SUBSCRIBER, PUBLISHER, ADMIN)


def scope(*wanted: str) -> Callable[[View[P, R]], View[P, Any]]:
    """Only programs with a bearer token that carries one of these scopes."""

    def decorate(view: View[P, R]) -> View[P, Any]:
        @wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
            scheme, _, value = request.headers.get("Authorization", "").partition(" ")
            token = tokens.find(value.strip()) if scheme.lower() == "bearer" else None
            if token is None:
                raise Unauthorized(www_authenticate=WWWAuthenticate("bearer"))
            if not set(token.scope.split()) & set(wanted):
                raise NotAllowed(f"The token lacks the scope {' or '.join(wanted)}.", code=900910)
            g.bearer, g.bearer_scope = token.user, token.scope
            _acting(bearer(), token.client.client_name)
            return view(*args, **kwargs)

        return cast("View[P, Any]", _mark(guarded, "scope:" + ",".join(sorted(wanted))))

    return decorate


def bearer() -> User:
    """Return whose token the request carries; views behind a scope may rely on it."""
    return cast("User", g.bearer)


def bearer_scope() -> str:
    """Return the scopes of the request's token, space separated."""
    return cast("str", g.bearer_scope)


def basic_admin(view: View[P, R]) -> View[P, Any]:
    """Only an administrator who sends name and password with the request (Basic)."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
        user = _by_basic()
        if user is None or not user.has_role(ADMIN):
            refusal = jsonify({"error": "Send an administrator's name and password (Basic)."})
            refusal.headers["WWW-Authenticate"] = 'Basic realm="portal"'
            return refusal, 401
        g.basic_user = user
        _acting(user, "password")
        return view(*args, **kwargs)

    return cast("View[P, Any]", _mark(guarded, "basic:admin"))


def basic_user() -> User:
    """Return who sent name and password; views behind :func:`basic_admin` may rely on it."""
    return cast("User", g.basic_user)


def admin_session_or_basic(view: View[P, R]) -> View[P, Any]:
    """An administrator at a browser, or one who sends name and password; others get JSON.

    A browser's request that changes something must carry the form token.
    """

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
        at_browser = request.authorization is None and current_user.is_authenticated
        user = me() if at_browser else _by_basic()
        if user is None:
            refusal = jsonify({"error": "Sign in as an administrator first."})
            refusal.headers["WWW-Authenticate"] = 'Basic realm="portal"'
            return refusal, 401
        if not user.has_role(ADMIN):
            return jsonify({"error": "Only an administrator may do this."}), 403
        if at_browser and request.method not in ("GET", "HEAD"):
            csrf.protect()
        g.basic_user = user
        _acting(user, "page" if at_browser else "password")
        return view(*args, **kwargs)

    return cast("View[P, Any]", _mark(guarded, "admin_or_basic"))


def _acting(user: User, via: str) -> None:
    """Keep who acts, in plain values, for ``web/audit.py``: rows may expire meanwhile."""
    g.acting = (user.user_id, user.tenant_id, user.qualified_name, via)


def _by_basic() -> User | None:
    given = request.authorization
    if given is None or given.type != "basic" or not given.username:
        return None
    return passwords.check(given.username, given.password or "")


def me() -> User:
    """Return the person who has signed in; views behind a role may rely on it."""
    if not current_user.is_authenticated:
        abort(401)
    return cast("User", current_user._get_current_object())  # noqa: SLF001 - werkzeug's own way


def to_sign_in() -> Response:
    """Send a visitor to sign-in, and back to this page afterwards."""
    if request.method == "GET":
        here = request.full_path if request.query_string else request.path
        target = f"{url_for('account.sign_in')}?next={quote(here, safe='')}"
        if "HX-Request" in request.headers:
            # Part of a page was asked for: the whole page must go to sign-in, not that part.
            return Response(status=401, headers={"HX-Redirect": url_for("account.sign_in")})
        return redirect(_by_own_server(here) or target, 303)
    return redirect(url_for("account.sign_in"), 303)


def _by_own_server(here: str) -> str | None:
    """Return where the Stripe service sends its visitors: it is a client of this server."""
    if request.blueprint != "stripe":
        return None
    # Imported late: it draws on what stands above this module.
    from portal.web.own_sign_in import begin

    return begin(here)


def local_path(target: str | None, default: str) -> str:
    r"""Return ``target`` if it is a path on this portal, else ``default``.

    Refuses everything that a browser could read as another origin: ``//host``, ``/\host``,
    schemes, control characters.
    """
    if not target or not target.startswith("/") or target.startswith(("//", "/\\")):
        return default
    if any(ord(char) < 33 or char == "\\" for char in target) or "@" in target.split("?")[0]:
        return default
    parts = urlsplit(target)
    return default if parts.scheme or parts.netloc else target


def wants_html() -> bool:
    """Whether the caller is a person with a browser rather than a program."""
    return request.accept_mimetypes.best_match(
        ["application/json", "text/html"]
    ) == "text/html" and "text/html" in request.headers.get("Accept", "")
