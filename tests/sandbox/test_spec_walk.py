"""Every operation of Stripe's document: a checked 200 and a checked error, or the 404."""

import re
from typing import Any
from urllib.parse import urlencode

import pytest
import stripe

from portal.sandbox import resources, serializers, spec
from portal.sandbox.call import ENDPOINTS
from portal.sandbox.spec import Operation
from tests.sandbox.conftest import World, check_events
from tests.sandbox.walk import CALLS, Good, product

OPERATIONS = {
    each.operation_id: each for each in (*spec.operations(), *spec.undocumented_operations())
}
IMPLEMENTED = sorted(ENDPOINTS)
# An account that a key can't act for is refused before it is looked up.
_FORBIDDEN = ("GetAccountsAccount",)


def send(world: World, method: str, call: Good) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {world.key}"}
    if not call.own:
        headers["Stripe-Account"] = world.account
    inside = {} if method == "GET" else {"content_type": "application/x-www-form-urlencoded"}
    text = urlencode(call.pairs)
    answer = world.app.test_client().open(
        call.path,
        method=method,
        headers=headers,
        query_string=text if method == "GET" else None,
        data=None if method == "GET" else text,
        **inside,  # type: ignore[arg-type]
    )
    return answer.status_code, answer.get_json()


def filled(operation: Operation, identifier: str) -> str:
    return re.sub(r"\{\w+\}", identifier, operation.template)


def test_every_implemented_operation_is_stripes_and_is_walked() -> None:
    assert resources.__all__
    assert len(IMPLEMENTED) >= 65
    assert OPERATIONS.keys() >= set(IMPLEMENTED)
    assert set(IMPLEMENTED) <= CALLS.keys()


@pytest.mark.parametrize("identifier", IMPLEMENTED)
def test_an_operation_succeeds_with_stripes_shape(world: World, identifier: str) -> None:
    operation = OPERATIONS[identifier]
    call = CALLS[identifier](world)
    matched = spec.match(operation.method, call.path)
    assert matched is not None
    assert matched.operation_id == identifier
    status, body = send(world, operation.method, call)
    assert status == 200, body
    assert spec.violations(operation, body) == []


@pytest.mark.parametrize("identifier", IMPLEMENTED)
def test_an_operation_refuses_with_stripes_shape(world: World, identifier: str) -> None:
    operation = OPERATIONS[identifier]
    good = CALLS[identifier](world)
    bogus = Good(good.path, {**good.pairs, "bogus": "1"}, good.own)
    status, body = send(world, operation.method, bogus)
    assert (status, body["error"]["code"]) == (400, "parameter_unknown"), body
    assert body["error"]["message"] == "Received unknown parameter: bogus"
    assert spec.violations("error", body) == []


@pytest.mark.parametrize(
    "identifier", [each for each in IMPLEMENTED if "{" in OPERATIONS[each].template]
)
def test_an_id_that_names_nothing_is_404_on_every_operation(world: World, identifier: str) -> None:
    operation = OPERATIONS[identifier]
    good = CALLS[identifier](world)
    nothing = Good(filled(operation, "nothing_1"), good.pairs, good.own)
    status, body = send(world, operation.method, nothing)
    missing = "not_found" if operation.template.startswith("/v2/") else "resource_missing"
    expected = (403, "account_invalid") if identifier in _FORBIDDEN else (404, missing)
    assert (status, body["error"].get("code")) == expected, body
    assert spec.violations("error", body) == []


@pytest.mark.parametrize("identifier", sorted(OPERATIONS.keys() - ENDPOINTS.keys()) or [None])
def test_an_operation_that_is_not_implemented_is_unknown(
    world: World, identifier: str | None
) -> None:
    if identifier is None:
        method, path = "POST", "/v1/payouts"
    else:
        method, path = OPERATIONS[identifier].method, filled(OPERATIONS[identifier], "x_1")
    status, body = send(world, method, Good(path))
    assert status == 404
    assert body["error"]["message"].startswith(f"Unrecognized request URL ({method}: {path}).")
    assert spec.violations("error", body) == []


# The gate itself: planted violations must not pass.


def plant(monkeypatch: pytest.MonkeyPatch, kind: str, **change: Any) -> None:
    """Let the serializer of `kind` send something that Stripe would not."""
    render = serializers.render

    def wrong(db: Any, record: Any) -> Any:
        shown = render(db, record)
        return {**shown, **change} if shown.get("object") == kind else shown

    monkeypatch.setattr(serializers, "render", wrong)


@pytest.mark.parametrize(
    "change",
    [{"surprise": 1}, {"active": "yes"}, {"name": None}, {"created": 1.5}],
    ids=["unknown key", "wrong type", "null", "not an integer"],
)
def test_a_planted_violation_in_a_response_fails(
    world: World, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    known = product(world)
    plant(monkeypatch, "product", **change)
    with pytest.raises(stripe.APIError, match="sandbox schema violation"):
        world.api.v1.products.retrieve(known)


def test_a_planted_violation_in_an_event_fails_when_it_happens(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = product(world)
    before = world.event_types()
    plant(monkeypatch, "product", surprise=1)
    with pytest.raises(stripe.APIError, match=r"product\.updated.*surprise"):
        world.api.v1.products.update(known, {"active": False})
    monkeypatch.undo()
    # The change went with its event.
    assert world.event_types() == before
    assert world.api.v1.products.retrieve(known).active


def test_a_planted_violation_in_a_stored_event_fails_the_test(world: World) -> None:
    product(world)
    store = world.app.extensions["sandbox"].store
    planted = 'UPDATE events SET body = json_set(body, "$.data.object.surprise", 1)'
    with store.write() as db:
        kept = db.execute("SELECT body FROM events").fetchone()[0]
        db.execute(planted)
    with pytest.raises(AssertionError, match="surprise"):
        check_events(world.app)
    with store.write() as db:
        db.execute("UPDATE events SET body = ?", kept)


def test_the_document_is_strict_about_what_an_error_may_say() -> None:
    wrong = {"error": {"type": "wrong", "message": "No.", "bogus": 1}}
    assert len(spec.violations("error", wrong)) == 2
