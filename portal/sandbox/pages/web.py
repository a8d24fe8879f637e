"""What the pages share: transactions, headers, filters, plain messages."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, g, make_response, render_template, request, url_for
from werkzeug.exceptions import HTTPException
from werkzeug.utils import redirect as _redirect
from werkzeug.wrappers import Response as Answer

from portal.sandbox import accounts, money
from portal.sandbox.engine import clocks
from portal.sandbox.errors import StripeError
from portal.sandbox.service import current
from portal.sandbox.store import Db, Record

TEMPLATES = "../templates"
STATIC = Path(__file__).parents[1] / "static"

hosted = Blueprint(
    "hosted",
    __name__,
    template_folder=TEMPLATES,
    static_folder=str(STATIC),
    static_url_path="/_assets",
)

_HOST = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_BODY_LIMIT = 64 * 1024


def now() -> int:
    """Return the sandbox's present second."""
    return current().clock.now()


def time_of(db: Db, record: Record) -> int:
    """Return the second at which `record` lives: its test clock's, else the present one.

    :raise StripeError: 429 in a writing transaction while that clock advances
    """
    return clocks.moment(db, record, now())


@contextmanager
def writing() -> Iterator[Db]:
    """Open a transaction that may change something."""
    with current().store.write() as db:
        yield db


@contextmanager
def reading() -> Iterator[Db]:
    """Open a transaction that only looks."""
    with current().store.read() as db:
        yield db


def origin(url: str | None) -> str | None:
    """Return scheme, host and port of an http(s) address, or None for anything else."""
    try:
        parts = urlsplit(url or "")
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(host):
        return None
    return f"{parts.scheme}://{host}"


def link(url: str | None) -> str | None:
    """Return `url` if a page may link to it: another page here, or any http(s) address."""
    here = bool(url and url.startswith("/") and not url.startswith(("//", "/\\")))
    return url if here or origin(url) else None


def leave_to(*urls: str | None) -> None:
    """Let the forms of this answer end at these addresses.

    Chromium applies `form-action` to the redirects that follow a form as well.
    """
    allowed = {found for found in map(origin, urls) if found}
    g.form_targets = sorted(allowed | set(g.get("form_targets", ())))


def see_other(url: str) -> Answer:
    """Return the redirect after a form."""
    return _redirect(url, 303)


def secure(response: Response) -> Response:
    """Put the security headers on an answer."""
    targets = " ".join(["'self'", *g.get("form_targets", ())])
    response.headers["Content-Security-Policy"] = (
        "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'; "
        f"form-action {targets}"
    )
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    lasting = "public, max-age=31536000, immutable" if "v" in request.args else "max-age=3600"
    is_file = request.endpoint == "hosted.static" and response.status_code < 400
    response.headers["Cache-Control"] = lasting if is_file else "no-store"
    return response


def message(
    title: str,
    text: str,
    *,
    status: int = 200,
    tone: str = "info",
    href: str | None = None,
    label: str | None = None,
    seller: dict[str, str] | None = None,
) -> Response:
    """Return a page that says one thing, with at most one way on."""
    body = render_template(
        "hosted/message.html",
        title=title, text=text, tone=tone, href=link(href), label=label, seller=seller,
    )  # fmt: skip
    return make_response(body, status)


def seller_of(db: Db, account: str) -> dict[str, str]:
    """Return the name that a customer knows the account by, and its initial."""
    record = accounts.find(db, account)
    name = str((record or {}).get("name") or "").strip() or "Sandbox seller"
    return {"name": name, "initial": name[0].upper(), "account": account}


def date(seconds: int | None) -> str:
    """Return a day as ``22 Nov 2026`` (UTC)."""
    if seconds is None:
        return ""
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment.day} {moment:%b %Y}"


def moment(seconds: float | None) -> str:
    """Return an instant as ``22 Nov 2026 14:05:09`` (UTC)."""
    if seconds is None:
        return ""
    return f"{date(int(seconds))} {datetime.fromtimestamp(seconds, UTC):%H:%M:%S}"


def minute(seconds: int) -> str:
    """Return an instant as ``22 Nov 2026, 14:05`` (UTC)."""
    return f"{date(seconds)}, {datetime.fromtimestamp(seconds, UTC):%H:%M}"


def card_name(method: Record | None) -> str:
    """Return a saved card as ``Visa •••• 4242``."""
    if method is None:
        return "No card"
    card = method["card"]
    return f"{BRANDS.get(card['brand'], card['brand'].title())} ••••\u00a0{card['last4']}"


BRANDS = {"amex": "American Express", "mastercard": "Mastercard", "visa": "Visa"}


@cache
def _version(filename: str) -> str:
    return hashlib.sha256((STATIC / filename).read_bytes()).hexdigest()[:12]


def asset(filename: str) -> str:
    """Return the address of a file of the pages; it changes with the content."""
    return url_for("hosted.static", filename=filename, v=_version(filename))


@hosted.app_context_processor
def _helpers() -> dict[str, Any]:
    return {"asset": asset, "link": link}


hosted.add_app_template_filter(money.display, "money")
hosted.add_app_template_filter(date, "day")
hosted.add_app_template_filter(moment, "moment")
hosted.add_app_template_filter(minute, "minute")
hosted.add_app_template_filter(card_name, "card_name")


def _limit() -> None:
    request.max_content_length = _BODY_LIMIT


hosted.before_request(_limit)
hosted.after_request(secure)


_TROUBLE = {
    404: ("There is nothing here", "Check the address, or go back to where you came from."),
    405: ("That can't be done here", "Go back and use the buttons of the page."),
    413: ("That is too much", "Shorten what you typed and try again."),
    500: ("The sandbox broke", "Its log has the reason. Go back and try again."),
}


@hosted.errorhandler(HTTPException)
def _refused(error: HTTPException) -> Response:
    status = error.code or 500
    title, text = _TROUBLE.get(status, ("That did not work", error.description or ""))
    return message(title, text, status=status, tone="warn")


@hosted.app_errorhandler(StripeError)
def _wait(error: StripeError) -> Response:
    if error.status != 429:
        raise error
    return secure(
        message(
            "The test clock is moving",
            "Nothing was changed. Wait until it has arrived, then go back and try again.",
            status=409,
            tone="warn",
        )
    )


@hosted.app_errorhandler(404)
@hosted.app_errorhandler(405)
def _nowhere(error: HTTPException) -> Response:
    return secure(_refused(error))


@hosted.get("/")
def welcome() -> Response:
    """Say what this server is, to whoever opens its bare address."""
    return message(
        "Payment sandbox",
        "It stands in for Stripe on this machine. Shops send you here to pay; "
        "the control room shows what happened.",
        href=url_for("room.overview"),
        label="Control room",
    )
