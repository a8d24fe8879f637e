"""The Monetization page of an API."""

from uuid import UUID

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from portal.errors import BillingEngineError, Conflict, Invalid
from portal.extensions import db
from portal.flows import monetizing
from portal.flows.monetizing import Result
from portal.models import Api, Endings
from portal.publisher import bp
from portal.publisher.forms import (
    PROPERTY,
    MonetizationForm,
    RunningForm,
    monetization_form,
)
from portal.services import apis, attributes, price_versions, sources, stopping
from portal.services import monetization as selling
from portal.web import form_errors
from portal.web.access import me, publisher_only
from portal.web.confirming import confirmed
from portal.web.engines import absolute, engine_of
from portal.web.tenancy import provided_api


@bp.route("/apis/<uuid:uuid>/monetization", methods=["GET", "POST"])
@publisher_only
@confirmed
def monetization(uuid: UUID) -> tuple[str, int] | Response:
    """Show an API's monetization; Save sells its commercial plans, or takes them off sale.

    Before it is taken off, the page says whom that touches, and asks what becomes of them.
    """
    found = provided_api(me(), str(uuid))
    form = _form(found)
    if request.method == "GET":
        return _page(form, found), 200
    how = None if form.enabled.data else _chosen(found)
    if not form.enabled.data and how is None:
        return _ask(found), 200
    engine, actor = engine_of(found.tenant), me().qualified_name
    back = absolute(url_for("devportal.home"))
    db.session.rollback()
    try:
        if how is None:
            result = monetizing.enable(engine, str(uuid), form.values(), return_url=back)
        else:
            result = monetizing.disable(engine, str(uuid), how, actor=actor)
    except Invalid as error:
        form_errors.show(form, error, {name: PROPERTY + name for name in error.fields})
        return _page(form, provided_api(me(), str(uuid))), 422
    except (BillingEngineError, Conflict) as error:
        form.form_errors.append(f"{error.message} Nothing was changed: press Save again.")
        return _page(form, provided_api(me(), str(uuid))), error.status_code
    _tell(result, how)
    return redirect(url_for("publisher.monetization", uuid=uuid), 303)


def _chosen(found: Api) -> Endings | None:
    """Return what becomes of what runs; ``None`` while somebody is still to be asked."""
    chosen = request.form.get("running", "")
    if chosen in set(Endings):
        return Endings(chosen)
    touched = stopping.affected(found)
    return None if touched.running or touched.waiting else Endings.GO_ON


def _ask(found: Api) -> str:
    return render_template(
        "publisher/monetization_disable.html",
        api=found,
        form=RunningForm(formdata=None),
        affected=stopping.affected(found),
        hints=_WHAT_BECOMES,
    )


_WHAT_BECOMES = {
    Endings.GO_ON: "They are billed as they were sold, until their subscribers unsubscribe. "
    "Payments that are waited for can still lapse, and not be made any more.",
    Endings.PERIOD: "Calls go through until then, and subscribers are told. What they have used is "
    "on the last invoice. They can take it back on their subscription's page.",
    Endings.NOW: "Calls are refused at once. Usage until now is reported and charged with a last "
    "invoice; what was paid in advance is not refunded. This cannot be taken back.",
}


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
        versions=price_versions.of_api(found),
        left=stopping.count_left(found) if found.endings else 0,
        source_problem=sources.problem(found.tenant_id),
    )


def _tell(result: Result, how: Endings | None) -> None:
    if how is None and result.monetized:
        sold = selling.names(result.monetized)
        flash(f"Monetization is enabled. {sold} can be bought.", "success")
    elif how is None:
        flash("Nothing was put up for sale.", "warning")
    elif result.is_complete:
        flash("Monetization is disabled. Prices and product are archived at Stripe.", "success")
    else:
        flash("Nothing can be bought any more.", "info")
    if how in (Endings.NOW, Endings.PERIOD):
        when = "now" if how is Endings.NOW else "each with its period"
        flash(f"Its subscriptions are ended {when}. This page says how many are left.", "info")
    for part, sentence in result.failed:
        flash(f"{part}: {sentence} Press Save to repeat it; the rest stays.", "error")
