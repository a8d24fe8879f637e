"""The portals and their navigation, and who sees which."""

from dataclasses import dataclass
from functools import lru_cache

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


def navigation() -> tuple[Item, ...]:
    """Return the present portal's navigation."""
    portal, mailbox = portal_name() or "", mail.has_mailbox()
    addresses = _addresses(request.root_path, portal, mailbox)
    path = request.path
    here = next((word for start, word in BELONGS.items() if path.startswith(start)), path)
    best = max((url for url in addresses if here.startswith(url)), key=len, default=None)
    return _items(request.root_path, portal, mailbox, best)


def portals_for_user() -> tuple[Portal, ...]:
    """Return the portals that the person may enter."""
    if not current_user.is_authenticated:
        return ()
    roles = current_user.roles
    open_to = tuple(name for name, (_, wanted, _) in PORTALS.items() if roles & wanted)
    return _portals(request.root_path, open_to, portal_name())


# The same for everybody who may see it, and so kept: by where the portal is mounted, because
# each address begins with it.


@lru_cache(maxsize=32)
def _words(portal: str, mailbox: bool) -> tuple[tuple[str, str, str], ...]:
    return tuple(word for word in ITEMS.get(portal, ()) if word[2] != "admin.mailbox" or mailbox)


@lru_cache(maxsize=32)
def _addresses(_mount: str, portal: str, mailbox: bool) -> tuple[str, ...]:
    return tuple(url_for(endpoint) for _, _, endpoint in _words(portal, mailbox))


@lru_cache(maxsize=128)
def _items(mount: str, portal: str, mailbox: bool, best: str | None) -> tuple[Item, ...]:
    pairs = zip(_words(portal, mailbox), _addresses(mount, portal, mailbox), strict=True)
    return tuple(Item(label, icon, url, url == best) for (label, icon, _), url in pairs)


@lru_cache(maxsize=128)
def _portals(_mount: str, open_to: tuple[str, ...], present: str | None) -> tuple[Portal, ...]:
    return tuple(
        Portal(name, PORTALS[name][0], url_for(PORTALS[name][2]), name == present)
        for name in open_to
    )
