"""The main job over REST: subscribing, paying, calling, billing, blocking and ending."""

import json
from decimal import Decimal
from typing import Any

from portal import clock
from portal.cli.tour import acts, rest
from portal.cli.tour.browser import Browser
from portal.cli.tour.rest_steps import FREE, USAGE
from portal.cli.tour.walk import Walk, eventually, expect

PUBLISH = "/monetization/publish-usage"
CALLS = 40
COST = Decimal("0.10")


def read_the_catalogue(walk: Walk) -> str:
    """Find the API with its prices in the catalogue."""
    found, _ = rest.call(walk, "developer", "GET", f"/apis/{walk.recall('the API')}")
    tiers = {tier["tierName"]: tier for tier in found["tiers"]}
    price = tiers[USAGE]["monetizationAttributes"]["pricePerRequest"]
    expect(price == "0.0025" and tiers[USAGE]["isForSale"], f"{USAGE} is {tiers[USAGE]}.")
    return f"{found['name']}: {USAGE} at {price} USD per request, {len(tiers)} plans"


def create_an_application(walk: Walk) -> str:
    """Create an application and a key; a repeat with the same Idempotency-Key makes no second."""
    body = {"name": "Rest Caller", "description": "Made over REST"}
    headers = {"Idempotency-Key": "tour-application"}
    made, _ = rest.call(
        walk, "developer", "POST", "/applications", json=body, headers=headers, expect=201
    )
    again, answer = rest.call(
        walk, "developer", "POST", "/applications", json=body, headers=headers, expect=201
    )
    expect(again == made, "The repeat was answered differently.")
    expect(answer.headers.get("Idempotency-Replayed") == "true", "It was not replayed.")
    walk.keep("the application", made["applicationId"])
    place = f"/applications/{made['applicationId']}/api-keys/PRODUCTION/generate"
    key, _ = rest.call(walk, "developer", "POST", place)
    walk.keep("the key", key["apikey"])
    return f"{made['name']}, repeated without a second; key {key['apikey'][:12]}…"


def subscribe(walk: Walk) -> str:
    """Subscribe under the usage plan: ON_HOLD, with the payment page in redirectionParams."""
    body = {
        "applicationId": walk.recall("the application"),
        "apiId": walk.recall("the API"),
        "throttlingPolicy": USAGE,
    }
    made, _ = rest.call(walk, "developer", "POST", "/subscriptions", json=body, expect=201)
    rest.call(walk, "developer", "POST", "/subscriptions", json=body, expect=409)
    expect(made["status"] == "ON_HOLD", f"The status is {made['status']}.")
    page = acts.parsed(made["redirectionParams"])["redirectUrl"]
    walk.keep("the subscription", made["subscriptionId"])
    walk.keep("the payment page", page)
    return f"{made['status']}, to be paid at {page[:40]}…; a second time 409"


def be_refused_before_paying(walk: Walk) -> str:
    """Call before paying: 403, and the access answer says the same."""
    answer = acts.await_call(walk, walk.recall("the key"), 403, "payment-pending")
    told = _access(walk)
    expect(not told["allowed"] and told["type"] == answer.json()["type"], f"It says {told}.")
    return f"403 {answer.json()['code']}; access says {told['title']!r} until {told['until']}"


def _access(walk: Walk) -> Any:
    place = f"/subscriptions/{walk.recall('the subscription')}/access"
    return rest.call(walk, "developer", "GET", place)[0]


def _subscription_if(walk: Walk, status: str) -> Any:
    place = f"/subscriptions/{walk.recall('the subscription')}"
    body, _ = rest.call(walk, "developer", "GET", place)
    return body if body["status"] == status else None


def pay(walk: Walk) -> str:
    """Pay on the payment page, as a person does."""
    browser = Browser(walk.demo.options.portal, "payer")
    browser.open(walk.recall("the payment page"))
    page = browser.press("Subscribe", acts.card_form())
    expect(page.url.startswith(walk.demo.options.portal), f"Paying led to {page.url}.")
    return f"back at the portal, {page.heading!r}"


def see_it_unblocked(walk: Walk) -> str:
    """Ask until the subscription is UNBLOCKED."""
    body = eventually(lambda: _subscription_if(walk, "UNBLOCKED"), "UNBLOCKED subscription")
    expect(body["redirectionParams"] is None, "It still names a payment page.")
    told = _access(walk)
    expect(told["allowed"], f"Access says {told}.")
    return f"{body['status']}; access says {told['title']!r}"


def call_the_api(walk: Walk) -> str:
    """Call the API forty times through the gateway."""
    acts.calls_through(walk, walk.recall("the key"), CALLS)
    return f"{CALLS} × 200"


def report_a_call(walk: Walk) -> str:
    """Report a failed call of another gateway as a CloudEvent, twice: it is taken in once."""
    event = {
        "specversion": "1.0",
        "type": "apim.event.response",
        "source": "tour",
        "id": "call-1",
        "time": clock.now().isoformat(),
        "data": {
            "subscriptionId": walk.recall("the subscription"),
            "apiMethod": "GET",
            "targetResponseCode": 503,
        },
    }
    headers = {
        "Authorization": f"Bearer {walk.recall('the token of admin')}",
        "Content-Type": "application/cloudevents+json",
    }
    path, body = "/api/am/usage/v1/events", json.dumps(event)
    first = rest.took(rest.send(walk, "POST", path, data=body, headers=headers), 200)
    again = rest.took(rest.send(walk, "POST", path, data=body, headers=headers), 200)
    expect((first["accepted"], again["duplicates"]) == (1, 1), f"It says {first}, then {again}.")
    return "accepted, then duplicate"


