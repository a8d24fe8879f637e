"""APIs: making and changing them, their life from created to retired, the plans they offer."""

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import selectinload
from sqlalchemy.orm.attributes import flag_modified

from portal.errors import Conflict, Invalid
from portal.extensions import db
from portal.models.api import Api, ApiPolicy, Lifecycle
from portal.models.offer import EnginePrice, Offer
from portal.models.policy import BillingPlan, Policy, PolicyVersion
from portal.models.subscription import Billing, Subscription
from portal.models.user import ADMIN, User
from portal.services import backends
from portal.services.openapi_import import LONGEST_DESCRIPTION, ImportedApi
from portal.services.paging import Page, Slice, page_of

LONGEST_NAME = 60
LONGEST_SEARCH = 100
PER_PAGE = 50
#: First path segments at the gateway that mean something else there.
RESERVED_CONTEXTS = frozenset({"t", "authorize"})
_CONTEXT = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
#: What a state may become, by the words on the buttons. WSO2: Created, Published, Deprecated,
#: Retired; a deprecated API keeps its subscribers and takes no new ones.
STEPS: dict[str, dict[str, Lifecycle]] = {
    Lifecycle.CREATED: {"publish": Lifecycle.PUBLISHED},
    Lifecycle.PUBLISHED: {"deprecate": Lifecycle.DEPRECATED},
    Lifecycle.DEPRECATED: {"publish": Lifecycle.PUBLISHED, "retire": Lifecycle.RETIRED},
    Lifecycle.RETIRED: {},
}


@dataclass(frozen=True, kw_only=True)
class ApiDraft:
    """An API as somebody entered it."""

    name: str
    version: str
    context: str
    endpoint_url: str
    sandbox_endpoint_url: str = ""
    description: str = ""
    definition: str | None = None


@dataclass(frozen=True, kw_only=True)
class ApiRow:
    """An API in a list, with what is counted for it."""

    api: Api
    subscribers: int


def listed(user: User, number: int | Slice = 1, *, search: str = "") -> Page[ApiRow]:
    """Return a page of the person's APIs, or of the tenant's for an administrator.

    :param search: words that name, context or description must all contain, ignoring case
    """
    query = found_by(select(Api).where(Api.tenant_id == user.tenant_id), search)
    if not user.has_role(ADMIN):
        query = query.where(Api.provider_id == user.user_id)
    order = (func.lower(Api.api_name), Api.api_version, Api.api_id)
    plans = selectinload(Api.policies).joinedload(Policy.versions)
    query = query.order_by(*order).options(plans)
    page: Page[Api] = page_of(query, number, per_page=PER_PAGE)
    counted = db.session.execute(
        select(Subscription.api_id, func.count())
        .where(
            Subscription.api_id.in_([api.api_id for api in page.items]),
            Subscription.ended_at.is_(None),
        )
        .group_by(Subscription.api_id)
    )
    counts = {int(api_id): int(count) for api_id, count in counted}
    return page.map(lambda api: ApiRow(api=api, subscribers=counts.get(api.api_id, 0)))


def found_by(query: Select[Any], search: str) -> Select[Any]:
    """Narrow a query to the APIs that contain all words of a search."""
    return query.where(*containing(search))


def containing(search: str) -> list[ColumnElement[bool]]:
    """Return the conditions under which an API contains all words of a search."""
    table: Any = Api.__table__
    columns = (table.c.api_name, table.c.api_version, table.c.context, table.c.description)
    return [
        or_(*(column.icontains(word, autoescape=True) for column in columns))
        for word in search.replace("\x00", "")[:LONGEST_SEARCH].split()
    ]


def draft_of(imported: ImportedApi, *, context: str = "", endpoint_url: str = "") -> ApiDraft:
    """Return what an OpenAPI document proposes; what was entered beside it goes first."""
    name = "".join(char for char in imported.title if char.isprintable())[:LONGEST_NAME].strip()
    version = re.sub(r"[^A-Za-z0-9._-]+", "-", imported.version).strip("-._")[:32]
    return ApiDraft(
        name=name,
        version=version or "1.0",
        context=context.strip() or slug(name),
        endpoint_url=endpoint_url.strip() or imported.endpoint_url,
        description=imported.description,
        definition=imported.definition,
    )


