"""Errors that the portal raises on purpose, named for what happened.

Every one carries an HTTP status and a sentence that a person can act on. ``web/problems.py``
turns them into a page or JSON; nothing else decides how they look.
"""

from typing import ClassVar


class PortalError(Exception):
    """Base of every error raised on purpose.

    :param message: what happened and what to press, for the person who reads the page
    :param code: WSO2's numeric code where it has one
    """

    status_code: ClassVar[int] = 500
    code: int = 900967
    title: ClassVar[str] = "Something went wrong"

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class Invalid(PortalError):
    """The input is wrong; ``fields`` says which field and why.

    :param fields: sentences by field name, shown beside the fields of a form
    """

    status_code = 400
    code = 900969
    title = "Please check what you entered"

    def __init__(self, message: str, fields: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.fields = fields or {}


class NotAllowed(PortalError):
    """The person is known, but may not do this."""

    status_code = 403
    code = 900403
    title = "You may not do this"


class TooManyTries(PortalError):
    """Signing in failed too often; the right password does not help now either.

    :param seconds: how long to wait
    """

    status_code = 429
    code = 900429
    title = "Too many tries"

    def __init__(self, seconds: int) -> None:
        minutes = -(-seconds // 60)
        wait = f"{seconds} seconds" if seconds < 60 else f"{minutes} min"
        super().__init__(
            f"Signing in failed too often. Wait {wait} and try again, or ask your administrator "
            "to unlock it under Admin > People."
        )
        self.seconds = seconds


class NotFound(PortalError):
    """There is no such thing, or it belongs to somebody else: the answer is the same."""

    status_code = 404
    code = 900404
    title = "Not found"


class Conflict(PortalError):
    """The request is well formed, but things are not in a state that permits it."""

    status_code = 409
    code = 900409
    title = "Not possible now"


class MoveRefused(Conflict):
    """A subscription's move does not start from where the subscription stands."""


class NotConfigured(Conflict):
    """A setting is missing that this action needs; the message says where to enter it."""

    title = "Set-up is not complete"


class InvalidSignature(PortalError):
    """A webhook body is not genuine."""

    status_code = 400
    title = "Invalid signature"


class BillingEngineError(PortalError):
    """The billing engine refused, with a reason that trying again does not change.

    :param engine_code: the engine's own code, for example ``resource_missing``
    :param request_id: the engine's id of the request, for its support
    """

    status_code = 502
    title = "The payment provider refused"

    def __init__(self, message: str, *, engine_code: str = "", request_id: str = "") -> None:
        super().__init__(message)
        self.engine_code = engine_code
        self.request_id = request_id


class PaymentDeclined(BillingEngineError):
    """What was due at once could not be paid, so nothing has been changed."""

    status_code = 402
    title = "The payment did not go through"


class EngineObjectMissing(BillingEngineError):
    """The billing engine knows no such object."""


class EngineAccessDenied(BillingEngineError):
    """The key is wrong, or has no access to the connected account."""


class EngineUnavailable(BillingEngineError):
    """No certain answer: time-out, connection lost, 429 or 5xx.

    The call may or may not have had its effect. Press again: the same attempt is repeated with
    the same idempotency key, so nothing happens twice.

    :param retry_after: seconds the engine asked to wait, if it said so
    """

    status_code = 503
    title = "The payment provider does not answer"

    def __init__(self, message: str, *, retry_after: float | None = None, **more: str) -> None:
        super().__init__(message, **more)
        self.retry_after = retry_after


class EngineBusy(EngineUnavailable):
    """Too many requests (429), also where another call holds the object: nothing happened."""


class Outdated(PortalError):
    """Somebody changed the thing since the caller read it (If-Match)."""

    status_code = 412
    code = 900412
    title = "Changed in the meantime"


class PreconditionMissing(PortalError):
    """A change must say which version it is made from (If-Match)."""

    status_code = 428
    code = 900428
    title = "Say which version you change"


class KeyReused(PortalError):
    """An Idempotency-Key that stands for another request already."""

    status_code = 422
    code = 900422
    title = "This key stands for another request"
