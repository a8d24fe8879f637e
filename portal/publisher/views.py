"""APIs: the list, making one by hand or from OpenAPI, its overview and its life."""

from uuid import UUID

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response
from wtforms import SelectChoice

from portal.errors import Conflict, Invalid
from portal.models import Api, Policy
from portal.publisher import bp
from portal.publisher.forms import ApiForm, ImportForm, PlansForm, form_of
from portal.services import apis, monetization, openapi_import, own_apis, policies
from portal.web import form_errors
from portal.web.access import me, only_reads, publisher_only
from portal.web.engines import absolute, settings
from portal.web.tenancy import provided_api
from portal.web.unit_of_work import in_unit_of_work

_DONE = {
    "PUBLISHED": "{name} is published. Developers see it and can subscribe.",
    "DEPRECATED": "{name} is deprecated. It works for its subscribers and takes no new ones.",
    "RETIRED": "{name} is retired. Calls are refused from now on.",
}


def page_number() -> int:
    """Return which page of a list the address asks for; nonsense is the first."""
    return min(max(request.args.get("page", 1, type=int), 1), 1_000_000)


@bp.get("/")
@publisher_only
@only_reads
def home() -> str:
    """List the person's APIs."""
    own = own_apis.of_person(me(), page_number())
    return render_template("publisher/home.html", page=own.page, out_of_date=own.out_of_date)


@bp.route("/apis/new", methods=["GET", "POST"])
@publisher_only
def new_api() -> tuple[str, int] | Response:
    """Make an API by hand."""
    form = ApiForm(version="1.0.0")
    if request.method == "GET":
        return render_template("publisher/api_form.html", form=form, api=None), 200
    try:
        uuid = _create(form.draft())
    except Invalid as error:
        form_errors.show(form, error)
        return render_template("publisher/api_form.html", form=form, api=None), 422
    return redirect(url_for("publisher.api", uuid=uuid), 303)


@bp.route("/apis/import", methods=["GET", "POST"])
@publisher_only
def import_api() -> tuple[str, int] | Response:
    """Make an API from an OpenAPI document."""
    form = ImportForm()
    if request.method == "GET":
        return render_template("publisher/import.html", form=form), 200
    try:
        imported = openapi_import.read(form.content())
        draft = apis.draft_of(
            imported, context=form.context.data or "", endpoint_url=form.endpoint_url.data or ""
        )
        uuid = _create(draft)
    except Invalid as error:
        _show_import_errors(form, error)
        return render_template("publisher/import.html", form=form), 422
    return redirect(url_for("publisher.api", uuid=uuid), 303)


def _show_import_errors(form: ImportForm, error: Invalid) -> None:
    """Name what the form has no field for, such as a name that is taken, at the document."""
    names = dict.fromkeys(("name", "version", "description"), "document")
    fields = dict(error.fields) or {"document": error.message}
    if "endpoint_url" in fields and not form.endpoint_url.data:
        fields["endpoint_url"] = (
            f"The document's own address cannot be used, so enter one. {fields['endpoint_url']}"
        )
    form_errors.show(form, Invalid(error.message, fields), names)


def _create(draft: apis.ApiDraft) -> str:
    person, allowlist = me(), settings().backend_allowlist
    uuid = in_unit_of_work(lambda: apis.create(person, draft, allowlist).api_uuid)
    flash(f"{draft.name} is created. Attach a plan, then publish it.", "success")
    return uuid


@bp.get("/apis/<uuid:uuid>")
@publisher_only
def api(uuid: UUID) -> str:
    """Show an API: where it stands, what comes next, how it is called."""
    found = provided_api(me(), str(uuid))
    return render_template(
        "publisher/api.html",
        api=found,
        steps=apis.STEPS[found.status],
        address=absolute(found.gateway_path),
        states=monetization.plan_states(found),
        paid=apis.paid_subscriptions(found),
    )


@bp.route("/apis/<uuid:uuid>/edit", methods=["GET", "POST"])
@publisher_only
def edit_api(uuid: UUID) -> tuple[str, int] | Response:
    """Change an API's back ends and description."""
    found = provided_api(me(), str(uuid))
    form = form_of(found)
    if request.method == "GET":
        return render_template("publisher/api_form.html", form=form, api=found), 200
    draft, allowlist = form.draft(), settings().backend_allowlist
    try:
        in_unit_of_work(lambda: apis.update(_mine(uuid), draft, allowlist))
    except Invalid as error:
        form_errors.show(form, error)
        return render_template("publisher/api_form.html", form=form, api=_mine(uuid)), 422
    flash("The API is saved.", "success")
    return redirect(url_for("publisher.api", uuid=uuid), 303)


def _mine(uuid: UUID) -> Api:
    return provided_api(me(), str(uuid))


@bp.post("/apis/<uuid:uuid>/lifecycle")
@publisher_only
def lifecycle(uuid: UUID) -> Response:
    """Publish, deprecate or retire an API."""
    wanted = request.form.get("step", "")

    def take() -> str:
        changed = _mine(uuid)
        return _DONE[apis.step(changed, wanted)].format(name=changed.api_name)

    try:
        flash(in_unit_of_work(take), "success")
    except Conflict as error:
        flash(error.message, "error")
    return redirect(url_for("publisher.api", uuid=uuid), 303)


@bp.route("/apis/<uuid:uuid>/plans", methods=["GET", "POST"])
@publisher_only
def api_plans(uuid: UUID) -> tuple[str, int] | Response:
    """Attach business plans to an API."""
    found = _mine(uuid)
    form = PlansForm(policies=[policy.uuid for policy in found.policies])
    if request.method == "GET":
        return _plans_page(form, found), 200
    chosen = form.policies.data or []
    try:
        in_unit_of_work(lambda: apis.attach(_mine(uuid), chosen))
    except Invalid as error:
        form.policies.errors = [error.message]
        return _plans_page(form, _mine(uuid)), 422
    flash(_attached(_mine(uuid)), "success")
    return redirect(url_for("publisher.api_plans", uuid=uuid), 303)


def _attached(found: Api) -> str:
    unsold = [state.policy.name for state in monetization.plan_states(found) if not state.offer]
    if not unsold:
        return "The plans are saved."
    return (
        f"The plans are saved. {monetization.names(unsold)} cannot be bought yet: open "
        "Monetization and press Save."
    )


def _names(policy: Policy) -> tuple[str, str]:
    return policy.display_name, policy.description


def _plans_page(form: PlansForm, found: Api) -> str:
    offered = policies.listed(found.tenant_id)
    form.policies.choices = [
        SelectChoice(policy.uuid, " : ".join(filter(None, _names(policy)))) for policy in offered
    ]
    return render_template(
        "publisher/api_plans.html",
        form=form,
        api=found,
        hints={policy.uuid: policy.current.price_words for policy in offered},
    )
