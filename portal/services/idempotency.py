"""Requests with an Idempotency-Key: what was made for them, and what was answered."""

import json
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, select

from portal import clock
from portal.errors import KeyReused
from portal.extensions import db
from portal.models.idempotency import IdempotentRequest
from portal.models.user import User
from portal.vault import vault

#: How long a key stands for its request.
KEPT = timedelta(hours=24)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """An answer as it was sent."""

    status: int
    headers: dict[str, str]
    body: str


def find(user: User, key: str, fingerprint: str) -> IdempotentRequest | None:
    """Return the request that the person sent with this key before, if it still counts.

    :raise portal.errors.KeyReused: if it was another request
    """
    row = db.session.scalars(
        select(IdempotentRequest).where(
            IdempotentRequest.user_id == user.user_id,
            IdempotentRequest.idempotency_key == key,
            IdempotentRequest.created_at > clock.now() - KEPT,
        )
    ).one_or_none()
    if row is not None and row.fingerprint != fingerprint:
        raise KeyReused(
            "This Idempotency-Key was sent with another request. Use a new key for a new request."
        )
    return row


def begin(user: User, key: str, fingerprint: str) -> IdempotentRequest:
    """Store that a request is being answered; in the transaction that answers it.

    Two at once meet at the key: the second waits, fails and is then answered as a repeat.
    """
    db.session.execute(
        delete(IdempotentRequest).where(
            IdempotentRequest.user_id == user.user_id,
            IdempotentRequest.created_at <= clock.now() - KEPT,
        )
    )
    row = IdempotentRequest(
        tenant_id=user.tenant_id,
        user_id=user.user_id,
        idempotency_key=key,
        fingerprint=fingerprint,
    )
    db.session.add(row)
    db.session.flush()
    return row


def keep_made(row: IdempotentRequest, made: str) -> None:
    """Store what was made, from which the answer can be written again."""
    row.made_sealed = vault.seal(_place(row), made)


def made(row: IdempotentRequest) -> str:
    """Return what was made."""
    return vault.open(_place(row), row.made_sealed) if row.made_sealed else ""


def keep_answer(row: IdempotentRequest, kept: Kept) -> None:
    """Store the answer; an earlier one stays."""
    if row.status is None:
        row.status = kept.status
        text = json.dumps({"headers": kept.headers, "body": kept.body})
        row.answer_sealed = vault.seal(_place(row), text)


def answer(row: IdempotentRequest) -> Kept | None:
    """Return the answer as it was sent, if it was."""
    if row.status is None or row.answer_sealed is None:
        return None
    stored = json.loads(vault.open(_place(row), row.answer_sealed))
    return Kept(status=row.status, headers=stored["headers"], body=stored["body"])


def _place(row: IdempotentRequest) -> str:
    return f"{row.user_id}:idempotency:{row.fingerprint}"