def publish_usage(walk: Walk) -> str:
    """Publish usage over REST, and ask until the job has finished."""
    body, _ = rest.call(walk, "admin", "POST", PUBLISH, expect=202)

    def finished() -> Any:
        status, _ = rest.call(walk, "admin", "GET", f"{PUBLISH}/status")
        return status if status["state"] == "COMPLETED" else None

    status = eventually(finished, "finished publish job")
    expect(status["status"] == "SUCCESSFUL", f"The job was {status['status']}.")
    return f"202 {body['status']!r}, then {status['state']}, {status['status']}"


def see_the_invoice(walk: Walk) -> str:
    """Read the invoice so far as the developer, as the publisher, and as revenue."""
    number = walk.recall("the subscription")
    seen: dict[str, Decimal] = {}

    def billed() -> bool:
        for person in ("developer", "publisher"):
            body, _ = rest.call(walk, person, "GET", f"/subscriptions/{number}/usage")
            # Amount Due is 0 here: so little is carried over to the next invoice.
            seen[person] = Decimal(body["properties"]["Total"])
        return set(seen.values()) == {COST}

    eventually(billed, f"invoice over {COST} USD", seen=lambda: f"It says {seen}.")
    revenue, _ = rest.call(walk, "publisher", "GET", f"/apis/{walk.recall('the API')}/revenue")
    (item,) = revenue["list"]
    expect(Decimal(item["upcoming"]) == COST, f"The revenue is {item}.")
    return f"Total {COST} USD for both; {item['upcoming']} {item['currency']} to come"


def block_and_unblock(walk: Walk) -> str:
    """Block all calls, then only production, then unblock."""
    key, seen = walk.recall("the key"), []
    for state, slug in (("BLOCKED", "blocked"), ("PROD_ONLY_BLOCKED", "production-blocked")):
        query = {"subscriptionId": walk.recall("the subscription"), "blockState": state}
        body, _ = rest.call(
            walk, "publisher", "POST", "/subscriptions/block-subscription", params=query
        )
        expect(body["subscriptionStatus"] == state, f"The status is {body}.")
        answer = acts.await_call(walk, key, 403)
        seen.append(f"{state} 403 {acts.problem(answer) or slug}")
    query = {"subscriptionId": walk.recall("the subscription")}
    body, _ = rest.call(
        walk, "publisher", "POST", "/subscriptions/unblock-subscription", params=query
    )
    acts.await_call(walk, key, 200)
    return ", ".join([*seen, f"{body['subscriptionStatus']} 200"])


def unsubscribe(walk: Walk) -> str:
    """End the subscription: it is gone, calls are refused, Stripe's is canceled."""
    place = f"/subscriptions/{walk.recall('the subscription')}"
    engine_id = acts.engine_subscription(walk, place)
    rest.call(walk, "developer", "DELETE", place)
    rest.call(walk, "developer", "GET", place, expect=404)
    rest.call(walk, "publisher", "GET", place, expect=404)
    rest.call(walk, "developer", "DELETE", place, expect=404)
    acts.await_call(walk, walk.recall("the key"), 403)
    record = next(item for item in acts.objects(walk, "subscription") if item["id"] == engine_id)
    expect(record["status"] == "canceled", f"At Stripe it is {record['status']}.")
    return f"200, then 404 for both; {engine_id[:10]}… is {record['status']}"


def subscribe_for_nothing(walk: Walk) -> str:
    """Subscribe the same application under the free plan: it works at once."""
    body = {
        "applicationId": walk.recall("the application"),
        "apiId": walk.recall("the API"),
        "throttlingPolicy": FREE,
    }
    made, _ = rest.call(walk, "developer", "POST", "/subscriptions", json=body, expect=201)
    expect(made["status"] == "UNBLOCKED", f"The status is {made['status']}.")
    acts.await_call(walk, walk.recall("the key"), 200)
    listed, _ = rest.call(walk, "developer", "GET", "/subscriptions")
    number = made["subscriptionId"]
    expect(number in [item["subscriptionId"] for item in listed["list"]], "It is not listed.")
    return f"{made['status']}, without a payment page; calls go through"


def take_it_off_sale(walk: Walk) -> str:
    """Disable monetization and deprecate the API; what was sold keeps it from being deleted."""
    place = f"/apis/{walk.recall('the API')}"
    body, _ = rest.call(walk, "publisher", "POST", f"{place}/monetize", json={"enabled": False})
    expect(not body["enabled"] and not body["problems"], f"It says {body}.")
    rest.call(walk, "publisher", "DELETE", place, expect=409)
    query = {"action": "Deprecate", "apiId": walk.recall("the API")}
    state, _ = rest.call(walk, "publisher", "POST", "/apis/change-lifecycle", params=query)
    return f"archived {', '.join(body['archived'])}; {state['lifecycleState']['state']}"


STEPS = (
    read_the_catalogue,
    create_an_application,
    subscribe,
    be_refused_before_paying,
    pay,
    see_it_unblocked,
    call_the_api,
    report_a_call,
    publish_usage,
    see_the_invoice,
    block_and_unblock,
    unsubscribe,
    subscribe_for_nothing,
    take_it_off_sale,
)
