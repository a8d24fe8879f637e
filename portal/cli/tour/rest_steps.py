"""The main job over REST: tokens, plans, an API and its monetization."""

import json
from typing import Any

import requests

from portal.cli.tour import acts, rest
from portal.cli.tour.walk import Walk, expect

PLANS = "/throttling/policies/subscription"
USAGE, FIXED, FREE = "Rest-Usage", "Rest-Monthly", "Rest-Free"
ERROR = {"code", "message", "description", "moreInfo", "error"}


def plan(name: str, **price: str) -> dict[str, object]:
    """Return a plan's body as WSO2's console sends it; without a price it is free."""
    kind = "DYNAMICRATE" if price.get("pricePerRequest") else "FIXEDRATE"
    properties = {"fixedPrice": "", "pricePerRequest": "", "currencyType": "USD"}
    return {
        "policyName": name,
        "description": "Made over REST",
        "defaultLimit": {
            "type": "REQUESTCOUNTLIMIT",
            "requestCount": {"requestCount": "600", "timeUnit": "min", "unitTime": "1"},
        },
        "stopOnQuotaReach": True,
        "billingPlan": "COMMERCIAL" if price else "FREE",
        "monetization": {
            "monetizationPlan": kind,
            "properties": {**properties, "billingCycle": "month", **price},
        },
    }


def register_a_client(walk: Walk) -> str:
    """Register a client with the administrator's name and password."""
    client = rest.register(walk)
    walk.keep("the client", client)
    return f"clientId {client[0][:8]}…"


def get_tokens(walk: Walk) -> str:
    """Get a token of each person with the scopes of their work."""
    seen = []
    for person, (_, scopes) in rest.PEOPLE.items():
        token = rest.ask_for_token(walk, person)
        missing = set(scopes.split()) - set(token["scope"].split())
        expect(not missing, f"The token of {person} lacks {', '.join(sorted(missing))}.")
        walk.keep(f"the token of {person}", token["access_token"])
        seen.append(f"{person} {len(token['scope'].split())} scopes")
    return ", ".join(seen)


def refuse_without_a_token(walk: Walk) -> str:
    """Try without a token, and as a developer what is the administrator's."""
    body = rest.took(rest.send(walk, "GET", f"/api/am/admin/v4{PLANS}"), 401)
    expect(set(body) == ERROR, f"The refusal has {', '.join(body)}.")
    headers = {"Authorization": f"Bearer {walk.recall('the token of developer')}"}
    answer = rest.send(walk, "GET", f"/api/am/admin/v4{PLANS}", headers=headers)
    denied = rest.took(answer, 403)
    return f"401 {body['message']!r}, 403 {denied['code']}"


def read_the_document(walk: Walk) -> str:
    """Read the OpenAPI document."""
    document = rest.took(rest.send(walk, "GET", "/api/openapi.json"), 200)
    operations = sum(len(methods) for methods in document["paths"].values())
    expect(document["openapi"].startswith("3.1"), f"It is {document['openapi']}.")
    return f"OpenAPI {document['openapi']} with {operations} operations"


def read_the_configuration(walk: Walk) -> str:
    """Read the tenant's configuration: secrets are masked."""
    body, _ = rest.call(walk, "admin", "GET", "/tenant-config")
    key = body["MonetizationInfo"]["BillingEnginePlatformAccountKey"]
    expect(walk.platform_key not in json.dumps(body), "The platform key is shown.")
    return f"BillingEnginePlatformAccountKey {key}"


def create_plans(walk: Walk) -> str:
    """Create a free plan, one of 1.05 USD a month and one of 0.0025 USD a request."""
    bodies = (
        plan(FREE),
        plan(FIXED, fixedPrice="1.05"),
        plan(USAGE, pricePerRequest="0.0025"),
    )
    for body in bodies:
        made, answer = rest.call(walk, "admin", "POST", PLANS, json=body, expect=201)
        walk.keep(f"the plan {made['policyName']}", made["policyId"])
    return f"201 three times; the last at {answer.headers['Location'][:40]}…"


