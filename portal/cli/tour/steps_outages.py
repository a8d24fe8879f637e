"""Servers that are down: what people and programs are told, and that trying again works."""

from portal.cli.tour import acts
from portal.cli.tour.steps_buying import APPLICATION
from portal.cli.tour.steps_plans import FIXED
from portal.cli.tour.walk import Walk, expect

PATIENT = "Tour Patient"


def call_without_a_back_end(walk: Walk) -> str:
    """Stop the back end and call: the gateway says so, and the call is not billed."""
    key = walk.recall(f"the key of {APPLICATION}")
    walk.demo.servers.stop(["backend"])
    try:
        answer = acts.await_call(walk, key, 502, "backend-unreachable")
    finally:
        walk.demo.restart("backend")
    acts.await_call(walk, key, 200)
    return f"502 {answer.json()['title']!r}; 200 once it is back"


def pay_without_the_sandbox(walk: Walk) -> str:
    """Stop the sandbox and press Complete Payment: the page says so, nothing is half-written."""
    acts.create_application(walk, PATIENT)
    place = acts.subscribe(walk, PATIENT, walk.recall("the API's name"), FIXED)
    walk.demo.servers.stop(["sandbox"])
    try:
        link = next(
            item["href"] for item in walk.developer.page.links() if item.words == "Complete Payment"
        )
        page = walk.developer.open(link, expect=503)
        said = page.heading
        expect("ON_HOLD" in acts.status(walk, place), "The subscription is no longer on hold.")
    finally:
        walk.demo.restart("sandbox")
    acts.pay(walk, place)
    return f"{said!r}; pressed again later: {acts.await_status(walk, place, 'UNBLOCKED')}"


STEPS = (call_without_a_back_end, pay_without_the_sandbox)
