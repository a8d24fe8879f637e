"""The pages of business plans, the same in the admin and the publisher portal.

Who may call is decided by each portal's views; these functions only know a person.
"""

from flask import flash, redirect, render_template, request, url_for
from flask_wtf import FlaskForm
from werkzeug.wrappers import Response
from wtforms import (
    BooleanField,
    HiddenField,
    RadioField,
    SelectChoice,
    SelectField,
    StringField,
    TextAreaField,
)

from portal.errors import Conflict, Invalid
from portal.services import apis, catalogue, monetization, policies, price_versions, sources
from portal.services.plan_rules import PlanDraft
from portal.web import form_errors
from portal.web.access import me
from portal.web.tenancy import policy_of
from portal.web.unit_of_work import in_unit_of_work

TIME_UNITS = [
    SelectChoice("min", "Minute(s)"),
    SelectChoice("hours", "Hour(s)"),
    SelectChoice("days", "Day(s)"),
    SelectChoice("months", "Month(s)"),
    SelectChoice("years", "Year(s)"),
]


class PlanForm(FlaskForm):
    """A business plan. Every value is text: ``services/plan_rules.py`` reads and checks it."""

    revision = HiddenField()
    name = StringField("Name")
    description = TextAreaField("Description")
    quota_type = RadioField(
        "Quota",
        choices=[
            SelectChoice("REQUESTCOUNTLIMIT", "Request Count"),
            SelectChoice("BANDWIDTHLIMIT", "Request Bandwidth"),
            SelectChoice("EVENTCOUNTLIMIT", "Event Based (Async API)"),
        ],
        validate_choice=False,
    )
    quota = StringField("Allowed")
    quota_unit = SelectField(
        "Data unit",
        choices=[SelectChoice("KB", "KB"), SelectChoice("MB", "MB")],
        validate_choice=False,
    )
    unit_time = StringField("Unit Time")
    time_unit = SelectField("Unit", choices=TIME_UNITS, validate_choice=False)
    rate_limit_count = StringField("Request Rate")
    rate_limit_time_unit = SelectField(
        "Rate unit",
        choices=[SelectChoice("sec", "Requests/s"), SelectChoice("min", "Requests/min")],
        validate_choice=False,
    )
    stop_on_quota_reach = BooleanField("Stop On Quota Reach")
    billing_plan = RadioField(
        "Billing Plan",
        choices=[SelectChoice("FREE", "Free"), SelectChoice("COMMERCIAL", "Commercial")],
        validate_choice=False,
    )
    monetization_plan = SelectField(
        "Monetization Plan",
        choices=[
            SelectChoice("FIXEDRATE", "Fixed Rate"),
            SelectChoice("DYNAMICRATE", "Dynamic Usage"),
        ],
        validate_choice=False,
    )
    fixed_price = StringField("Fixed Rate")
    pricing_model = SelectField(
        "Price Model",
        choices=[
            SelectChoice("PER_REQUEST", "One price for each request"),
            SelectChoice("GRADUATED", "Tiers, each with its own price"),
            SelectChoice("VOLUME", "Tiers, one price for all by the total"),
        ],
        validate_choice=False,
    )
    price_per_request = StringField("Price Per Request")
    tiers = TextAreaField("Tiers")
    trial_days = StringField("Free Trial Days")
    takes_coupons = BooleanField("Promotion codes are taken")
    currency = StringField("Currency")
    billing_cycle = SelectField(
        "Billing Cycle",
        choices=[
            SelectChoice("week", "Week"),
            SelectChoice("month", "Month"),
            SelectChoice("year", "Year"),
        ],
        validate_choice=False,
    )
    permission_type = RadioField(
        "Permissions",
        choices=[
            SelectChoice("NONE", "None"),
            SelectChoice("ALLOW", "Allow"),
            SelectChoice("DENY", "Deny"),
        ],
        validate_choice=False,
    )
    permission_roles = StringField("Roles")
    custom_attributes = TextAreaField("Custom Attributes")

    def draft(self) -> PlanDraft:
        """Return what was entered."""
        words = {
            field.name: str(field.data or "")
            for field in self
            if field.name not in ("csrf_token", "revision", *_READ_APART)
        }
        return PlanDraft(
            stop_on_quota_reach=bool(self.stop_on_quota_reach.data),
            takes_coupons=bool(self.takes_coupons.data),
            permission_roles=tuple(
                role.strip() for role in str(self.permission_roles.data or "").split(",")
            ),
            custom_attributes=_pairs(str(self.custom_attributes.data or "")),
            **words,
        )


