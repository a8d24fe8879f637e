"""What a resource works with, and the table of what is implemented."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from portal.sandbox.engine import clocks
from portal.sandbox.errors import unsupported
from portal.sandbox.settings import SandboxSettings
from portal.sandbox.store import Db, Record

Json = dict[str, Any]


@dataclass(slots=True)
class Call:
    """One API request inside its transaction: for `account`, asked by `platform`."""

    db: Db
    platform: str
    account: str
    path: dict[str, str]
    params: Json
    now: int
    settings: SandboxSettings

    def follow(self, record: Record) -> Record:
        """Let the request happen at the time of `record`'s test clock, if it has one; return it.

        :raise StripeError: 429 for a change while that clock advances
        """
        self.now = clocks.moment(self.db, record, self.now)
        return record


Handler = Callable[[Call], Json]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An implemented operation and the parameters that it models."""

    handler: Handler
    accepts: frozenset[str]


ENDPOINTS: dict[str, Endpoint] = {}

_EVERYWHERE = ("expand",)
_LISTING = ("limit", "starting_after", "ending_before")


def operation(
    identifier: str, accepts: str = "", *, listing: bool = False
) -> Callable[..., Handler]:
    """Register a handler for an `operationId` of Stripe's document.

    `accepts` lists the modelled parameters, dotted below the first level and without list
    positions (``line_items.price``); a name stands for all that is below it.
    """

    def register(handler: Handler) -> Handler:
        names = {*accepts.split(), *_EVERYWHERE, *(_LISTING if listing else ())}
        ENDPOINTS[identifier] = Endpoint(handler, frozenset(names))
        return handler

    return register


def refuse_unmodelled(endpoint: Endpoint, params: Json) -> None:
    """Refuse parameters that Stripe knows and this operation doesn't model.

    :raise StripeError: 400 with the code ``sandbox_unsupported``
    """
    for dotted, shown in _leaves(params, "", ""):
        parts = dotted.split(".")
        known = any(".".join(parts[:end]) in endpoint.accepts for end in range(1, len(parts) + 1))
        if not known:
            raise unsupported(f"parameter {shown}", shown)


def _leaves(value: Any, dotted: str, shown: str) -> list[tuple[str, str]]:
    if isinstance(value, dict) and value:
        return [
            leaf
            for key, child in value.items()
            for leaf in _leaves(
                child, f"{dotted}.{key}" if dotted else key, f"{shown}[{key}]" if shown else key
            )
        ]
    if isinstance(value, list) and value:
        return [
            leaf
            for index, child in enumerate(value)
            for leaf in _leaves(child, dotted, f"{shown}[{index}]")
        ]
    return [(dotted, shown)] if dotted else []