def refuse_a_price_that_cannot_be_charged(walk: Walk) -> str:
    """Try a fixed rate of 1.005 USD, which no invoice can hold."""
    body = plan("Rest-Odd", fixedPrice="1.005")
    refused, _ = rest.call(walk, "admin", "POST", PLANS, json=body, expect=400)
    fields = [item["code"] for item in refused["error"]]
    expect("monetization.properties.fixedPrice" in fields, f"It names {fields}.")
    return f"400, naming {fields[0]}"


def change_a_plan(walk: Walk) -> str:
    """Change a plan with its ETag; the same ETag again is refused."""
    place = f"{PLANS}/{walk.recall(f'the plan {FIXED}')}"
    seen, answer = rest.call(walk, "admin", "GET", place)
    headers = {"If-Match": answer.headers["ETag"]}
    body = seen | {"description": "Changed over REST"}
    rest.call(walk, "admin", "PUT", place, json=body, headers=headers)
    rest.call(walk, "admin", "PUT", place, json=body, headers=headers, expect=412)
    rest.call(walk, "admin", "PUT", place, json=body, expect=428)
    return "200, then 412 with the older ETag and 428 with none"


def import_an_api(walk: Walk) -> str:
    """Create an API from the back end's OpenAPI document, with its plans."""
    document = acts.fetch(f"{walk.demo.backend}/openapi.json")
    beside = {"context": "rest-tour", "policies": [FREE, FIXED, USAGE]}
    made, _ = rest.call(
        walk,
        "publisher",
        "POST",
        "/apis/import-openapi",
        files={"file": ("openapi.json", document.content, "application/json")},
        data={"additionalProperties": json.dumps(beside)},
        expect=201,
    )
    walk.keep("the API", made["id"])
    address = f"/gateway/rest-tour/{made['version']}"
    walk.keep("the gateway address", walk.demo.options.portal + address)
    names = ", ".join(made["policies"])
    return f"{made['name']} {made['version']}, {made['lifeCycleStatus']}, {names}"


def refuse_to_sell_before_publishing(walk: Walk) -> str:
    """Try to sell it before it is published."""
    refused, _ = _monetize(walk, walk.account, expected=400)
    expect(refused["code"] == 904300, f"The code is {refused['code']}.")
    return f"400 {refused['code']} {refused['message']!r}"


def publish_the_api(walk: Walk) -> str:
    """Publish it."""
    query = {"action": "Publish", "apiId": walk.recall("the API")}
    body, _ = rest.call(walk, "publisher", "POST", "/apis/change-lifecycle", params=query)
    return f"{body['workflowStatus']}, {body['lifecycleState']['state']}"


def monetize_the_api(walk: Walk) -> str:
    """Sell it through the publisher's connected account; sent twice, the same."""
    _monetize(walk, "acct_1DoesNotExist", expected=400)
    body, _ = _monetize(walk, walk.account, expected=200)
    again, _ = _monetize(walk, walk.account, expected=200)
    expect(body["enabled"] and set(body["monetized"]) == {FIXED, USAGE}, f"It is {body}.")
    expect(again["enabled"], "The second time it was not enabled.")
    place = f"/apis/{walk.recall('the API')}/monetization"
    sold, _ = rest.call(walk, "publisher", "GET", place)
    expect(set(sold["properties"]) == {FIXED, USAGE}, f"Sold are {sold['properties']}.")
    return ", ".join(f"{name} {price[:12]}…" for name, price in sold["properties"].items())


def _monetize(walk: Walk, account: str, *, expected: int) -> tuple[Any, requests.Response]:
    place = f"/apis/{walk.recall('the API')}/monetize"
    body = {"enabled": True, "properties": {"ConnectedAccountKey": account}}
    return rest.call(walk, "publisher", "POST", place, json=body, expect=expected)


STEPS = (
    register_a_client,
    get_tokens,
    refuse_without_a_token,
    read_the_document,
    read_the_configuration,
    create_plans,
    refuse_a_price_that_cannot_be_charged,
    change_a_plan,
    import_an_api,
    refuse_to_sell_before_publishing,
    publish_the_api,
    monetize_the_api,
)
