import pytest
import stripe

from portal.errors import (
    BillingEngineError,
    EngineAccessDenied,
    EngineBusy,
    EngineObjectMissing,
    EngineUnavailable,
    PaymentDeclined,
)

READ = "GET /v1/subscriptions/sub_1"


def outcome(scripted):
    engine, _ = scripted
    with pytest.raises(BillingEngineError) as caught:
        engine.subscription("acct_1", "sub_1")
    return caught.value


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "resource_missing", EngineObjectMissing),
        (400, "resource_missing", EngineObjectMissing),
        (401, "", EngineAccessDenied),
        (401, "api_key_expired", EngineAccessDenied),
        (403, "account_invalid", EngineAccessDenied),
        (429, "rate_limit", EngineBusy),
        (400, "rate_limit", EngineBusy),
        (409, "lock_timeout", EngineUnavailable),
        (409, "idempotency_key_in_use", EngineUnavailable),
        (500, "", EngineUnavailable),
        (503, "", EngineUnavailable),
        (400, "parameter_missing", BillingEngineError),
        (402, "card_declined", PaymentDeclined),
        (404, "", BillingEngineError),
    ],
)
def test_each_answer_has_its_error(scripted, status, code, kind):
    scripted[1].refuse(READ, status, code, "Something.")
    error = outcome(scripted)
    assert type(error) is kind
    assert error.engine_code == (code or "invalid_request_error")
    assert error.request_id == "req_1"
    assert error.message.endswith(".")


def test_an_idempotency_error_says_what_to_do(scripted):
    scripted[1].refuse(READ, 400, "", "Keys for idempotent…", kind="idempotency_error")
    error = outcome(scripted)
    assert type(error) is BillingEngineError
    assert error.engine_code == "idempotency_error"
    assert "Start a new one" in error.message


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("0.5", 0.5), ("soon", None), ("-1", None), ("nan", None)]
)
def test_how_long_to_wait_is_passed_on(scripted, header, seconds):
    scripted[1].refuse(READ, 429, "rate_limit", Retry_After=header)
    assert outcome(scripted).retry_after == seconds


@pytest.mark.parametrize(
    "body", ["<html>bad gateway</html>", "", "[]", '{"error": "text"}', '{"error": []}', "null"]
)
@pytest.mark.parametrize("status", [404, 502])
def test_what_is_no_answer_of_stripes_leaves_the_outcome_open(scripted, status, body):
    scripted[1].answer(READ, body, status)
    assert type(outcome(scripted)) is EngineUnavailable


@pytest.mark.parametrize("body", ["", "<html>", '{"id": "sub_1'])
def test_a_broken_body_leaves_the_outcome_open(scripted, body):
    scripted[1].answer(READ, body)
    assert type(outcome(scripted)) is EngineUnavailable


@pytest.mark.parametrize("body", ["[]", "{}", '"text"', "7", "null", '{"id": "sub_1"}'])
def test_an_answer_without_what_is_needed_is_an_error_and_not_a_crash(scripted, body):
    scripted[1].answer(READ, body)
    error = outcome(scripted)
    assert type(error) is EngineUnavailable
    assert "cannot be read" in error.message


def test_no_answer_at_all_leaves_the_outcome_open(scripted):
    scripted[1].answer(READ, stripe.APIConnectionError("refused", should_retry=False))
    assert isinstance(outcome(scripted), EngineUnavailable)


@pytest.mark.parametrize(
    "key",
    ["sk_test_sandbox_scripted", "sk_live_51Abc", "rk_test_…4242", "sk_test_****9", "whsec_abc"],
)
def test_a_key_in_stripes_words_is_not_repeated(scripted, key):
    scripted[1].refuse(READ, 400, "", f"The provided key '{key}' is wrong. " + "x" * 5000)
    message = outcome(scripted).message
    assert key not in message
    assert "(key)" in message
    assert len(message) < 400


def test_a_denied_key_is_not_repeated(scripted):
    scripted[1].refuse(READ, 401, "", "Invalid API Key provided: sk_test_sandbox_scripted")
    assert "scripted" not in outcome(scripted).message
