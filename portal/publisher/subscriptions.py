"""Who subscribes to an API: their true status, blocking, and their invoices."""

from uuid import UUID

from flask import flash, redirect, render_template, request, url_for
from sqlalchemy import select
from werkzeug.wrappers import Response

from portal.errors import Invalid, MoveRefused
from portal.flows import invoicing
from portal.models import Billing, Block, Subscription
from portal.publisher import bp
from portal.publisher.views import page_number
from portal.services import situations
from portal.services.paging import page_of
from portal.services.subscriptions import Cause, Move, make, may
from portal.services.within_tenant import without_tenants
from portal.web.access import me, publisher_only
from portal.web.engines import engine_of
from portal.web.tenancy import provided_api, provided_subscription
from portal.web.unit_of_work import in_unit_of_work

ENDED_SHOWN = 20
#: The move -> words of the button, the state that it leads to, and what is said afterwards.
BLOCKS: dict[Move, tuple[str, Block, str]] = {
    Move.BLOCK_PRODUCTION: (
        "Block Production Only",
        Block.PRODUCTION,
        "Production calls of {name} are refused from now on; sandbox keys work.",
    ),
    Move.BLOCK_ALL: ("Block All", Block.ALL, "All calls of {name} are refused from now on."),
    Move.UNBLOCK: ("Unblock", Block.NONE, "Your block on {name} is lifted."),
}


def blocks_of(subscription: Subscription) -> list[tuple[str, str]]:
    """Return the blocking moves that change something for callers now, as move and button."""
    return [
        (move.name, words)
        for move, (words, target, _) in BLOCKS.items()
        if may(subscription, move)
        and subscription.publisher_block != target
        and subscription.billing != Billing.LAPSED
    ]


@bp.get("/apis/<uuid:uuid>/subscriptions")
@publisher_only
def subscriptions(uuid: UUID) -> str:
    """List an API's subscriptions, and those that ended."""
    found = provided_api(me(), str(uuid))
    all_of_it = (
        select(Subscription).where(Subscription.api_id == found.api_id).options(*without_tenants())
    )
    page = page_of(
        all_of_it.where(Subscription.ended_at.is_(None)).order_by(
            Subscription.subscription_id.desc()
        ),
        page_number(),
    )
    ended = page_of(
        all_of_it.where(Subscription.ended_at.is_not(None)).order_by(Subscription.ended_at.desc()),
        1,
        per_page=ENDED_SHOWN,
    )
    return render_template(
        "publisher/subscriptions.html",
        api=found,
        page=page,
        situations=situations.of_all(page.items),
        ended=situations.of_all(ended.items),
        blocks_of=blocks_of,
    )


@bp.get("/subscriptions/<uuid:uuid>")
@publisher_only
def subscription(uuid: UUID) -> str:
    """Show one subscription with its history."""
    found = provided_subscription(me(), str(uuid))
    return render_template(
        "publisher/subscription.html",
        subscription=found,
        situation=situations.of(found),
        history=situations.history(found),
        blocks=blocks_of(found),
    )


@bp.post("/subscriptions/<uuid:uuid>/block")
@publisher_only
def block(uuid: UUID) -> Response:
    """Block or unblock a subscription. A payment never lifts this block."""
    wanted = next((move for move in BLOCKS if move.name == request.form.get("move")), None)
    if wanted is None:
        raise Invalid("Choose Block Production Only, Block All or Unblock.")
    words, _, sentence = BLOCKS[wanted]
    actor = me().qualified_name

    def change() -> tuple[str, str]:
        found = provided_subscription(me(), str(uuid))
        make(found, wanted, Cause(because=f"The publisher pressed {words}.", actor=actor))
        return found.application.name, found.api.api_uuid

    try:
        name, api_uuid = in_unit_of_work(change)
        flash(sentence.format(name=name), "success")
    except MoveRefused as error:
        flash(f"{error.message} Nothing was changed.", "error")
        api_uuid = provided_subscription(me(), str(uuid)).api.api_uuid
    if request.form.get("back") == "subscription":
        return redirect(url_for("publisher.subscription", uuid=uuid), 303)
    return redirect(url_for("publisher.subscriptions", uuid=api_uuid), 303)


@bp.get("/subscriptions/<uuid:uuid>/invoice")
@publisher_only
def invoice(uuid: UUID) -> str:
    """Show what a subscription costs its subscriber so far, and its past invoices."""
    found = provided_subscription(me(), str(uuid))
    statement = invoicing.current(engine_of(found.api.tenant), found)
    return render_template("publisher/invoice.html", subscription=found, statement=statement)
