"""What a request must carry so that it is refused for who sends it, and for nothing else."""

from typing import Any

from tests.access.world import ACCOUNT, World

#: Which row the first identifier of an address names, by the beginning of its rule.
NAMED = {
    "/devportal/apis/": "api",
    "/devportal/applications/": "application",
    "/devportal/notices/": "notice",
    "/devportal/subscriptions/": "subscription",
    "/publisher/apis/": "api",
    "/publisher/plans/": "policy",
    "/publisher/subscriptions/": "subscription",
    "/admin/approvals/": "subscription",
    "/admin/people/": "subscriber",
    "/admin/plans/": "policy",
    "/admin/usage/subscriptions/": "subscription",
    "/api/am/admin/v4/throttling/": "policy",
    "/api/am/devportal/v3/apis/": "api",
    "/api/am/devportal/v3/applications/": "application",
    "/api/am/devportal/v3/subscriptions/": "subscription",
    "/api/am/publisher/v4/apis/": "api",
    "/api/am/publisher/v4/subscriptions/": "subscription",
}
#: Where another row than that is right: one that the act is possible with.
BETTER = {
    "POST /devportal/applications/<uuid:uuid>/delete": "empty",
    "POST /devportal/subscriptions/<uuid:uuid>/try-again": "waiting",
    "GET /devportal/subscriptions/<uuid:uuid>/invoice": "paid",
    "GET /publisher/subscriptions/<uuid:uuid>/invoice": "paid",
    "GET /api/am/devportal/v3/subscriptions/<uuid:subscription_id>/usage": "paid",
    "GET /api/am/publisher/v4/subscriptions/<uuid:subscription_id>/usage": "paid",
    "GET /devportal/apis/<uuid:uuid>/subscribe/confirm": "other api",
    "POST /devportal/apis/<uuid:uuid>/subscribe/confirm": "other api",
    "POST /api/am/devportal/v3/subscriptions/<uuid:subscription_id>/try-again": "waiting",
    "PUT /api/am/devportal/v3/subscriptions/<uuid:subscription_id>": "paid",
    "DELETE /api/am/publisher/v4/apis/<uuid:api_id>": "draft",
}
FIXED = {
    "<event_id>": "evt_1",
    "<slug>": "payment-pending",
    "<any(PRODUCTION, SANDBOX):key_type>": "PRODUCTION",
    "<context>": "weather",
    "<version>": "1.0",
    "/gateway/authorize/<rest:resource>": "/gateway/authorize/weather/1.0/x",
    "<rest:resource>": "nowhere",
    "/account/sign-in/<domain>": "/account/sign-in/other.example",
    "<domain>": "nowhere.example",
}
PLAN = {
    "policyName": "Silver",
    "defaultLimit": {
        "type": "REQUESTCOUNTLIMIT",
        "requestCount": {"requestCount": 10, "timeUnit": "min", "unitTime": 1},
    },
    "billingPlan": "FREE",
}
API = {
    "name": "Sea",
    "context": "sea",
    "version": "1.0",
    "endpointConfig": {"production_endpoints": {"url": "http://127.0.0.1:9/"}},
}


def how(rule: str, access: str) -> str:
    """Return with what proof an address is called."""
    if access.startswith("scope:"):
        return "token"
    if access == "basic:admin":
        return "basic"
    return "key" if access == "key" else "page"


def path_of(world: World, line: str) -> str:
    """Return the address of a route with its identifiers filled in."""
    rule = line.partition(" ")[2]
    row = BETTER.get(line) or next(
        (row for start, row in NAMED.items() if rule.startswith(start)), "api"
    )
    if rule == "/gateway/authorize/<rest:resource>":
        return "/gateway/authorize/gateway/weather/1.0/x"
    for place, value in FIXED.items():
        rule = rule.replace(place, value)
    rule = rule.replace("<uuid:key_uuid>", world.names["key"])
    rule = rule.replace("<int:number>", world.names["batch"])
    rule = rule.replace("<uuid:policy>", world.names["policy"])
    rule = rule.replace("<int:mail_id>", world.names["mail"])
    rule = rule.replace("<int:drift_id>", world.names["drift"])
    rule = rule.replace("<uuid:member>", world.names["member"])
    for place in ("uuid", "api_id", "application_id", "subscription_id", "policy_id"):
        rule = rule.replace(f"<uuid:{place}>", world.names[row])
    assert "<" not in rule, f"{line}: say in NAMED or FIXED what stands there"
    return rule


