"""The catalogue, an API's page, and subscribing to it."""

import json
from collections.abc import Sequence
from uuid import UUID

from flask import Response as FlaskResponse
from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response
from wtforms import SelectChoice

from portal.devportal import bp
from portal.devportal.forms import CalculatorForm, ChooseForm
from portal.errors import Conflict, Invalid, NotFound
from portal.models import Api, Application, Status
from portal.services import (
    applications,
    cards,
    catalogue,
    checkouts,
    costs,
    operations,
    situations,
    subscribing,
)
from portal.services.catalogue import Plan
from portal.services.costs import Quote
from portal.web.access import me, only_reads, subscriber_only
from portal.web.engines import absolute
from portal.web.payment_urls import return_urls
from portal.web.tenancy import own_application, policy_of, published_api
from portal.web.unit_of_work import in_unit_of_work


def page_number() -> int:
    """Return which page of a list the address asks for; nonsense is the first."""
    number = request.args.get("page", 1, type=int)
    return min(max(number, 1), 1_000_000)


@bp.get("/")
@subscriber_only
@only_reads
def home() -> str:
    """List the published APIs; ``q`` searches them."""
    search = " ".join(request.args.get("q", "").split())[: catalogue.LONGEST_SEARCH]
    page = cards.page(me(), search, page_number())
    return render_template("devportal/home.html", page=page, search=search)


@bp.get("/apis/<uuid:uuid>")
@subscriber_only
def api(uuid: UUID) -> str:
    """Show an API: what it is, what it costs, what it can do and how to call it."""
    found = published_api(me(), str(uuid))
    known = operations.of(found.definition)
    example = operations.example(known)
    address = absolute(found.gateway_path)
    plans = catalogue.plans_of(found, me())
    calculator, quotes = _reckoned(plans)
    return render_template(
        "devportal/api.html",
        api=found,
        plans=plans,
        calculator=calculator,
        quotes=quotes,
        mine=situations.of_all(catalogue.subscriptions_to(found, me())),
        operations=known,
        address=address,
        call=curl(address + (example.example if example else "/")),
    )


def _reckoned(plans: Sequence[Plan]) -> tuple[CalculatorForm, list[Quote]]:
    """Return the calculator, and what each plan costs for the calls that it was asked about."""
    if "calls" not in request.args:
        return CalculatorForm(formdata=None), []
    form = CalculatorForm(request.args)
    return form, costs.quotes(plans, form.calls.data or 0) if form.validate() else []


def curl(address: str) -> str:
    """Return a call as it is typed into a shell, with the key in a variable.

    The address holds nothing that ends a quoted word in a shell: it is percent-encoded first.
    """
    quoted = address.replace("'", "%27").replace("\n", "").replace("\r", "")
    return f"curl -H \"ApiKey: $API_KEY\" \\\n  '{quoted}'"


@bp.get("/apis/<uuid:uuid>/openapi.json")
@subscriber_only
def definition(uuid: UUID) -> Response:
    """Hand out the API's OpenAPI document, with the gateway as its only server."""
    found = published_api(me(), str(uuid))
    if not found.definition:
        raise NotFound("This API has no OpenAPI document.")
    document = json.loads(found.definition)
    document = operations.without_servers(document)
    document["servers"] = [{"url": absolute(found.gateway_path)}]
    response = FlaskResponse(json.dumps(document), mimetype="application/json")
    response.headers["Content-Disposition"] = "attachment; filename=openapi.json"
    return response


@bp.get("/apis/<uuid:uuid>/subscribe")
@subscriber_only
def subscribe(uuid: UUID) -> tuple[str, int] | Response:
    """Ask which application subscribes and under which plan."""
    found = published_api(me(), str(uuid))
    plans = [plan for plan in catalogue.plans_of(found, me()) if plan.is_for_sale]
    taken = {row.application_id: row for row in catalogue.subscriptions_to(found, me())}
    free = [row for row in applications.choices(me()) if row.application_id not in taken]
    form = ChooseForm(request.args)
    form.application.choices = [SelectChoice(row.uuid, row.name) for row in free]
    form.policy.choices = [
        SelectChoice(plan.policy.uuid, plan.policy.display_name) for plan in plans
    ]
    status = 200
    if "application" in request.args:
        if form.validate():
            chosen = {"application": form.application.data, "policy": form.policy.data}
            return redirect(url_for("devportal.confirm", uuid=uuid, **chosen), 303)
        status = 422
    page = render_template(
        "devportal/subscribe.html",
        api=found,
        form=form,
        plans=plans,
        taken=situations.of_all(list(taken.values())),
    )
    return page, status


@bp.get("/apis/<uuid:uuid>/subscribe/confirm")
@subscriber_only
def confirm(uuid: UUID) -> str:
    """Say what happens when Subscribe is pressed."""
    found, application, plan = _chosen(uuid, request.args)
    return _confirmation(found, application, plan)


def _confirmation(found: Api, application: Application, plan: Plan, problem: str = "") -> str:
    return render_template(
        "devportal/confirm.html", api=found, application=application, plan=plan, problem=problem
    )


def _chosen(uuid: UUID, chosen: "dict[str, str]") -> tuple[Api, Application, Plan]:
    found = published_api(me(), str(uuid))
    application = own_application(me(), chosen.get("application", ""))
    wanted = policy_of(me(), chosen.get("policy", ""))
    plans = {plan.policy.policy_id: plan for plan in catalogue.plans_of(found, me())}
    if wanted.policy_id not in plans:
        raise Invalid("This plan is not offered to you for this API. Go back and choose another.")
    return found, application, plans[wanted.policy_id]


@bp.post("/apis/<uuid:uuid>/subscribe/confirm")
@subscriber_only
def subscribe_now(uuid: UUID) -> tuple[str, int] | Response:
    """Subscribe. Free plans work at once; for others the payment comes next."""

    def store() -> tuple[str, bool, bool]:
        found, application, plan = _chosen(uuid, request.form)
        made = subscribing.subscribe(me(), application, found, plan.policy)
        if made.can_pay:
            # From now on there are 24 hours, whether the payment page is opened or not.
            checkouts.attempt_for(made, me(), return_urls(made))
        return made.uuid, made.can_pay, made.status is Status.UNBLOCKED

    try:
        made, is_payable, works = in_unit_of_work(store)
    except Conflict as error:
        return _confirmation(*_chosen(uuid, request.form), problem=error.message), 409
    if is_payable:
        flash("Subscribed. One step is left: press Complete Payment.", "info")
    elif not works:
        flash("Subscribed. It works as soon as an administrator has approved it.", "info")
    else:
        flash("Subscribed. The application's keys work for this API from now on.", "success")
    return redirect(url_for("devportal.subscription", uuid=made), 303)
