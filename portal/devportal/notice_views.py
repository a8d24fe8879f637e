"""Notices: what a developer was told, and whether it was mailed."""

from uuid import UUID

from flask import redirect, render_template, url_for
from sqlalchemy import select
from werkzeug.wrappers import Response

from portal.devportal import bp
from portal.devportal.views import page_number
from portal.extensions import db
from portal.models import Notice, Subscription
from portal.services import notice_board
from portal.services.paging import page_of
from portal.web.access import me, subscriber_only
from portal.web.tenancy import own_notice
from portal.web.unit_of_work import in_unit_of_work


@bp.get("/notices")
@subscriber_only
def notices() -> str:
    """List everything that the person was told, the newest first."""
    page = page_of(notice_board.of_person(me().user_id), page_number())
    return render_template("devportal/notices.html", page=page)


@bp.post("/notices/<uuid:uuid>/dismiss")
@subscriber_only
def dismiss_notice(uuid: UUID) -> Response:
    """Take a notice away from above the pages; it stays in the list."""
    in_unit_of_work(lambda: notice_board.dismiss(own_notice(me(), str(uuid))))
    return redirect(url_for("devportal.notices"), 303)


@bp.get("/notices/<uuid:uuid>")
@subscriber_only
def notice(uuid: UUID) -> Response:
    """Lead to the subscription that a notice is about."""
    found = own_notice(me(), str(uuid))
    subscription = db.session.scalar(
        select(Subscription.uuid)
        .join(Notice, Notice.subscription_id == Subscription.subscription_id)
        .where(Notice.notice_id == found.notice_id)
    )
    return redirect(url_for("devportal.subscription", uuid=subscription), 303)
