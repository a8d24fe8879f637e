"""POST with an Idempotency-Key: what it makes is made once, and a repeat gets the same answer.

The key is stored in the transaction that makes the thing. So a repeat after a crash finds either
nothing, or what was made; an answer that was never written is then written from that.
"""

import hashlib
from collections.abc import Callable

from flask import current_app, request
from sqlalchemy.exc import IntegrityError
from werkzeug.wrappers import Response

from portal.api.answers import Answer, respond
from portal.errors import Invalid
from portal.extensions import db
from portal.models.idempotency import IdempotentRequest
from portal.services import idempotency
from portal.services.idempotency import Kept
from portal.web.access import bearer
from portal.web.unit_of_work import in_unit_of_work

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
LONGEST_KEY = 255
_KEPT_HEADERS = ("Location", "ETag")


def made_once(make: Callable[[], str], answer: Callable[[str], Answer]) -> Response:
    """Make something in one transaction and answer; a repeat of the key makes nothing more.

    :param make: makes it and returns in text what the answer is written from
    :param answer: writes the answer; may call the billing engine, and may run again
    :raise portal.errors.KeyReused: if the key came with another request
    """
    key = _key()
    if key is None:
        return respond(answer(in_unit_of_work(make)))
    fingerprint = _fingerprint()
    try:
        number, text, kept = in_unit_of_work(lambda: _begin(key, fingerprint, make))
    except IntegrityError:
        # Somebody sent the same at the same moment, and was first.
        number, text, kept = in_unit_of_work(lambda: _begin(key, fingerprint, make))
    if kept is not None:
        return _replay(kept)
    response = respond(answer(text))
    in_unit_of_work(lambda: _keep(number, response))
    return response


def done_once(act: Callable[[], Answer]) -> Response:
    """Do something that may be repeated without harm; a repeat of the key gets the same answer."""
    return made_once(lambda: "", lambda _: act())


def _key() -> str | None:
    given = request.headers.get(HEADER)
    if given is None:
        return None
    if not 0 < len(given) <= LONGEST_KEY or not (given.isascii() and given.isprintable()):
        raise Invalid(f"{HEADER} has 1 to {LONGEST_KEY} printable ASCII characters.")
    return given


def _fingerprint() -> str:
    parts = (request.method, request.full_path, request.headers.get("Content-Type", ""))
    if request.mimetype == "multipart/form-data":
        # The boundary differs each time.
        parts = (request.method, request.full_path, "multipart/form-data")
        fields = [*request.form.items(multi=True)]
        body = repr(fields).encode()
        for name, upload in request.files.items(multi=True):
            body += repr((name, hashlib.sha256(upload.read()).hexdigest())).encode()
            upload.seek(0)
    else:
        body = request.get_data(cache=True)
    return hashlib.sha256("\n".join(parts).encode() + b"\n" + body).hexdigest()


def _begin(key: str, fingerprint: str, make: Callable[[], str]) -> tuple[int, str, Kept | None]:
    user = bearer()
    row = idempotency.find(user, key, fingerprint)
    if row is None:
        row = idempotency.begin(user, key, fingerprint)
        idempotency.keep_made(row, make())
        db.session.flush()
    return row.idempotent_request_id, idempotency.made(row), idempotency.answer(row)


def _keep(number: int, response: Response) -> None:
    row = db.session.get(IdempotentRequest, number)
    if row is None:
        return
    headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    kept = Kept(status=response.status_code, headers=headers, body=response.get_data(as_text=True))
    idempotency.keep_answer(row, kept)


def _replay(kept: Kept) -> Response:
    response: Response = current_app.response_class(
        kept.body, status=kept.status, mimetype="application/json"
    )
    response.headers.extend(kept.headers)
    response.headers[REPLAYED] = "true"
    return response
