"""Who did what: the acts of administrators, publishers, and operators at the command line."""

from datetime import date

from flask import render_template, request

from portal.admin import bp
from portal.services import audit
from portal.services.audit import Filter
from portal.web.access import admin_only, me

#: What each act is called; a test holds that every act that is noted stands here.
ACTS = {
    "admin.approve": "Approved a subscription",
    "admin.check_identity_provider": "Tested the identity provider",
    "admin.compare": "Compared with the payment provider",
    "admin.configuration": "Changed the advanced configuration",
    "admin.decide_batch": "Decided about a batch of usage",
    "admin.decide_refund": "Decided about a refund",
    "admin.delete_plan": "Deleted a plan",
    "admin.edit_plan": "Changed a plan",
    "admin.identity_provider": "Changed the identity provider",
    "admin.new_password": "Gave a person a new password",
    "admin.new_person": "Added a person",
    "admin.new_plan": "Made a plan",
    "admin.person": "Changed a person",
    "admin.publish_usage": "Published usage",
    "admin.register_webhook": "Registered the webhook",
    "admin.reject": "Rejected a subscription",
    "admin.repair": "Repaired a difference",
    "admin.settle_drift": "Marked a difference as settled",
    "admin.replay_event": "Replayed an event",
    "admin.retry_failed": "Tried failed events again",
    "admin.sign_person_out": "Signed a person out everywhere",
    "admin.test_key": "Tested the platform key",
    "admin.test_source": "Tested the source of usage",
    "admin.unlock_person": "Unlocked a person's sign-in",
    "admin.usage_source": "Changed the source of usage",
    "api.block_subscription": "Blocked a subscription",
    "api.change_business_plan": "Changed a subscription's plan",
    "api.change_lifecycle": "Changed the state of an API",
    "api.create_api": "Made an API",
    "api.create_policy": "Made a plan",
    "api.delete_api": "Deleted an API",
    "api.delete_policy": "Deleted a plan",
    "api.import_open_api": "Imported an API",
    "api.monetize": "Changed the monetization of an API",
    "api.publish_usage": "Published usage",
    "api.unblock_subscription": "Unblocked a subscription",
    "api.update_api": "Changed an API",
    "api.update_policy": "Changed a plan",
    "api.update_tenant_config": "Changed the advanced configuration",
    "oauth.register": "Registered a program",
    "oauth.register_client": "Registered a program",
    "publisher.api_plans": "Changed the plans of an API",
    "publisher.block": "Blocked or unblocked a subscription",
    "publisher.delete_plan": "Deleted a plan",
    "publisher.edit_api": "Changed an API",
    "publisher.edit_plan": "Changed a plan",
    "publisher.import_api": "Imported an API",
    "publisher.lifecycle": "Changed the state of an API",
    "publisher.monetization": "Changed the monetization of an API",
    "publisher.new_api": "Made an API",
    "publisher.new_plan": "Made a plan",
    "stripe.configure_again": "Set the Stripe service up again",
}
#: The same of what is done at the command line.
COMMANDS = {
    "flask oauth clean-up": "Deleted what the authorization server needs no more",
    "flask oauth rotate-keys": "Changed the key that signs id tokens",
    "flask people add": "Added a person",
    "flask people password": "Gave a person a new password",
    "flask people unlock": "Unlocked a person's sign-in",
    "flask reconcile --repair": "Repaired differences",
    "flask secrets rotate": "Encrypted the stored secrets anew",
    "flask usage import": "Took in a file of calls",
    "flask usage publish": "Published usage",
}
#: What people call a table's rows, where it is not the table's own name.
ROWS = {
    "Api": "API",
    "ApplicationKey": "Key",
    "CheckoutAttempt": "Checkout",
    "EnginePrice": "Price",
    "EngineSubscription": "Subscription at Stripe",
    "IdentityProvider": "Identity provider",
    "OAuthClient": "Program",
    "Offer": "Plan on sale",
    "PlanChange": "Change of plan",
    "Policy": "Plan",
    "PolicyVersion": "Version of a plan",
    "PortalConfiguration": "Customer Portal",
    "PublishRun": "Publishing of usage",
    "SharedCustomer": "Customer",
    "SystemApp": "Part of the portal",
    "Tenant": "Configuration",
    "UsageBatch": "Batch of usage",
    "UsageEvent": "Calls",
    "UsageSource": "Source of usage",
    "User": "Person",
}


@bp.get("/audit")
@admin_only
def audit_log() -> str:
    """List the tenant's acts; ``who``, ``act``, ``since``, ``until`` and ``page`` narrow it."""
    tenant_id = me().tenant_id
    wanted = Filter(
        who=request.args.get("who", "").strip()[:600],
        act=request.args.get("act", ""),
        since=_day("since"),
        until=_day("until"),
    )
    number = min(max(request.args.get("page", 1, type=int), 1), 1_000_000)
    known = sorted(audit.acts(tenant_id), key=_words)
    return render_template(
        "admin/audit.html",
        page=audit.page(tenant_id, wanted, number),
        wanted=wanted,
        filtered=any(vars(wanted).values()),
        acts=[(act, _words(act)) for act in known],
        people=audit.people(tenant_id),
        words=_words,
        rows=ROWS,
    )


def _words(act: str) -> str:
    if act in COMMANDS:
        return f"{COMMANDS[act]}, by command"
    words = ACTS.get(act, act)
    return f"{words}, by REST" if act.startswith("api.") else words


def _day(name: str) -> date | None:
    """Return a day of the address; what is no day narrows nothing."""
    try:
        return date.fromisoformat(request.args.get(name, ""))
    except ValueError:
        return None
