"""Draw every component on one page, serve it under the portal's policy, and look at it.

    python docs/tools/styleguide.py --serve         # look at it: http://127.0.0.1:8130/
    python docs/tools/styleguide.py --out FOLDER    # pictures, light and dark, and axe
                                  (--port 0 takes a free one)

Exits 1 when axe finds something, when the Content-Security-Policy stops something, when a script
fails, or when a page is wider than the screen. The data is made up; nothing of the portal is
imported.
"""

from __future__ import annotations

import argparse
import sys
import threading
from itertools import product
from pathlib import Path
from types import SimpleNamespace as Thing
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, flash, render_template, request
from jinja2 import StrictUndefined
from werkzeug.datastructures import MultiDict
from werkzeug.serving import make_server
from wtforms import Form
from wtforms.fields import (
    BooleanField,
    PasswordField,
    RadioField,
    SelectField,
    StringField,
    TextAreaField,
)
from wtforms.fields.choices import SelectChoice
from wtforms.validators import InputRequired, Regexp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[2]
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; object-src 'none'; base-uri 'none'; "
    "frame-ancestors 'none'; "
    "form-action 'self'"
)
PORTALS = (("devportal", "Developer"), ("publisher", "Publisher"), ("admin", "Admin"))
NAVIGATION = {
    "devportal": (
        ("APIs", "api"),
        ("Applications", "layout-grid"),
        ("Subscriptions", "credit-card"),
        ("Usage and billing", "chart-bar"),
        ("Docs", "book"),
    ),
    "publisher": (
        ("APIs", "api"),
        ("Plans", "tag"),
        ("Monetization", "coins"),
        ("Subscribers", "users"),
        ("Revenue", "receipt"),
        ("Webhook events", "webhook"),
    ),
    "admin": (
        ("Overview", "home"),
        ("Business plans", "tag"),
        ("Publish usage", "upload"),
        ("Webhook events", "webhook"),
        ("Set-up", "clipboard-list"),
        ("Settings", "settings"),
    ),
}
SECTIONS = (
    ("Plans", "tag"),
    ("Subscriptions", "credit-card"),
    ("Badges", "shield-check"),
    ("Details", "list-details"),
    ("Forms", "pencil"),
    ("Messages", "bell"),
)
#: Each portal's width and theme once, for a look that is over soon.
PAIRS = {("light", 1280), ("dark", 390)}
VIEWS = (
    *product([""], NAVIGATION, ("light", "dark"), (1280, 390)),
    ("", "devportal", "light", 820),
    ("error/404", "devportal", "light", 1280),
    ("error/404", "devportal", "dark", 390),
)
FEW = tuple(view for view in VIEWS if view[2:] in PAIRS or view[3] == 820)
STATUSES = (
    ("ON_HOLD", "Pay by 23 Nov, 09:12 UTC"),
    ("UNBLOCKED", None),
    ("BLOCKED", "The card was declined on 20 Nov"),
    ("PROD_ONLY_BLOCKED", "Sandbox calls still pass"),
    ("REJECTED", "Not paid within 24 hours"),
    ("TIER_UPDATE_PENDING", "Gold from 1 Dec"),
    ("DELETE_PENDING", "Waiting for approval"),
    ("ENDED", "12 Oct 2026"),
)
ROWS = (
    ("Weather Insights", "2.1.0", "Gold Metered", "UNBLOCKED", None, "48,213", "$120.53", "1 Dec"),
    ("Address Lookup", "1.4.2", "Silver", "UNBLOCKED", None, "188,410", "$29.00", "4 Dec 2026"),
    ("Currency Rates", "3.0.0", "Silver", "ON_HOLD", "Pay by 23 Nov, 09:12", "", "$29.00", "Now"),
    ("Tax Calculator", "1.0.3", "Gold Metered", "BLOCKED", "Unpaid", "9,120", "$18.24", "20 Nov"),
)
ACTIONS = {"ON_HOLD": "Complete Payment", "BLOCKED": "View Invoice", "UNBLOCKED": "View Invoice"}
EVENTS = (
    ("Payment confirmed", "Invoice 0007, $29.00", "22 Nov, 09:14 UTC", "Stripe", "ok", "check"),
    ("Blocked", "The card was declined", "20 Nov, 06:02 UTC", "Stripe", "bad", "ban"),
    ("Checkout opened", "Silver", "19 Nov, 17:40 UTC", "Dana Ortiz", "wait", "clock"),
    ("Subscribed", "Fleet Dashboard", "19 Nov, 17:39 UTC", "Dana Ortiz", None, None),
)


class PlanForm(Form):
    """A form with one field of each kind, two of them refused."""

    name = StringField("Name", validators=[InputRequired("Enter a name.")])
    kind = RadioField(
        "Kind of price",
        choices=[SelectChoice("fixed", "Fixed rate"), SelectChoice("dynamic", "Dynamic usage")],
    )
    price = StringField(
        "Price",
        validators=[InputRequired(), Regexp(r"^\d+\.\d{2}$", message="Enter two decimals.")],
    )
    currency = SelectField(
        "Currency",
        choices=[SelectChoice("USD", "US dollar"), SelectChoice("JPY", "Japanese yen")],
        validators=[InputRequired()],
    )
    secret = PasswordField("Webhook secret")
    note = TextAreaField("Note")
    stop = BooleanField("Stop when the quota is reached")