def slug(name: str) -> str:
    """Return a path segment made from a name: ``Weather Insights`` is ``weather-insights``."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60].strip("-")
    return f"{words}-api" if words in RESERVED_CONTEXTS else words


def create(user: User, draft: ApiDraft, allowlist: Collection[str]) -> Api:
    """Make an API in the state CREATED.

    :param allowlist: origins of back ends that may be on private addresses
    :raise portal.errors.Invalid: naming every field that is wrong; also when somebody else took
        the name or the context a moment ago
    """
    fields = _wrong_identity(draft) | _wrong_text(draft, allowlist)
    if not fields:
        fields = _taken(user.tenant_id, draft)
    if fields:
        raise Invalid("The API was not saved. " + " ".join(fields.values()), fields)
    api = Api(
        tenant_id=user.tenant_id,
        provider_id=user.user_id,
        api_name=draft.name.strip(),
        api_version=draft.version.strip(),
        context=draft.context.strip().strip("/"),
        definition=draft.definition,
    )
    _write(api, draft, allowlist)
    db.session.add(api)
    try:
        db.session.flush()
    except IntegrityError as error:
        raise Invalid(
            "Somebody just took this name or context for this version. Choose another."
        ) from error
    return api


def update(api: Api, draft: ApiDraft, allowlist: Collection[str]) -> None:
    """Change an API's description and back ends.

    Name, version and context stay: subscribers call by them. A new version is a new API.

    :raise portal.errors.Invalid: naming every field that is wrong
    """
    fields = _wrong_text(draft, allowlist)
    if fields:
        raise Invalid("The API was not saved. " + " ".join(fields.values()), fields)
    _write(api, draft, allowlist)


def step(api: Api, name: str) -> Lifecycle:
    """Publish, deprecate or retire an API; return the state that it is in now.

    Repeating a step that has been made changes nothing.

    :raise portal.errors.Conflict: if the state does not permit it; the message says what to do
    """
    target = STEPS[api.status].get(name)
    if target is None:
        if any(steps.get(name) == api.status for steps in STEPS.values()):
            return Lifecycle(api.status)
        raise Conflict(f"An API that is {api.status.lower()} cannot be changed this way.")
    if target is Lifecycle.PUBLISHED and not api.policies:
        raise Conflict("Attach at least one plan first: nobody could subscribe without one.")
    if target is Lifecycle.RETIRED:
        _refuse_while_paid(api)
    api.status = target
    return target


def attach(api: Api, chosen: Collection[str]) -> None:
    """Offer exactly these plans (by UUID) from now on; running subscriptions keep theirs.

    What is sold at the billing engine under a plan that is taken off stops being offered here
    at once; ``flows/monetizing.py`` archives its price there.

    :raise portal.errors.Invalid: if one is not a plan of the tenant, or a published API is left
        without any
    """
    # Locked, so that none of them is deleted in the same moment.
    found = db.session.scalars(
        select(Policy)
        .where(
            Policy.tenant_id == api.tenant_id,
            Policy.uuid.in_(chosen),
            Policy.deleted_at.is_(None),
        )
        .with_for_update()
    ).all()
    if len(found) != len(set(chosen)):
        raise Invalid("One of these plans does not exist any more. Load the page again.")
    if not found and api.status == Lifecycle.PUBLISHED:
        raise Invalid("A published API needs at least one plan. Choose one, or deprecate the API.")
    kept = {policy.uuid for policy in found}
    for offer in offers(api):
        if offer.price.policy_uuid not in kept:
            db.session.delete(offer)
    api.policies = sorted(found, key=lambda policy: policy.policy_id)
    # Two who save at once meet at the API's row, not at the same pair of API and plan.
    flag_modified(api, "status")
    db.session.flush()


def attach_named(api: Api, names: Collection[str]) -> None:
    """Offer exactly the plans of these names from now on.

    :raise portal.errors.Invalid: as :func:`attach`, naming the plan that does not exist
    """
    found = {
        row.live_name: row.uuid
        for row in db.session.execute(
            select(Policy.live_name, Policy.uuid).where(
                Policy.tenant_id == api.tenant_id,
                Policy.live_name.in_({name.lower() for name in names}),
            )
        )
    }
    missing = [name for name in names if name.lower() not in found]
    if missing:
        sentence = f"There is no plan called {missing[0]}."
        raise Invalid(sentence, {"policies": sentence})
    attach(api, list(found.values()))


def delete(api: Api) -> None:
    """Delete an API that nobody ever subscribed to and that never sold anything.

    :raise portal.errors.Conflict: if there is a history that must stay; retire it instead
    """
    used = db.session.scalar(
        select(Subscription.subscription_id).where(Subscription.api_id == api.api_id).limit(1)
    ) or db.session.scalar(
        select(EnginePrice.mapping_id).where(EnginePrice.api_id == api.api_id).limit(1)
    )
    if used:
        raise Conflict(
            "This API has been sold or subscribed to, and that history stays. Deprecate it, then "
            "retire it: nobody sees or calls it any more."
        )
    db.session.delete(api)


def offers(api: Api) -> Sequence[Offer]:
    """Return what the API sells at the billing engine now."""
    return db.session.scalars(
        select(Offer).where(Offer.api_id == api.api_id).order_by(Offer.tier_name)
    ).all()


def paid_subscriptions(api: Api) -> int:
    """Return how many subscriptions to the API are being billed, or can still be paid."""
    return (
        db.session.scalar(
            select(func.count())
            .select_from(Subscription)
            .join(PolicyVersion, PolicyVersion.policy_version_id == Subscription.policy_version_id)
            .where(
                Subscription.api_id == api.api_id,
                Subscription.ended_at.is_(None),
                Subscription.billing != Billing.LAPSED,
                PolicyVersion.billing_plan == BillingPlan.COMMERCIAL,
            )
        )
        or 0
    )


def apis_with(policy: Policy) -> Sequence[Api]:
    """Return the APIs that offer a plan."""
    return db.session.scalars(
        select(Api)
        .join(ApiPolicy, ApiPolicy.api_id == Api.api_id)
        .where(ApiPolicy.policy_id == policy.policy_id)
        .order_by(Api.api_name)
    ).all()


def _refuse_while_paid(api: Api) -> None:
    count = paid_subscriptions(api)
    if count:
        plural = "subscription is" if count == 1 else "subscriptions are"
        raise Conflict(
            f"{count} paid {plural} still running. Retiring would stop calls that people pay "
            "for: wait until they have been cancelled. Deprecated, the API takes no new ones."
        )


def _write(api: Api, draft: ApiDraft, allowlist: Collection[str]) -> None:
    sandbox = draft.sandbox_endpoint_url.strip()
    api.description = draft.description.strip().replace("\r\n", "\n")
    api.endpoint_url = backends.check_url(draft.endpoint_url, allowlist)
    api.sandbox_endpoint_url = backends.check_url(sandbox, allowlist) if sandbox else None


def _wrong_identity(draft: ApiDraft) -> dict[str, str]:
    fields: dict[str, str] = {}
    name, context = draft.name.strip(), draft.context.strip().strip("/")
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        fields["name"] = f"Enter a name of up to {LONGEST_NAME} characters."
    if not _VERSION.fullmatch(draft.version.strip()):
        fields["version"] = "Enter a version such as 1.0.0: letters, digits, dots and hyphens."
    if context in RESERVED_CONTEXTS:
        fields["context"] = f"{context} means something else at the gateway. Choose another."
    elif not _CONTEXT.fullmatch(context):
        fields["context"] = (
            "Enter one path segment of up to 64 lower-case letters, digits, hyphens and "
            "underscores, such as weather."
        )
    return fields


def _wrong_text(draft: ApiDraft, allowlist: Collection[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for field, url in (
        ("endpoint_url", draft.endpoint_url),
        ("sandbox_endpoint_url", draft.sandbox_endpoint_url),
    ):
        try:
            if url.strip() or field == "endpoint_url":
                backends.check_url(url, allowlist)
        except Invalid as error:
            fields[field] = error.message
    if len(draft.description) > LONGEST_DESCRIPTION or "\x00" in draft.description:
        fields["description"] = f"The description is longer than {LONGEST_DESCRIPTION} characters."
    return fields


def _taken(tenant_id: int, draft: ApiDraft) -> dict[str, str]:
    name, version = draft.name.strip(), draft.version.strip()
    context = draft.context.strip().strip("/")
    rows = db.session.execute(
        select(Api.api_name, Api.context).where(
            Api.tenant_id == tenant_id,
            Api.api_version == version,
            (Api.api_name == name) | (Api.context == context),
        )
    ).all()
    fields: dict[str, str] = {}
    if any(row.api_name == name for row in rows):
        fields["name"] = f"There is an API {name} of version {version} already."
    if any(row.context == context for row in rows):
        fields["context"] = f"The context {context} with version {version} is taken already."
    return fields
