"""Webhook endpoints."""

from __future__ import annotations

from portal.sandbox import accounts, ids, spec
from portal.sandbox.call import Call, Json, operation
from portal.sandbox.errors import StripeError, invalid, unsupported
from portal.sandbox.resources import common
from portal.sandbox.settings import API_VERSION
from portal.sandbox.store import Record

_MOST = 16
_PARAMS = "url enabled_events description metadata"


@operation("PostWebhookEndpoints", _PARAMS + " api_version connect")
def create(call: Call) -> Json:
    """Register an endpoint; only this answer holds its secret."""
    params = call.params
    _check(params)
    if params.get("api_version", API_VERSION) != API_VERSION:
        raise unsupported(f"api_version={params['api_version']}", "api_version")
    if params.get("connect") and accounts.is_connected(call.db, call.account):
        raise StripeError(
            403, "This account can't register Connect endpoints: it is not a platform."
        )
    if len(call.db.select("webhook_endpoint", call.account)) >= _MOST:
        raise invalid(f"You have reached the maximum of {_MOST} test webhook endpoints.")
    secret = ids.webhook_secret()
    endpoint: Record = {
        "id": ids.new("webhook_endpoint"),
        "object": "webhook_endpoint",
        "_account": call.account,
        "_connect": bool(params.get("connect")),
        "_secrets": [{"secret": secret, "until": None}],
        "api_version": API_VERSION,
        "created": call.now,
        "description": params.get("description") or None,
        "enabled_events": params["enabled_events"],
        "metadata": {},
        "status": "enabled",
        "url": params["url"],
    }
    common.merge_metadata(endpoint, params)
    call.db.insert(endpoint)
    return {**common.show(call, endpoint), "secret": secret}


def _check(params: Json) -> None:
    if "url" in params:
        common.check_url(params["url"], "url")
    wanted = params.get("enabled_events")
    if wanted is None:
        return
    if not wanted:
        raise invalid("You must specify at least one event.", "enabled_events")
    known = spec.event_types()
    for index, type in enumerate(wanted):
        if type not in known:
            raise invalid(f"Invalid event type: {type}", f"enabled_events[{index}]")
    if "*" in wanted and len(wanted) > 1:
        raise invalid("If `*` is specified, no other events may be specified.", "enabled_events")


@operation("GetWebhookEndpointsWebhookEndpoint")
def retrieve(call: Call) -> Json:
    """Return one endpoint."""
    return common.show(call, common.from_path(call, "webhook_endpoint"))


@operation("PostWebhookEndpointsWebhookEndpoint", _PARAMS + " disabled")
def update(call: Call) -> Json:
    """Change or disable an endpoint; its API version can't change."""
    endpoint = common.from_path(call, "webhook_endpoint")
    _check(call.params)
    common.assign(endpoint, call.params, "url", "enabled_events", "description")
    common.merge_metadata(endpoint, call.params)
    if "disabled" in call.params:
        endpoint["status"] = "disabled" if call.params["disabled"] else "enabled"
    call.db.save(endpoint)
    return common.show(call, endpoint)


@operation("DeleteWebhookEndpointsWebhookEndpoint")
def delete(call: Call) -> Json:
    """Remove an endpoint; what was queued for it is dropped."""
    endpoint = common.from_path(call, "webhook_endpoint")
    call.db.delete(endpoint)
    return {"id": endpoint["id"], "object": "webhook_endpoint", "deleted": True}


@operation("GetWebhookEndpoints", listing=True)
def index(call: Call) -> Json:
    """List endpoints."""
    return common.page(call, "webhook_endpoint", [], "/v1/webhook_endpoints")