def refused_form() -> PlanForm:
    """Return the form as it looks after an answer of 422."""
    values = {"name": "", "kind": "fixed", "price": "1.005", "currency": "USD", "stop": "y"}
    form = PlanForm(MultiDict(values))
    form.validate()
    return form


def links(labels: tuple[tuple[str, str], ...], active: int, prefix: str = "?") -> list[Thing]:
    """Return navigation entries for pairs of label and icon."""
    return [
        Thing(label=label, icon=icon, url=f"{prefix}{label.lower()}", active=number == active)
        for number, (label, icon) in enumerate(labels)
    ]


def shell() -> dict[str, Any]:
    """Return what the layouts ask of the portal; the query chooses portal and theme."""
    portal = request.args.get("portal", "devportal")
    return {
        "current_user": Thing(
            is_authenticated=True, display_name="Dana Ortiz", tenant_domain="carbon.super"
        ),
        "portal_name": portal,
        "theme": request.args.get("theme", "auto"),
        "test_mode": True,
        "csrf_token": lambda: "token",
        "navigation": lambda: links(NAVIGATION[portal], 0),
        "open_notices": list,
        "portals_for_user": lambda: [
            Thing(name=name, label=label, url=f"?portal={name}", active=name == portal)
            for name, label in PORTALS
        ],
    }


def guide() -> str:
    """Return the page with every component."""
    flash("Your answer was kept.", "success")
    keys = ("api", "version", "plan", "status", "words", "requests", "amount", "due")
    days = (3, 4, 4, 6, 8, 7, 9, 12, 11, 14, 16, 13)
    return render_template(
        "partials/styleguide.html",
        form=refused_form(),
        sections=links(SECTIONS, 0, "#"),
        statuses=STATUSES,
        subscriptions=[
            {
                **dict(zip(keys, row, strict=True)),
                "days": row[5] and days,
                "action": ACTIONS[row[3]],
            }
            for row in ROWS
        ],
        events=[
            {"title": e[0], "detail": e[1], "time": e[2], "datetime": "2026-11-22T09:14:00Z"}
            | {"actor": e[3], "tone": e[4], "icon": e[5]}
            for e in EVENTS
        ],
        page=Thing(
            page=2,
            pages=3,
            total=12,
            first=5,
            last=8,
            has_prev=1,
            prev_num=1,
            has_next=1,
            next_num=3,
        ),
    )


def create_app() -> Flask:
    """Return a small application that serves the guide, the error pages and the static files."""
    app = Flask("styleguide", root_path=str(ROOT), static_folder="static")
    app.jinja_env.undefined = StrictUndefined
    app.secret_key = "style guide"  # noqa: S105
    app.context_processor(shell)
    app.jinja_env.filters["remembered"] = lambda component: component
    app.jinja_env.globals["csrf_token"] = lambda: "token"
    app.add_url_rule("/", "list", guide)
    app.add_url_rule("/account/sign-in", "account.sign_in", guide)
    app.add_url_rule("/account/password", "account.own_password", guide)
    app.add_url_rule("/account/sign-out", "account.sign_out", guide, methods=["POST"])

    @app.get("/error/<int:code>")
    def error(code: int) -> str:
        return render_template("errors/error.html", code=code, reference="5f1c-09a2")

    @app.after_request
    def protect(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = POLICY
        return response

    return app


def examine(page: Page, address: str, picture: Path) -> list[str]:
    """Open an address, take its picture and return what is wrong with it."""
    from axe_playwright_python.sync_playwright import Axe

    problems: list[str] = []
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(address)
    page.evaluate("document.fonts.ready")
    page.screenshot(path=picture, full_page=True)
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    if wide > 0:
        problems.append(f"{wide} px wider than the screen")
    # The policy forbids what a page would inject; axe comes in through the debugger.
    results = Axe().run(page)
    for violation in results.response["violations"]:
        nodes = "; ".join(node["html"][:120] for node in violation["nodes"][:4])
        problems.append(f"axe {violation['id']}: {violation['help']}: {nodes}")
    return problems


def look(base: str, folder: Path, views: Sequence[tuple[str, str, str, int]]) -> int:
    """Photograph these combinations and return how many have a problem."""
    from playwright.sync_api import sync_playwright

    folder.mkdir(parents=True, exist_ok=True)
    bad = 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        for path, portal, theme, width in views:
            name = f"{path.replace('/', '-') or 'guide'}-{portal}-{theme}-{width}"
            page = browser.new_page(viewport={"width": width, "height": 900})
            address = f"{base}/{path}?portal={portal}&theme={theme}"
            problems = examine(page, address, folder / f"{name}.png")
            page.close()
            bad += bool(problems)
            print(name, "ok" if not problems else "\n  " + "\n  ".join(problems))
        browser.close()
    return bad


def main() -> None:
    """Serve the guide, and photograph it unless --serve is given."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--port", type=int, default=8130)
    parser.add_argument("--out", type=Path, default=Path("styleguide"))
    parser.add_argument("--few", action="store_true", help="each width and theme once")
    parser.add_argument("--serve", action="store_true", help="serve only, until Ctrl-C")
    options = parser.parse_args()
    server = make_server("127.0.0.1", options.port, create_app(), threaded=True)
    if options.serve:
        server.serve_forever()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    views = FEW if options.few else VIEWS
    sys.exit(1 if look(f"http://127.0.0.1:{server.server_port}", options.out, views) else 0)


if __name__ == "__main__":
    main()
