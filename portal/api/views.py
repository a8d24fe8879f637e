"""Publishing usage by program, as WSO2's admin REST API does it."""

from flask import jsonify
from werkzeug.wrappers import Response

from portal.api import bp
from portal.errors import Conflict
from portal.flows import publishing as publishing_flow
from portal.services import publishing
from portal.web.access import bearer, scope

PUBLISH = "apim:monetization_usage_publish"


@bp.post("/admin/v4/monetization/publish-usage")
@scope(PUBLISH)
def publish_usage() -> tuple[Response, int]:
    """Start the publish job of the token's tenant; answers before anything is sent."""
    user = bearer()
    try:
        publishing_flow.request(user.tenant, user.qualified_name)
    except Conflict:
        busy = {
            "status": "Server could not accept the request",
            "message": "A job is already running",
        }
        return jsonify(busy), 409
    accepted = {"status": "Request Accepted", "message": "Server is running the usage publisher"}
    return jsonify(accepted), 202


@bp.get("/admin/v4/monetization/publish-usage/status")
@scope(PUBLISH)
def publish_usage_status() -> Response:
    """Say how the last publish job of the token's tenant went."""
    return jsonify(publishing.status(bearer().tenant))