def content_of(world: World, line: str) -> dict[str, Any]:
    """Return the query, the body and the headers that a request needs."""
    method, _, rule = line.partition(" ")
    content: dict[str, Any] = {}
    if rule.startswith("/api/am/") and method in ("PUT", "DELETE"):
        content["headers"] = {"If-Match": "*"}
    if rule == "/gateway/authorize":
        content["headers"] = {"X-Original-URI": "/gateway/weather/1.0/x"}
    queries, bodies, forms = _queries(world.names), _bodies(world.names), _forms(world.names)
    if line in queries:
        content["query_string"] = queries[line]
    if line in bodies:
        content["json"] = bodies[line]
    if line in forms:
        content["data"] = forms[line]
    return content


def _queries(names: dict[str, str]) -> dict[str, dict[str, str]]:
    waiting, working = names["waiting"], names["subscription"]
    publisher = "/api/am/publisher/v4"
    confirm = {"policy": names["free"], "application": names["application"]}
    return {
        "GET /api/am/stripe/checkout-url": {"subscriptionId": waiting},
        "GET /api/am/stripe/portal-url": {
            "subscriptionId": working,
            "tenantDomain": "carbon.super",
        },
        "GET /devportal/apis/<uuid:uuid>/subscribe/confirm": confirm,
        f"GET {publisher}/subscriptions": {"apiId": names["api"]},
        f"POST {publisher}/apis/change-lifecycle": {
            "apiId": names["api"],
            "action": "Deprecate",
        },
        f"POST {publisher}/subscriptions/change-business-plan": {
            "subscriptionId": names["paid"],
            "businessPlan": "Bronze",
        },
        f"POST {publisher}/subscriptions/block-subscription": {
            "subscriptionId": working,
            "blockState": "BLOCKED",
        },
        f"POST {publisher}/subscriptions/unblock-subscription": {"subscriptionId": working},
    }


def _bodies(names: dict[str, str]) -> dict[str, Any]:
    policies = "/api/am/admin/v4/throttling/policies/subscription"
    apis, mine = "/api/am/publisher/v4/apis", "/api/am/devportal/v3/applications"
    keys = f"{mine}/<uuid:application_id>/api-keys/<any(PRODUCTION, SANDBOX):key_type>"
    return {
        f"POST {policies}": PLAN,
        f"PUT {policies}/<uuid:policy_id>": PLAN | {"policyName": "Spare"},
        f"POST {apis}": API,
        f"PUT {apis}/<uuid:api_id>": API | {"name": "Weather", "context": "weather"},
        f"POST {apis}/<uuid:api_id>/monetize": {
            "enabled": True,
            "properties": {"ConnectedAccountKey": ACCOUNT},
        },
        f"POST {mine}": {"name": "Another", "throttlingPolicy": "Unlimited"},
        f"PUT {mine}/<uuid:application_id>": {"name": "Shop 2", "throttlingPolicy": "Unlimited"},
        f"POST {keys}/generate": {},
        f"POST {mine}/<uuid:application_id>/generate-keys": {
            "keyType": "SANDBOX",
            "grantTypesToBeSupported": ["client_credentials"],
        },
        f"POST {keys}/revoke": {"keyUUID": names["key"]},
        "POST /api/am/devportal/v3/subscriptions": {
            "applicationId": names["application"],
            "apiId": names["other api"],
            "throttlingPolicy": "Free",
        },
        "PUT /api/am/devportal/v3/subscriptions/<uuid:subscription_id>": {
            "applicationId": names["rich"],
            "apiId": names["api"],
            "throttlingPolicy": "Bronze",
            "status": "UNBLOCKED",
        },
        "PUT /api/am/admin/v4/tenant-config": {},
        "POST /client-registration/v0.17/register": {
            "clientName": "one",
            "grantType": "password",
        },
        "POST /oauth2/register": {"client_name": "one", "grant_types": ["client_credentials"]},
        "POST /api/identity/oauth2/dcr/v1.1/register": {
            "client_name": "one",
            "grant_types": ["client_credentials"],
        },
    }


def _forms(names: dict[str, str]) -> dict[str, dict[str, str]]:
    return {
        "POST /devportal/apis/<uuid:uuid>/subscribe/confirm": {
            "policy": names["free"],
            "application": names["application"],
        },
        "POST /devportal/applications/<uuid:uuid>/keys": {"key_type": "PRODUCTION"},
        "POST /publisher/subscriptions/<uuid:uuid>/block": {"move": "BLOCK_ALL"},
        "POST /publisher/apis/<uuid:uuid>/lifecycle": {"action": "Deprecate"},
    }
