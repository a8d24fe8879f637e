"""Subscriptions for the lists of one tenant, whose row everybody who looks has loaded already."""

from functools import lru_cache
from typing import Any

from sqlalchemy.orm import defaultload

from portal.models import Api, Application, Subscription, User


@lru_cache
def without_tenants() -> tuple[Any, ...]:
    """Return options that leave out the tenant of each API, publisher and developer.

    It is the same one each time, and found in the session; without them it is read three times
    for each row.
    """
    api = defaultload(Subscription.api)
    owner = defaultload(Subscription.application).defaultload(Application.owner)
    return (
        api.lazyload(Api.tenant),
        api.defaultload(Api.provider).lazyload(User.tenant),
        owner.lazyload(User.tenant),
    )
