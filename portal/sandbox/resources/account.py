"""The platform's own account and those connected to it."""

from __future__ import annotations

from portal.sandbox import accounts, serializers
from portal.sandbox.api import may_act_for
from portal.sandbox.call import Call, Json, operation


@operation("GetAccount")
def own(call: Call) -> Json:
    """Return the account that the request is about."""
    account = accounts.find(call.db, call.account)
    if account is None:
        raise LookupError(call.account)
    return serializers.render(call.db, account)


@operation("GetAccountsAccount")
def retrieve(call: Call) -> Json:
    """Return a connected account, or the platform itself."""
    platform = accounts.find(call.db, call.platform)
    if platform is None:
        raise LookupError(call.platform)
    account = may_act_for(call.db, platform, call.path["account"])
    return serializers.render(call.db, account)
