"""Choosing a tenant's source of usage, and its settings."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from portal.errors import Invalid
from portal.extensions import db
from portal.models import Tenant, UsageSource
from portal.models.source import DEFAULT_INDEX, SECRETS, SourceKind
from portal.services import backends

LONGEST = 255
LONGEST_SECRET = 4_000
LONGEST_PORT = 5
#: What Elasticsearch allows in the name of an index, and wildcards.
_INDEX = re.compile(r"[a-z0-9][a-z0-9_.*,-]{0,200}")
PLAIN = {
    SourceKind.ELASTICSEARCH: (
        "analytics_host",
        "analytics_port",
        "analytics_username",
        "analytics_index",
    ),
    SourceKind.CHOREO: (
        "analytics_query_api_endpoint",
        "choreo_token_endpoint",
        "choreo_insight_app_consumer_key",
    ),
}


#: The secrets -> the settings whose addresses they are sent to, or a token that is made with them.
SENT_TO = {
    "analytics_password": ("analytics_host",),
    "analytics_access_token": ("analytics_query_api_endpoint",),
    "choreo_insight_app_consumer_secret": (
        "choreo_token_endpoint",
        "analytics_query_api_endpoint",
    ),
}
_Secret = Callable[[str, str, bool], Callable[[], None]]
MOVED = "The address changed: enter this again. What is stored is sent to the former one only."


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What was entered. A secret that is empty stays as it is."""

    kind: str
    values: dict[str, str] = field(default_factory=dict)
    """Plain settings and secrets by their names."""


def stored(tenant_id: int) -> UsageSource:
    """Return the tenant's choice; a new row, which is not stored, where it has made none."""
    found = db.session.get(UsageSource, tenant_id)
    return found or UsageSource(
        tenant_id=tenant_id, kind=SourceKind.PORTAL, analytics_index=DEFAULT_INDEX
    )


def changes_source(tenant_id: int, wanted: Wanted) -> bool:
    """Whether calls will come from somewhere else, so that the former source is read out first."""
    found = stored(tenant_id)
    if found.kind != wanted.kind:
        return True
    names = {"analytics_host", "analytics_port", "analytics_index", "analytics_query_api_endpoint"}
    return any(
        name in wanted.values and wanted.values[name].strip() != (getattr(found, name) or "")
        for name in names.intersection(PLAIN.get(SourceKind(wanted.kind), ()))
    )


def choose(
    tenant: Tenant, wanted: Wanted, allowlist: Collection[str], *, since: datetime | None
) -> None:
    """Store the choice and its settings, all of it or nothing.

    A stored secret stays with the addresses that it was entered for.

    :param allowlist: origins that may be on private addresses, as for back ends
    :param since: calls from then on come from there, and the former source was read until then;
        ``None``: they come from where they came before
    :raise portal.errors.Invalid: naming every field that is wrong; never repeating a secret
    """
    row = db.session.get(
        UsageSource, tenant.tenant_id, with_for_update=True, populate_existing=True
    )
    if row is None:
        row = UsageSource(tenant_id=tenant.tenant_id, tenant=tenant, kind=SourceKind.PORTAL)
        db.session.add(row)
    _refuse_wrong(_checks(row, wanted, allowlist))
    kind = SourceKind(wanted.kind)
    moved = _moved(row, wanted)
    for name in PLAIN.get(kind, ()):
        setattr(row, name, wanted.values.get(name, "").strip())
    row.analytics_index = row.analytics_index or DEFAULT_INDEX
    for name in SECRETS:
        if wanted.values.get(name) or name in moved:
            row.set_secret(name, wanted.values.get(name, ""))
    if since is not None:
        row.chosen_at, row.read_until = _beginning(row, since), None
    row.kind = kind
    row.problem = row.problem_at = row.tested_at = None
    row.nobody = 0


def _beginning(row: UsageSource, since: datetime) -> datetime:
    """Return from when on calls come from a new choice, so that none is lost and none twice."""
    if row.kind != SourceKind.PORTAL and row.read_until is None:
        # Nothing was ever read, as of a mistyped index: the calls since then are still to come.
        # The instant more tells this choice from the former one, which may be being asked now.
        return row.chosen_at + timedelta(microseconds=1)
    moment = max(since, row.read_until or since)
    # What a source is asked for begins with a millisecond; beyond it are the instants.
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _moved(row: UsageSource, wanted: Wanted) -> set[str]:
    """Return the stored secrets that were entered for another address than they would go to."""
    mine = PLAIN.get(SourceKind(wanted.kind), ())
    return {
        name
        for name, places in SENT_TO.items()
        if getattr(row, f"{name}_sealed")
        and any(
            place in mine
            and _origin(place, lambda key: getattr(row, key) or "")
            != _origin(place, lambda key: wanted.values.get(key, "").strip())
            for place in places
        )
    }


