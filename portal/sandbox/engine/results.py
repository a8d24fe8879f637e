"""How an attempt to pay ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["paid", "declined", "requires_action", "closed"]


@dataclass(frozen=True, slots=True)
class PayResult:
    """The end of one attempt.

    `requires_action` asks for the 3-D Secure page; call again with `authenticated`. `closed` means
    that there is nothing to pay (expired session, void invoice); `message` says so for people.
    """

    kind: Kind
    message: str = ""
    code: str | None = None
    decline_code: str | None = None
    session: dict[str, Any] | None = None
    invoice: dict[str, Any] | None = None
    payment_method: dict[str, Any] | None = None
