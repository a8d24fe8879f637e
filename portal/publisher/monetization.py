"""The Monetization page of an API."""

from uuid import UUID

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from portal.errors import BillingEngineError, Conflict, Invalid
from portal.extensions import db
from portal.flows import monetizing
from portal.flows.monetizing import Result
from portal.models import Api
from portal.publisher import bp
from portal.publisher.forms import PROPERTY, MonetizationForm, monetization_form
from portal.services import apis, attributes, sources
from portal.services import monetization as selling
from portal.web import form_errors
from portal.web.access import me, publisher_only
from portal.web.engines import absolute, engine_of
from portal.web.tenancy import provided_api


@bp.route("/apis/<uuid:uuid>/monetization", methods=["GET", "POST"])
@publisher_only
def monetization(uuid: UUID) -> tuple[str, int] | Response:
    """Show an API's monetization; Save sells its commercial plans, or takes them off sale."""
    found = provided_api(me(), str(uuid))
    form = _form(found)
    if request.method == "GET":
        return _page(form, found), 200
    engine = engine_of(found.tenant)
    back = absolute(url_for("devportal.home"))
    db.session.rollback()
    try:
        if form.enabled.data:
            result = monetizing.enable(engine, str(uuid), form.values(), return_url=back)
        else:
            result = monetizing.disable(engine, str(uuid))
    except Invalid as error:
        form_errors.show(form, error, {name: PROPERTY + name for name in error.fields})
        return _page(form, provided_api(me(), str(uuid))), 422
    except (BillingEngineError, Conflict) as error:
        form.form_errors.append(f"{error.message} Nothing was changed: press Save again.")
        return _page(form, provided_api(me(), str(uuid))), error.status_code
    _tell(result, wanted=bool(form.enabled.data))
    return redirect(url_for("publisher.monetization", uuid=uuid), 303)


def _form(found: Api) -> MonetizationForm:
    return monetization_form(
        attributes.of_tenant(found.tenant),
        found.monetization_properties,
        enabled=found.is_monetization_enabled,
    )


def _page(form: MonetizationForm, found: Api) -> str:
    wanted = attributes.of_tenant(found.tenant)
    return render_template(
        "publisher/monetization.html",
        form=form,
        api=found,
        fields=[(form[PROPERTY + attribute.name], attribute) for attribute in wanted],
        states=selling.plan_states(found),
        paid=apis.paid_subscriptions(found),
        source_problem=sources.problem(found.tenant_id),
    )


def _tell(result: Result, *, wanted: bool) -> None:
    if wanted and result.monetized:
        sold = selling.names(result.monetized)
        flash(f"Monetization is enabled. {sold} can be bought.", "success")
    elif wanted:
        flash("Nothing was put up for sale.", "warning")
    elif result.is_complete:
        flash("Monetization is disabled. Prices and product are archived at Stripe.", "success")
    else:
        flash("Nothing can be bought any more.", "info")
    for part, sentence in result.failed:
        flash(f"{part}: {sentence} Press Save to repeat it; the rest stays.", "error")