def _origin(place: str, value: Callable[[str], str]) -> tuple[str, str, int] | None:
    """Return scheme, host and port of a setting; of one that cannot be read nothing is known."""
    text = value(place)
    if place == "analytics_host" and text:
        scheme, _, name = text.rpartition("://")
        text = f"{scheme or 'https'}://{name.rstrip('/')}:{value('analytics_port') or 9200}"
    try:
        parts = urlsplit(text)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (KeyError, ValueError):
        return None
    return parts.scheme, parts.hostname or "", port


def _refuse_wrong(checks: dict[str, Callable[[], object]]) -> None:
    fields: dict[str, str] = {}
    for name, check in checks.items():
        try:
            check()
        except Invalid as error:
            fields[name] = error.message
    if fields:
        raise Invalid("Nothing was saved. " + " ".join(fields.values()), fields)


def _checks(
    row: UsageSource, wanted: Wanted, allowlist: Collection[str]
) -> dict[str, Callable[[], object]]:
    """Return what is to be checked of the chosen kind, by the field's name."""
    _check_kind(wanted.kind)
    value = {name: text.strip() for name, text in wanted.values.items()}
    moved = _moved(row, wanted)

    def secret(name: str, words: str, needed: bool) -> Callable[[], None]:
        entered = wanted.values.get(name, "")
        if entered:
            return lambda: _check_secret(entered)
        if needed and name in moved:
            return lambda: _require(False, MOVED)
        is_stored = bool(getattr(row, f"{name}_sealed"))
        return lambda: _require(is_stored or not (needed and words), words)

    if wanted.kind == SourceKind.ELASTICSEARCH:
        return _elasticsearch_checks(value, secret, allowlist)
    if wanted.kind == SourceKind.CHOREO:
        return _choreo_checks(value, secret, allowlist)
    return {}


def _elasticsearch_checks(
    value: dict[str, str],
    secret: _Secret,
    allowlist: Collection[str],
) -> dict[str, Callable[[], object]]:
    host, port = value.get("analytics_host", ""), value.get("analytics_port", "")
    username = value.get("analytics_username", "")
    return {
        "analytics_host": lambda: _check_host(host, port, allowlist),
        "analytics_port": lambda: _check_port(port),
        "analytics_index": lambda: _check_index(value.get("analytics_index", "")),
        "analytics_username": lambda: _check_short(username),
        # Not every server wants one.
        "analytics_password": secret("analytics_password", "", bool(username)),
    }


def _choreo_checks(
    value: dict[str, str],
    secret: _Secret,
    allowlist: Collection[str],
) -> dict[str, Callable[[], object]]:
    query = value.get("analytics_query_api_endpoint", "")
    place = value.get("choreo_token_endpoint", "")
    key, name = (
        value.get("choreo_insight_app_consumer_key", ""),
        "choreo_insight_app_consumer_secret",
    )
    found: dict[str, Callable[[], object]] = {
        "analytics_query_api_endpoint": lambda: backends.check_url(query, allowlist),
        "analytics_access_token": secret(
            "analytics_access_token", "Enter the on-premise key.", True
        ),
        "choreo_insight_app_consumer_key": lambda: _check_short(key),
        name: secret(name, "Enter the consumer secret that belongs to the key.", bool(key)),
    }
    if key or place:
        found["choreo_token_endpoint"] = lambda: backends.check_url(place, allowlist)
    return found


def _check_host(host: str, port: str, allowlist: Collection[str]) -> None:
    _check_short(host)
    scheme, _, name = host.rpartition("://")
    if not name or "/" in name.rstrip("/") or "@" in name or scheme not in ("", "http", "https"):
        raise Invalid("Enter a host name, such as es.example.com, or http:// and the name.")
    number = port if port.isdigit() else "9200"
    backends.check_url(f"{scheme or 'https'}://{name.rstrip('/')}:{number}", allowlist)


def _check_port(port: str) -> None:
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= LONGEST_PORT else 0
    if port and not 0 < number < 65_536:
        raise Invalid("A port is a number from 1 to 65535; empty means 9200.")


def _check_index(index: str) -> None:
    if index and not _INDEX.fullmatch(index):
        raise Invalid("The name of an index has small letters, digits and _ . - * only.")


def _check_short(text: str) -> None:
    if len(text) > LONGEST:
        raise Invalid(f"This is longer than {LONGEST} characters. Copy it again and save.")
    _check_characters(text)


def _check_secret(text: str) -> None:
    if len(text) > LONGEST_SECRET:
        raise Invalid("This is too long. Copy it again and save.")
    _check_characters(text)


def _check_characters(text: str) -> None:
    """Refuse what does not go through HTTP unchanged, such as what a text program made of -."""
    if not (text.isascii() and text.isprintable()):
        raise Invalid(
            "This has a character that is no plain letter, digit or sign, perhaps one that cannot "
            "be seen or a long dash. Copy it again from where it was made, and save."
        )


def _check_kind(kind: str) -> None:
    if kind not in set(SourceKind):
        sentence = "Choose one of the sources."
        raise Invalid(f"Nothing was saved. {sentence}", {"kind": sentence})


def _require(value: object, words: str) -> None:
    if not value:
        raise Invalid(words)
