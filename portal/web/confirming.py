"""Asking once more who it is, before an act that shows a secret, moves money or gives power.

The page stands at the address of the act itself: what was entered waits in it, sealed, and the
act goes on as soon as the password is right. So there is no address to return to that somebody
could forge, and nothing has to be entered twice.
"""

import json
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast
from urllib.parse import urlsplit

from flask import make_response, render_template, request, url_for
from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.wrappers import Response

from portal import clock
from portal.errors import TooManyTries
from portal.services import identity_providers
from portal.vault import SecretUnreadable, vault
from portal.web import passwords
from portal.web.access import local_path, me
from portal.web.authenticated import proved_lately, renew_proof
from portal.web.engines import settings

P = ParamSpec("P")
R = TypeVar("R")

PASSWORD, WAITING = "confirm_password", "confirm_form"
#: How long what was entered may wait, in seconds.
PATIENCE = 3600
SAFE = ("GET", "HEAD", "OPTIONS")


def confirmed(view: Callable[P, R]) -> Callable[P, Any]:
    """Ask who it is before a change, if the last proof is older than ``CONFIRM_MINUTES``.

    Stands below the rule that says who may call. Reading is not asked for.
    """

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
        if request.method in SAFE or proved_lately():
            return view(*args, **kwargs)
        refusal = _ask() if PASSWORD not in request.form else _refusal_of_password()
        return refusal if refusal is not None else view(*args, **kwargs)

    guarded.confirms = True  # type: ignore[attr-defined]
    return cast("Callable[P, Any]", guarded)


def _refusal_of_password() -> Response | None:
    """Check what was entered on the page; ``None`` if it is right and the act may go on."""
    waiting = request.form.get(WAITING, "")
    fields = _open(waiting)
    if fields is None:
        return _ask("What you had entered was kept for an hour. Go back and enter it again.")
    user = me()
    try:
        found = passwords.check(user.qualified_name, request.form.get(PASSWORD, ""), remember=True)
    except TooManyTries as error:
        return _ask(error.message, waiting, retry=error.seconds)
    if found is None or found.user_id != me().user_id:
        return _ask("The password is not right. Check it and try again.", waiting)
    renew_proof()
    # From here on the request is the one that was asked about.
    request.form = fields
    return None


def _ask(problem: str = "", waiting: str = "", retry: int = 0) -> Response:
    user = me()
    provider = identity_providers.enabled_for(user.tenant_domain)
    elsewhere = None
    if provider is not None:
        domain, back = user.tenant_domain, _page_before()
        elsewhere = {
            "host": identity_providers.host(provider),
            "url": url_for("account.outside", domain=domain, next=back, again=1),
        }
    page = render_template(
        "account/confirm.html",
        problem=problem,
        waiting=waiting or _seal(),
        action=request.full_path if request.query_string else request.path,
        back=_page_before(),
        name=user.qualified_name,
        with_password=user.password_hash is not None and passwords.may_use_password(user),
        elsewhere=elsewhere,
        fields=(PASSWORD, WAITING),
    )
    answer = make_response(page, 429 if retry else 403)
    if retry:
        answer.headers["Retry-After"] = str(retry)
    return answer


def _page_before() -> str:
    """Return the page on which the form stands."""
    parts = urlsplit(request.referrer or "")
    ours = urlsplit(settings().portal_base_url)
    if (parts.scheme, parts.netloc) == (ours.scheme, ours.netloc):
        return local_path(f"{parts.path}?{parts.query}" if parts.query else parts.path, "/")
    return "/"


def _place() -> str:
    return f"confirm:{me().uuid}:{request.full_path}"


def _seal() -> str:
    fields = [
        [name, value]
        for name, value in request.form.items(multi=True)
        if name not in (PASSWORD, WAITING)
    ]
    return vault.seal(_place(), json.dumps([clock.epoch(clock.now()), fields]))


def _open(waiting: str) -> ImmutableMultiDict[str, str] | None:
    try:
        at, fields = json.loads(vault.open(_place(), waiting))
    except SecretUnreadable:
        return None
    if clock.epoch(clock.now()) - at > PATIENCE:
        return None
    return ImmutableMultiDict([(name, value) for name, value in fields])
