"""Taking in usage that other gateways report, as CloudEvents 1.0 over HTTP."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import jsonify, request
from werkzeug.exceptions import TooManyRequests, UnsupportedMediaType
from werkzeug.wrappers import Response

from portal.api import bp
from portal.api.operation import operation
from portal.api.schemas.usage import UsageEvent, UsageEvents, UsageTaken
from portal.errors import Invalid
from portal.extensions import db
from portal.services import intake
from portal.services.intake import Item, Outcome
from portal.services.scopes import USAGE_INGEST
from portal.web import bodies
from portal.web.access import bearer, scope
from portal.web.unit_of_work import in_unit_of_work

PATH = "/usage/v1/events"
ONE = "application/cloudevents+json"
MANY = "application/cloudevents-batch+json"
#: A thousand events of a kilobyte each.
MOST_BYTES = 1024 * 1024
#: How many batches one process takes in at a time; calls through the gateway go first.
AT_A_TIME = 4
RETRY_AFTER = 1
slots = threading.BoundedSemaphore(AT_A_TIME)


@bp.post(PATH)
@scope(USAGE_INGEST)
@operation(answers={200: UsageTaken}, reads={ONE: UsageEvent, MANY: UsageEvents}, refuses=(429,))
def usage_events() -> Response:
    """Take in one event or a batch of at most a thousand, and answer each of them.

    Sent again, nothing is counted twice: what was accepted is answered as duplicate. 429 with
    Retry-After: nothing was taken in, send the same again.
    """
    tenant_id = bearer().tenant_id
    # What comes slowly keeps nobody waiting: no connection and no slot until it is here.
    db.session.rollback()
    events = _events()
    with _slot():
        items = in_unit_of_work(lambda: intake.take_in(db.session.connection(), tenant_id, events))
    counted = Counter(item.outcome for item in items)
    return jsonify(
        {
            "accepted": counted[Outcome.ACCEPTED],
            "duplicates": counted[Outcome.DUPLICATE],
            "refused": counted[Outcome.REFUSED],
            "items": [_told(item) for item in items],
        }
    )


@contextmanager
def _slot() -> Iterator[None]:
    if not slots.acquire(blocking=False):
        raise TooManyRequests(
            "The portal is taking in other usage just now. Send the same again.",
            retry_after=RETRY_AFTER,
        )
    try:
        yield
    finally:
        slots.release()


def _events() -> list[Any]:
    if request.mimetype not in (ONE, MANY):
        raise UnsupportedMediaType(f"Send {ONE} or {MANY}.")
    request.max_content_length = MOST_BYTES
    text = request.get_data()
    found = bodies.json(force=True)
    if request.mimetype == ONE:
        # What is JSON and no event is refused in its item of the answer, as in a batch.
        if found is None and text.strip() != b"null":
            raise Invalid("The body has to be a JSON object: one event.")
        return [found]
    if not isinstance(found, list):
        raise Invalid("The body has to be a JSON array of events.")
    return found


def _told(item: Item) -> dict[str, Any]:
    told = {"index": item.index, "id": item.id, "source": item.source, "outcome": item.outcome}
    return told | ({"reason": item.reason} if item.reason else {})
