"""From an HTTP request to an answer: key, version, account, parameters, idempotency, execution."""

from __future__ import annotations

import base64
import json
import logging
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from flask import Request, Response
from werkzeug.exceptions import HTTPException

from portal.sandbox import accounts, expand, faults, idempotency, ids, spec
from portal.sandbox.call import ENDPOINTS, Call, Endpoint, refuse_unmodelled
from portal.sandbox.errors import StripeError, as_v2, invalid, unrecognized
from portal.sandbox.faults import Fault
from portal.sandbox.idempotency import InFlight, Replay
from portal.sandbox.requestlog import Entry
from portal.sandbox.service import Sandbox
from portal.sandbox.settings import API_VERSION
from portal.sandbox.severing import SEVER
from portal.sandbox.spec import Operation, SpecError
from portal.sandbox.store import Cause, Db, Record

log = logging.getLogger(__name__)

Pairs = list[tuple[str, str]]
_FORM = "application/x-www-form-urlencoded"
_NO_KEY = (
    "You did not provide an API key. You need to provide your API key in the Authorization header,"
    " using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See"
    " https://stripe.com/docs/api#authentication for details, or we can help at"
    " https://support.stripe.com/."
)
_BROKE = "An unknown error occurred in the sandbox. Its log has the reason."


@dataclass(slots=True)
class Asked:
    """One request while it is being understood."""

    id: str
    method: str
    path: str
    idempotency_key: str | None
    account: str | None = None
    platform: str = ""
    pairs: Pairs = field(default_factory=list)
    fault: Fault | None = None

    def suffers(self, kind: str) -> bool:
        """Tell whether this request was chosen for a fault."""
        return self.fault is not None and self.fault.kind == kind


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, body, whether it was given before, and headers beyond the usual ones."""

    status: int
    body: dict[str, Any]
    replayed_from: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


def handle(sandbox: Sandbox, in_flight: InFlight, request: Request) -> Response:
    """Answer one request of the API and log it."""
    began = time.monotonic()
    key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
    asked = Asked(ids.new("request"), request.method, request.path, key)
    try:
        answer = _answer(sandbox, in_flight, request, asked)
    except StripeError as error:
        answer = Answer(error.status, error.body(), headers=error.headers)
    except HTTPException as broken:
        text = f"Sandbox: {broken.description}"
        answer = Answer(broken.code or 400, StripeError(broken.code or 400, text).body())
    except SpecError as refused:
        answer = Answer(400, invalid(refused.message, refused.param, refused.code).body())
    if answer.status >= 400 and request.path.startswith("/v2/"):
        answer = replace(answer, body=as_v2(answer.body))
    milliseconds = int((time.monotonic() - began) * 1000)
    sandbox.log.add(_entry(asked, answer, sandbox.clock.now(), milliseconds))
    request.environ[SEVER] = asked.suffers("reset_after")
    return _response(asked, answer)


def _answer(sandbox: Sandbox, in_flight: InFlight, request: Request, asked: Asked) -> Answer:
    with sandbox.store.read() as db:
        platform, account = _authenticate(db, request)
    asked.platform, asked.account = platform["id"], account
    sandbox.limits.admit(account)
    asked.fault = _fault(sandbox, request, account)
    faults.before(asked.fault)
    _check_version(request)
    operation = spec.match(request.method, request.path)
    endpoint = ENDPOINTS.get(operation.operation_id) if operation else None
    if operation is None or endpoint is None:
        raise unrecognized(request.method, request.path)
    asked.pairs, location = _pairs(request)
    params = spec.coerce(operation, asked.pairs, location)
    refuse_unmodelled(endpoint, params)
    if request.method == "GET":
        with sandbox.store.read() as db:
            answer = _execute(sandbox, db, operation, endpoint, params, asked)
        if asked.suffers("error_after"):
            raise faults.after()
        return answer
    if asked.idempotency_key is not None:
        idempotency.check(asked.idempotency_key)
    with _apart(sandbox, asked, params), in_flight.hold(account, asked.idempotency_key):
        cause = Cause(asked.id, asked.idempotency_key)
        with sandbox.store.write(cause) as db:
            return _once(sandbox, db, operation, endpoint, params, asked)


def _apart(sandbox: Sandbox, asked: Asked, params: dict[str, Any]) -> AbstractContextManager[None]:
    # https://docs.stripe.com/rate-limits: one concurrent call per meter and customer.
    if asked.path != "/v1/billing/meter_events":
        return nullcontext()
    customer = params.get("payload", {}).get("stripe_customer_id", "")
    return sandbox.limits.alone(str(asked.account), str(params.get("event_name")), str(customer))


def _fault(sandbox: Sandbox, request: Request, account: str) -> Fault | None:
    """Return what this request was chosen to suffer, counted down."""
    carried = faults.from_header(request.headers, sandbox.settings.admin_token)
    if carried is not None:
        return carried
    facts = {"method": request.method, "path": request.path, "account": account}
    with sandbox.store.read() as db:
        if faults.next_one(db, "api", **facts) is None:
            return None
    with sandbox.store.write() as db:
        return faults.take(db, "api", **facts)


def _once(
    sandbox: Sandbox,
    db: Db,
    operation: Operation,
    endpoint: Endpoint,
    params: dict[str, Any],
    asked: Asked,
) -> Answer:
    """Execute a request that changes something, at most once for its idempotency key."""
    account, key, now = str(asked.account), asked.idempotency_key, sandbox.clock.now()
    print_ = idempotency.fingerprint(asked.method, asked.path, asked.pairs)
    if key is not None:
        kept = idempotency.replay(db, account, key, print_, now=now)
        if kept is not None:
            return Answer(kept.status, kept.body, kept.request)
    db.execute("SAVEPOINT attempt")
    saved = True
    try:
        answer = _execute(sandbox, db, operation, endpoint, params, asked)
    except StripeError as error:
        if not error.keep:
            db.execute("ROLLBACK TO attempt")
        answer, saved = Answer(error.status, error.body()), error.saved
    except Exception:
        log.exception("%s %s broke", asked.method, asked.path)
        db.execute("ROLLBACK TO attempt")
        answer = Answer(500, StripeError(500, _BROKE, type="api_error").body())
    db.execute("RELEASE attempt")
    if asked.suffers("error_after"):
        answer, saved = Answer(500, faults.after().body()), True
    if key is not None and saved:
        idempotency.keep(
            db, account, key, print_, Replay(answer.status, answer.body, asked.id), now=now
        )
    return answer


def _execute(
    sandbox: Sandbox,
    db: Db,
    operation: Operation,
    endpoint: Endpoint,
    params: dict[str, Any],
    asked: Asked,
) -> Answer:
    paths = params.pop("expand", None) or []
    call = Call(
        db=db,
        platform=asked.platform,
        account=str(asked.account),
        path=dict(operation.path_params),
        params=params,
        now=sandbox.clock.now(),
        settings=sandbox.settings,
    )
    body = expand.apply(db, call.account, endpoint.handler(call), paths)
    if sandbox.settings.strict:
        _validate(operation, body)
    return Answer(200, body)


def _validate(operation: Operation, body: dict[str, Any]) -> None:
    found = spec.violations(operation, body)
    if found:
        message = "sandbox schema violation: " + "; ".join(found[:5])
        log.error("%s: %s", operation.operation_id, message)
        raise StripeError(500, message, type="api_error")


def _authenticate(db: Db, request: Request) -> tuple[Record, str]:
    """Return the platform behind the key and the account that the request is about.

    :raise StripeError: 401 without a good key, 403 for an account that the key may not act for
    """
    key = _secret_key(request)
    if not key:
        raise StripeError(401, _NO_KEY)
    platform = accounts.by_key(db, key)
    if platform is None:
        raise StripeError(401, f"Invalid API Key provided: {masked(key)}")
    # Stripe-Context is what version 2 calls it, also where it leads to an object of version 1.
    wanted = request.headers.get("Stripe-Account") or request.headers.get("Stripe-Context")
    if wanted is None or wanted == platform["id"]:
        return platform, str(platform["id"])
    may_act_for(db, platform, wanted)
    return platform, wanted


def may_act_for(db: Db, platform: Record, account: str) -> Record:
    """Return a connected account that the platform may act for.

    :raise StripeError: 403 for any other
    """
    record = accounts.find(db, account)
    allowed = record is not None and record["_platform"] == platform["id"]
    if record is None or not allowed or record.get("_revoked"):
        message = (
            f"The provided key '{masked(platform['_secret_key'])}' does not have access to account"
            f" '{account}' (or that account does not exist). Application access may have been"
            " revoked."
        )
        raise StripeError(403, message, code="account_invalid")
    return record


def masked(key: str) -> str:
    """Return a key as it may be shown."""
    return f"{key[:8]}{'*' * max(len(key) - 12, 4)}{key[-4:]}" if len(key) > 16 else "****"


def _secret_key(request: Request) -> str:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[0]
        except ValueError:
            return ""
    return ""


def _check_version(request: Request) -> None:
    version = request.headers.get("Stripe-Version", API_VERSION)
    if version != API_VERSION:
        raise invalid(
            f"Sandbox: this sandbox speaks API version {API_VERSION} only, not {version}.",
            code="sandbox_unsupported",
        )


def _pairs(request: Request) -> tuple[Pairs, str]:
    query = list(request.args.items(multi=True))
    if request.method in ("GET", "DELETE"):
        if request.method == "GET" and request.get_data(cache=True):
            raise invalid("Sandbox: send the parameters of a GET in its address, not in a body.")
        body = _form(request) if request.method == "DELETE" else []
        return query + body, "query"
    if query:
        raise invalid("Sandbox: send the parameters of a POST in its body.", query[0][0])
    return _form(request), "body"


def _form(request: Request) -> Pairs:
    if not request.get_data(cache=True):
        return []
    if request.mimetype != _FORM:
        raise invalid(
            f"Invalid request (check that your POST content type is {_FORM}). If you have any"
            " questions, we can help at https://support.stripe.com/."
        )
    return list(request.form.items(multi=True))


def _entry(asked: Asked, answer: Answer, now: int, milliseconds: int) -> Entry:
    shown = [
        (name, "****" if "[number]" in name or "[cvc]" in name else value)
        for name, value in asked.pairs
    ]
    error = answer.body["error"]["message"] if answer.status >= 400 else None
    return Entry(
        id=asked.id,
        created=now,
        method=asked.method,
        path=asked.path,
        account=asked.account,
        status=answer.status,
        milliseconds=milliseconds,
        idempotency_key=asked.idempotency_key,
        params=json.dumps(shown) if shown else None,
        error=error,
    )


def _response(asked: Asked, answer: Answer) -> Response:
    text = json.dumps(answer.body, indent=2) + "\n"
    if asked.suffers("malformed"):
        text = text[: len(text) // 2]
    response = Response(text, answer.status, mimetype="application/json")
    response.headers.update(answer.headers)
    response.headers["Request-Id"] = asked.id
    response.headers["Stripe-Version"] = API_VERSION
    response.headers["Cache-Control"] = "no-cache, no-store"
    if asked.account is not None and asked.account != asked.platform:
        response.headers["Stripe-Account"] = asked.account
    if asked.idempotency_key is not None:
        response.headers["Idempotency-Key"] = asked.idempotency_key
    if answer.replayed_from is not None:
        response.headers["Idempotent-Replayed"] = "true"
        response.headers["Original-Request"] = answer.replayed_from
    return response
