"""Customer Portal configurations and sessions."""

from __future__ import annotations

from typing import Any

from portal.sandbox import events, ids
from portal.sandbox.call import Call, Json, operation
from portal.sandbox.errors import invalid, missing_param, unsupported
from portal.sandbox.resources import common
from portal.sandbox.store import Record

_REASONS = [
    "customer_service", "low_quality", "missing_features", "other", "switched_service",
    "too_complex", "too_expensive", "unused",
]  # fmt: skip
_FEATURES = (
    "features.customer_update.enabled features.customer_update.allowed_updates"
    " features.invoice_history.enabled features.payment_method_update.enabled"
    " features.subscription_cancel.enabled features.subscription_cancel.mode"
    " features.subscription_cancel.proration_behavior"
    " features.subscription_cancel.cancellation_reason features.subscription_update.enabled"
)
_PARAMS = f"{_FEATURES} business_profile default_return_url metadata name"


def _new_features() -> Json:
    return {
        "customer_update": {"allowed_updates": [], "enabled": False},
        "invoice_history": {"enabled": False},
        "payment_method_update": {"enabled": False, "payment_method_configuration": None},
        "subscription_cancel": {
            "cancellation_reason": {"enabled": False, "options": list(_REASONS)},
            "enabled": False,
            "mode": "at_period_end",
            "proration_behavior": "none",
        },
        "subscription_update": {
            "billing_cycle_anchor": None,
            "default_allowed_updates": [],
            "enabled": False,
            "proration_behavior": "none",
            "schedule_at_period_end": {"conditions": []},
            "trial_update_behavior": "end_trial",
        },
    }


def _apply_features(features: Json, asked: Json) -> None:
    for name, settings in asked.items():
        for key, value in settings.items():
            if isinstance(value, dict):
                features[name][key] = {**features[name][key], **value}
            else:
                features[name][key] = [] if value == "" else value
    if features["subscription_update"]["enabled"]:
        raise unsupported(
            "changing the plan in the portal", "features[subscription_update][enabled]"
        )
    cancel = features["subscription_cancel"]
    if cancel["proration_behavior"] != "none":
        raise unsupported("prorating", "features[subscription_cancel][proration_behavior]")
    update = features["customer_update"]
    if update["enabled"] and not update["allowed_updates"]:
        raise missing_param("features[customer_update][allowed_updates]")


@operation("PostBillingPortalConfigurations", _PARAMS)
def configure(call: Call) -> Json:
    """Create a configuration. It doesn't become the account's default (the dashboard's does)."""
    configuration: Record = {
        "id": ids.new("billing_portal.configuration"),
        "object": "billing_portal.configuration",
        "_account": call.account,
        "active": True,
        "business_profile": {
            "headline": None,
            "privacy_policy_url": None,
            "terms_of_service_url": None,
        },
        "created": call.now,
        "default_return_url": None,
        "features": _new_features(),
        "metadata": {},
        "updated": call.now,
    }
    _change(call, configuration)
    call.db.insert(configuration)
    events.emit(call.db, configuration, "billing_portal.configuration.created", now=call.now)
    return common.show(call, configuration)


def _change(call: Call, configuration: Record) -> None:
    params = call.params
    _apply_features(configuration["features"], params.get("features") or {})
    profile: dict[str, Any] = params.get("business_profile") or {}
    for name in ("privacy_policy_url", "terms_of_service_url"):
        if profile.get(name):
            common.check_url(profile[name], f"business_profile[{name}]")
    changed = {key: value or None for key, value in profile.items()}
    configuration["business_profile"] = {**configuration["business_profile"], **changed}
    if params.get("default_return_url"):
        common.check_url(params["default_return_url"], "default_return_url")
    common.assign(configuration, params, "default_return_url", "name")
    common.merge_metadata(configuration, params)


@operation("GetBillingPortalConfigurationsConfiguration")
def retrieve(call: Call) -> Json:
    """Return one configuration."""
    return common.show(call, common.from_path(call, "billing_portal.configuration"))


