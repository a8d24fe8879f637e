"""Publisher v4: APIs, from making one to retiring it."""

from typing import Any

from pydantic import ValidationError
from werkzeug.wrappers import Response

from portal.api import bp, conditions, lists
from portal.api.answers import Answer
from portal.api.errors import in_words_of
from portal.api.once import done_once, made_once
from portal.api.operation import FORM, invalid, operation
from portal.api.schemas.apis import (
    ACTIONS,
    FIELDS,
    ApiBody,
    ApiList,
    ApiSearch,
    ImportBody,
    ImportProperties,
    LifecycleQuery,
    LifecycleState,
    PublisherApi,
    WorkflowResponse,
    for_publisher,
    info,
    lifecycle,
)
from portal.api.schemas.base import Done
from portal.errors import Invalid
from portal.models import Api
from portal.services import apis, openapi_import
from portal.services.apis import ApiDraft
from portal.services.scopes import API_CREATE, API_DELETE, API_PUBLISH, API_VIEW
from portal.web.access import bearer, scope
from portal.web.engines import settings
from portal.web.tenancy import provided_api
from portal.web.unit_of_work import in_unit_of_work

PATH = "/publisher/v4/apis"
may_read = scope(API_VIEW, API_CREATE, API_PUBLISH)
may_create = scope(API_CREATE)


def mine(api_id: str) -> Api:
    """Return an API that the token's person publishes."""
    return provided_api(bearer(), api_id)


@bp.get(PATH)
@may_read
@operation(query=ApiSearch, answers={200: ApiList})
def list_apis(query: ApiSearch) -> ApiList:
    """List the APIs that you publish; an administrator sees all of the tenant."""
    part = lists.wanted(query)
    page = apis.listed(bearer(), part, search=query.query)
    return ApiList(
        count=len(page.items),
        list=[info(row.api, row.subscribers) for row in page.items],
        pagination=lists.place(part, page),
    )


@bp.post(PATH)
@may_create
@operation(body=ApiBody, answers={201: PublisherApi}, keyed=True, refuses=(409,))
def create_api(body: ApiBody) -> Response:
    """Create an API in the state CREATED, with the plans that it shall offer."""
    return made_once(lambda: _make(body.draft(), body.policies), _created)


def _make(draft: ApiDraft, policies: list[str]) -> str:
    with in_words_of(FIELDS):
        api = apis.create(bearer(), draft, settings().backend_allowlist)
        if policies:
            apis.attach_named(api, policies)
        return api.api_uuid


def _created(api_id: str) -> Answer:
    made = for_publisher(mine(api_id))
    return Answer(made, status=201, headers={"Location": f"/api/am{PATH}/{api_id}"})


@bp.post(f"{PATH}/import-openapi")
@may_create
@operation(
    body=ImportBody, media_type=FORM, answers={201: PublisherApi}, keyed=True, refuses=(409,)
)
def import_open_api(body: ImportBody) -> Response:
    """Create an API from an OpenAPI document.

    Nothing outside the document is read, whatever it refers to.
    """
    try:
        beside = ImportProperties.model_validate_json(body.additional_properties)
    except ValidationError as error:
        raise invalid(error, "additionalProperties") from None
    try:
        imported = openapi_import.read(body.file)
    except Invalid as error:
        raise Invalid(error.message, {"file": error.message}) from error
    ends = beside.endpoint_config
    draft = apis.draft_of(
        imported,
        context=(beside.context or "").strip("/"),
        endpoint_url=ends.production_endpoints.url if ends else "",
    )
    return made_once(lambda: _make(draft, beside.policies), _created)


@bp.get(f"{PATH}/<uuid:api_id>")
@may_read
@operation(answers={200: PublisherApi})
def get_api(api_id: str) -> PublisherApi:
    """Read an API."""
    return for_publisher(mine(api_id))


@bp.put(f"{PATH}/<uuid:api_id>")
@may_create
@operation(body=ApiBody, answers={200: PublisherApi}, conditional=True, refuses=(409,))
def update_api(api_id: str, body: ApiBody, match: str) -> PublisherApi:
    """Change an API's description, back ends and plans.

    Name, version and context stay as they are: subscribers call by them.
    """

    def change() -> None:
        api = mine(api_id)
        conditions.check(match, for_publisher(api))
        with in_words_of(FIELDS):
            apis.update(api, body.draft(), settings().backend_allowlist)
            apis.attach_named(api, body.policies)

    in_unit_of_work(change)
    return for_publisher(mine(api_id))


@bp.delete(f"{PATH}/<uuid:api_id>")
@scope(API_DELETE)
@operation(answers={200: Done}, refuses=(409, 412))
def delete_api(api_id: str) -> Done:
    """Delete an API that was never sold and never subscribed to."""

    def remove() -> None:
        api = mine(api_id)
        conditions.check_optional(for_publisher(api))
        apis.delete(api)

    in_unit_of_work(remove)
    return Done(message="The API is deleted.")


@bp.post(f"{PATH}/change-lifecycle")
@scope(API_PUBLISH)
@operation(query=LifecycleQuery, answers={200: WorkflowResponse}, keyed=True, refuses=(404, 409))
def change_lifecycle(query: LifecycleQuery) -> Response:
    """Publish, deprecate or retire an API; repeating a step changes nothing."""

    def act() -> Answer:
        in_unit_of_work(lambda: apis.step(mine(query.api_id), ACTIONS[query.action]))
        state = lifecycle(mine(query.api_id))
        return Answer(WorkflowResponse(lifecycle_state=state))

    return done_once(act)


@bp.get(f"{PATH}/<uuid:api_id>/lifecycle-state")
@may_read
@operation(answers={200: LifecycleState})
def get_lifecycle_state(api_id: str) -> Any:
    """Read where an API stands and what it may become."""
    return lifecycle(mine(api_id))
