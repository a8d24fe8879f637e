"""Admin v4: publishing usage."""

from portal.api import bp
from portal.api.answers import Answer
from portal.api.operation import operation
from portal.api.schemas.usage import PublishAccepted, PublishStatus
from portal.errors import Conflict
from portal.flows import publishing as publishing_flow
from portal.services import publishing
from portal.services.scopes import ADMIN_ALL, USAGE_PUBLISH
from portal.web.access import bearer, scope

PATH = "/admin/v4/monetization/publish-usage"


@bp.post(PATH)
@scope(USAGE_PUBLISH, ADMIN_ALL)
@operation(answers={202: PublishAccepted, 409: PublishAccepted})
def publish_usage() -> Answer:
    """Start the publish job of the token's tenant; answers before anything is sent."""
    user = bearer()
    try:
        publishing_flow.request(user.tenant, user.qualified_name)
    except Conflict:
        busy = PublishAccepted(
            status="Server could not accept the request", message="A job is already running"
        )
        return Answer(busy, status=409)
    accepted = PublishAccepted(
        status="Request Accepted", message="Server is running the usage publisher"
    )
    return Answer(accepted, status=202)


@bp.get(f"{PATH}/status")
@scope(USAGE_PUBLISH, ADMIN_ALL)
@operation(answers={200: PublishStatus})
def publish_usage_status() -> PublishStatus:
    """Say how the last publish job of the token's tenant went."""
    return PublishStatus.model_validate(publishing.status(bearer().tenant), strict=False)
