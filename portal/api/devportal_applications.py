"""Developer portal v3: applications and their keys."""

import json

from werkzeug.wrappers import Response

from portal.api import bp, conditions, lists
from portal.api.answers import Answer
from portal.api.once import done_once, made_once
from portal.api.operation import operation
from portal.api.schemas.base import Done, Paging
from portal.api.schemas.subscriptions import (
    ApiKeyBody,
    ApiKeyList,
    ApiKeyMade,
    ApiKeyRevoke,
    ApplicationBody,
    ApplicationList,
    ConsumerKeyBody,
    ConsumerKeyMade,
    DevportalApplication,
    application,
    application_info,
    key_info,
)
from portal.errors import NotFound
from portal.extensions import db
from portal.models import Application, KeyType
from portal.services import applications, clients
from portal.services.scopes import APP_MANAGE, SUBSCRIBE
from portal.web.access import bearer, scope
from portal.web.tenancy import own_application, owned_application
from portal.web.unit_of_work import in_unit_of_work

PATH = "/devportal/v3/applications"
KEYS = f"{PATH}/<uuid:application_id>/api-keys/<any(PRODUCTION, SANDBOX):key_type>"
may_read = scope(SUBSCRIBE, APP_MANAGE)


def mine(application_id: str) -> Application:
    """Return an application that the person has, or shares."""
    return own_application(bearer(), application_id)


@bp.get(PATH)
@may_read
@operation(query=Paging, answers={200: ApplicationList})
def list_applications(query: Paging) -> ApplicationList:
    """List your applications."""
    part = lists.wanted(query)
    page = applications.owned_by(bearer(), part)
    return ApplicationList(
        count=len(page.items),
        list=[application_info(row.application, row.subscriptions) for row in page.items],
        pagination=lists.place(part, page),
    )


@bp.post(PATH)
@may_read
@operation(body=ApplicationBody, answers={201: DevportalApplication}, keyed=True, refuses=(409,))
def create_application(body: ApplicationBody) -> Response:
    """Create an application."""

    def make() -> str:
        made = applications.create(bearer(), body.name, body.description or "")
        return made.uuid

    return made_once(make, _created)


def _created(application_id: str) -> Answer:
    return Answer(
        application(mine(application_id)),
        status=201,
        headers={"Location": f"/api/am{PATH}/{application_id}"},
    )


@bp.get(f"{PATH}/<uuid:application_id>")
@may_read
@operation(answers={200: DevportalApplication})
def get_application(application_id: str) -> DevportalApplication:
    """Read one of your applications."""
    return application(mine(application_id))


@bp.put(f"{PATH}/<uuid:application_id>")
@may_read
@operation(
    body=ApplicationBody,
    answers={200: DevportalApplication},
    conditional=True,
    refuses=(409,),
)
def update_application(
    application_id: str, body: ApplicationBody, match: str
) -> DevportalApplication:
    """Rename an application; its keys and subscriptions stay."""

    def change() -> None:
        found = owned_application(bearer(), application_id)
        # Two who rename at once meet here: the second sees what the first has written.
        db.session.refresh(found, with_for_update=True)
        conditions.check(match, application(found))
        applications.rename(found, body.name, body.description or "")

    in_unit_of_work(change)
    return application(mine(application_id))


@bp.delete(f"{PATH}/<uuid:application_id>")
@may_read
@operation(answers={200: Done}, refuses=(409, 412))
def delete_application(application_id: str) -> Done:
    """Delete an application that has no living paid subscription; its keys stop at once."""

    def remove() -> None:
        found = owned_application(bearer(), application_id)
        conditions.check_optional(application(found))
        applications.delete(found, bearer())

    in_unit_of_work(remove)
    return Done(message="The application is deleted. Its keys no longer work.")


@bp.get(KEYS)
@may_read
@operation(answers={200: ApiKeyList})
def list_api_keys(application_id: str, key_type: str) -> ApiKeyList:
    """List the keys of an application that work; the keys themselves are not stored."""
    found = mine(application_id)
    keys = [key for key in applications.keys_of(found) if key.key_type == key_type]
    return ApiKeyList(count=len(keys), list=[key_info(key) for key in keys])


@bp.post(f"{KEYS}/generate")
@may_read
@operation(
    body=ApiKeyBody,
    body_optional=True,
    answers={200: ApiKeyMade},
    keyed=True,
    refuses=(409,),
)
def generate_api_key(application_id: str, key_type: str, body: ApiKeyBody) -> Response:
    """Generate a key for calling; it is shown this once."""

    def make() -> str:
        key, text = applications.generate_key(mine(application_id), KeyType(key_type))
        return json.dumps([key.uuid, text])

    def answer(made: str) -> Answer:
        uuid, text = json.loads(made)
        return Answer(ApiKeyMade(apikey=text, key_uuid=uuid, validity_time=body.validity_period))

    return made_once(make, answer)


@bp.post(f"{PATH}/<uuid:application_id>/generate-keys")
@may_read
@operation(body=ConsumerKeyBody, answers={200: ConsumerKeyMade}, keyed=True, refuses=(409,))
def generate_consumer_key(application_id: str, body: ConsumerKeyBody) -> Response:
    """Generate a consumer key and secret, whose access tokens call like a key of the application.

    Only its owner may: the tokens are theirs. The secret is shown this once.
    """

    def make() -> str:
        client, secret = clients.register_for(
            owned_application(bearer(), application_id),
            KeyType(body.key_type),
            grants=body.grant_types_to_be_supported,
            callback=body.callback_url or "",
        )
        return json.dumps([client.client_id, secret])

    def answer(made: str) -> Answer:
        client_id, secret = json.loads(made)
        return Answer(
            ConsumerKeyMade(
                consumer_key=client_id,
                consumer_secret=secret,
                supported_grant_types=body.grant_types_to_be_supported,
                callback_url=body.callback_url or "",
                key_type=body.key_type,
            )
        )

    return made_once(make, answer)


@bp.post(f"{KEYS}/revoke")
@may_read
@operation(body=ApiKeyRevoke, answers={200: Done}, keyed=True)
def revoke_api_key(application_id: str, key_type: str, body: ApiKeyRevoke) -> Response:
    """Revoke a key: calls with it are refused from now on."""
    digest = applications.hash_of(body.apikey)

    def revoke() -> None:
        for key in applications.keys_of(mine(application_id)):
            if (
                key.key_type == key_type
                and body.key_uuid.lower() in ("", key.uuid)
                and (body.key_uuid or key.key_hash == digest)
            ):
                applications.revoke(key)
                return
        raise NotFound("The application has no such key.")

    def act() -> Answer:
        in_unit_of_work(revoke)
        return Answer(Done(message="The key is revoked."))

    return done_once(act)
