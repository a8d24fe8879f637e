"""The portals and their navigation, and who sees which."""

from dataclasses import dataclass

from flask import request, url_for
from flask_login import current_user

from portal.models.user import ADMIN, PUBLISHER, SUBSCRIBER
from portal.web import mail


@dataclass(frozen=True)
class Item:
    """A word in the navigation."""

    label: str
    icon: str
    url: str
    active: bool


@dataclass(frozen=True)
class Portal:
    """One of the three portals in the switcher."""

    name: str
    label: str
    url: str
    active: bool


#: portal -> label, roles that may enter, home endpoint
PORTALS = {
    "devportal": ("Developer", {SUBSCRIBER, PUBLISHER, ADMIN}, "devportal.home"),
    "publisher": ("Publisher", {PUBLISHER, ADMIN}, "publisher.home"),
    "admin": ("Admin", {ADMIN}, "admin.home"),
}

#: Pages that belong to a word whose address they do not begin with.
BELONGS: dict[str, str] = {
    "/devportal/subscriptions/": "/devportal/applications",
    "/admin/identity-provider": "/admin/people",
}

#: portal -> (label, icon, endpoint)
ITEMS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "devportal": (
        ("APIs", "api", "devportal.home"),
        ("Applications", "apps", "devportal.applications"),
        ("Invoices", "file-invoice", "devportal.invoices"),
        ("Notices", "bell", "devportal.notices"),
        ("Automate it", "code", "devportal.automate"),
    ),
    "publisher": (
        ("APIs", "api", "publisher.home"),
        ("Plans", "receipt-2", "publisher.plans"),
        ("Revenue", "coins", "publisher.revenue"),
        ("Automate it", "code", "publisher.automate"),
    ),
    "admin": (
        ("Set-up", "checklist", "admin.home"),
        ("Advanced configuration", "settings", "admin.configuration"),
        ("Plans", "receipt-2", "admin.plans"),
        ("Approvals", "check", "admin.approvals"),
        ("Publish usage", "cloud-upload", "admin.usage"),
        ("Events", "webhook", "admin.events"),
        ("Mailbox", "send", "admin.mailbox"),
        ("People", "users", "admin.people"),
        ("Drift", "replace", "admin.drift"),
        ("Audit log", "history", "admin.audit_log"),
        ("Automate it", "code", "admin.automate"),
    ),
}


def portal_name() -> str | None:
    """Return which portal the present page belongs to."""
    return request.blueprint if request.blueprint in PORTALS else None


def navigation() -> list[Item]:
    """Return the present portal's navigation."""
    items = [
        item
        for item in ITEMS.get(portal_name() or "", ())
        if item[2] != "admin.mailbox" or mail.has_mailbox()
    ]
    here = next(
        (word for start, word in BELONGS.items() if request.path.startswith(start)), request.path
    )
    addresses = [url_for(endpoint) for _, _, endpoint in items]
    best = max((url for url in addresses if here.startswith(url)), key=len, default=None)
    return [
        Item(label, icon, url, url == best)
        for (label, icon, _), url in zip(items, addresses, strict=True)
    ]


def portals_for_user() -> list[Portal]:
    """Return the portals that the person may enter."""
    if not current_user.is_authenticated:
        return []
    return [
        Portal(name, label, url_for(home), name == portal_name())
        for name, (label, roles, home) in PORTALS.items()
        if current_user.roles & roles
    ]