_READ_APART = ("stop_on_quota_reach", "takes_coupons", "permission_roles", "custom_attributes")


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    """Read a name and a value from each line, with an equals sign between them."""
    lines = [line.partition("=") for line in text.splitlines() if line.strip()]
    return tuple((name.strip(), value.strip()) for name, _, value in lines)


def _filled(draft: PlanDraft, revision: str = "") -> PlanForm:
    values = {name: value for name, value in vars(draft).items() if name not in _READ_APART}
    return PlanForm(
        **values,
        revision=revision,
        stop_on_quota_reach=draft.stop_on_quota_reach,
        takes_coupons=draft.takes_coupons,
        permission_roles=", ".join(draft.permission_roles),
        custom_attributes="\n".join(f"{name} = {value}" for name, value in draft.custom_attributes),
    )


def show_plans(*, may_edit: bool) -> str:
    """List the tenant's plans."""
    plans = policies.listed(me().tenant_id)
    return render_template(
        "partials/plans/list.html",
        plans=plans,
        subscribers=policies.subscribers(plans),
        quota_words=catalogue.quota_words,
        rate_words=catalogue.rate_words,
        may_edit=may_edit,
        source_problem=sources.problem(me().tenant_id),
    )


def new_plan() -> tuple[str, int] | Response:
    """Show the empty form, or make the plan that it describes."""
    form = _filled(PlanDraft(name="", currency="USD", billing_cycle="month"))
    if request.method == "GET":
        return _form_page(form, None), 200
    person = me()
    tenant_id, actor = person.tenant_id, person.qualified_name
    try:
        name = in_unit_of_work(lambda: policies.create(tenant_id, form.draft(), actor=actor).name)
    except Invalid as error:
        form_errors.show(form, error)
        return _form_page(form, None), 422
    flash(f"The plan {name} is there. Attach it to an API under the API's Plans.", "success")
    return _to_list()


def edit_plan(uuid: str) -> tuple[str, int] | Response:
    """Show a plan's form, or store what was entered."""
    plan = policy_of(me(), uuid)
    if request.method == "GET":
        return _form_page(_filled(policies.draft_of(plan), str(plan.revision)), uuid), 200
    form = PlanForm()
    form.name.data = plan.name
    revision = form.revision.data or ""
    actor = me().qualified_name

    def store() -> str:
        changed = policy_of(me(), uuid)
        seen = int(revision) if revision.isdigit() else 0
        repriced = policies.update(changed, form.draft(), revision=seen, actor=actor)
        return _saved(uuid, repriced=repriced)

    try:
        flash(in_unit_of_work(store), "success")
    except Invalid as error:
        form_errors.show(form, error)
        return _form_page(form, uuid), 422
    except Conflict as error:
        form.form_errors.append(error.message)
        return _form_page(form, uuid), 409
    return _to_list()


def _saved(uuid: str, *, repriced: bool) -> str:
    plan = policy_of(me(), uuid)
    if not repriced:
        return f"{plan.name} is saved."
    selling = [api.api_name for api in apis.apis_with(plan) if api.is_monetization_enabled]
    sentence = (
        f"{plan.name} is saved with a new price, as version {plan.current.number}. Running "
        "subscriptions keep theirs."
    )
    if selling:
        sentence += (
            f" New ones get it after Save on the Monetization page of "
            f"{monetization.names(selling)}."
        )
    return sentence


def delete_plan(uuid: str) -> str | Response:
    """Ask whether a plan shall be deleted, or delete it."""
    plan = policy_of(me(), uuid)
    if request.method == "GET":
        return render_template("partials/plans/delete.html", plan=plan)
    name = plan.name
    try:
        in_unit_of_work(lambda: policies.delete(policy_of(me(), uuid)))
    except Conflict as error:
        flash(error.message, "error")
        return _to_list()
    flash(f"The plan {name} is deleted.", "success")
    return _to_list()


def _form_page(form: PlanForm, uuid: str | None) -> str:
    plan = policy_of(me(), uuid) if uuid else None
    return render_template(
        "partials/plans/form.html",
        form=form,
        plan=plan,
        versions=price_versions.of_plan(plan) if plan is not None else (),
        roles=sorted(policies.known_roles(me().tenant_id)),
        source_problem=sources.problem(me().tenant_id),
    )


def _to_list() -> Response:
    return redirect(url_for(f"{request.blueprint}.plans"), 303)