@operation("PostBillingPortalConfigurationsConfiguration", _PARAMS + " active")
def update(call: Call) -> Json:
    """Change or switch off a configuration."""
    configuration = common.from_path(call, "billing_portal.configuration")
    type = "billing_portal.configuration.updated"
    with events.changing(call.db, configuration, type, now=call.now):
        _change(call, configuration)
        common.assign(configuration, call.params, "active")
        configuration["updated"] = call.now
    return common.show(call, configuration)


@operation("GetBillingPortalConfigurations", "active is_default", listing=True)
def index(call: Call) -> Json:
    """List configurations."""
    filters = common.equal(call, active=common.path("active"))
    if call.params.get("is_default"):
        filters.append(("1 = 0", None))
    url = "/v1/billing_portal/configurations"
    return common.page(call, "billing_portal.configuration", filters, url)


@operation(
    "PostBillingPortalSessions",
    "customer configuration return_url locale flow_data.type flow_data.after_completion"
    " flow_data.subscription_cancel.subscription",
)
def open_session(call: Call) -> Json:
    """Open a session for one customer; its address is good for five minutes."""
    params = call.params
    if "customer" not in params:
        raise missing_param("customer")
    customer = common.from_param(call, "customer", "customer")
    configuration = _configuration(call)
    if "return_url" in params:
        common.check_url(params["return_url"], "return_url")
    session: Record = {
        "id": ids.new("billing_portal.session"),
        "object": "billing_portal.session",
        "_account": call.account,
        "_lookup": "test_" + ids.random_text(48),
        "configuration": configuration["id"],
        # Its page is opened in real time, whatever the customer's test clock says.
        "created": call.db.wall,
        "customer": customer["id"],
        "flow": _flow(call, configuration, customer),
        "locale": params.get("locale"),
        "return_url": params.get("return_url") or configuration["default_return_url"],
    }
    call.db.insert(session)
    events.emit(call.db, session, "billing_portal.session.created", now=call.db.wall)
    return common.show(call, session)


def _configuration(call: Call) -> Record:
    if "configuration" not in call.params:
        raise invalid(
            "No configuration provided and your test mode default configuration has not been"
            " created. Provide a configuration or create your default by saving your customer"
            " portal settings in test mode at"
            " https://dashboard.stripe.com/test/settings/billing/portal."
        )
    configuration = common.from_param(call, "billing_portal.configuration", "configuration")
    if not configuration["active"]:
        raise invalid("This configuration is inactive.", "configuration")
    return configuration


_FLOW_FEATURES = {
    "payment_method_update": "payment_method_update",
    "subscription_cancel": "subscription_cancel",
}


def _flow(call: Call, configuration: Record, customer: Record) -> Json | None:
    asked = call.params.get("flow_data")
    if not asked:
        return None
    type = asked["type"]
    feature = _FLOW_FEATURES.get(type)
    if feature is None:
        raise unsupported(f"the flow {type}", "flow_data[type]")
    if not configuration["features"][feature]["enabled"]:
        raise invalid(
            f"The {feature} feature is disabled in the portal configuration.", "flow_data[type]"
        )
    return {
        "after_completion": _after_completion(asked.get("after_completion") or {}),
        "subscription_cancel": _cancel_flow(call, asked, customer),
        "subscription_update": None,
        "subscription_update_confirm": None,
        "type": type,
    }


def _after_completion(asked: Json) -> Json:
    redirect = asked.get("redirect")
    if redirect:
        common.check_url(
            redirect.get("return_url"), "flow_data[after_completion][redirect][return_url]"
        )
    return {
        "hosted_confirmation": asked.get("hosted_confirmation"),
        "redirect": redirect,
        "type": asked.get("type", "portal_homepage"),
    }


def _cancel_flow(call: Call, asked: Json, customer: Record) -> Json | None:
    if asked["type"] != "subscription_cancel":
        return None
    param = "flow_data[subscription_cancel][subscription]"
    wanted = (asked.get("subscription_cancel") or {}).get("subscription")
    if not wanted:
        raise missing_param(param)
    subscription = common.from_param(call, "subscription", param, wanted)
    if subscription["customer"] != customer["id"]:
        raise invalid(f"No such subscription: '{wanted}'", param, "resource_missing")
    if subscription["cancel_at"] is not None or subscription["status"] == "canceled":
        raise invalid(
            "The subscription is already set to be canceled.", param,
        )  # fmt: skip
    return {"retention": None, "subscription": wanted}
