"""The local mailbox: letters that a mail server would have sent, for demos."""

from flask import render_template, request
from sqlalchemy import select

from portal.admin import bp
from portal.errors import NotFound
from portal.extensions import db
from portal.models import Mail
from portal.services.paging import page_of
from portal.web import mail
from portal.web.access import admin_only, me


@bp.get("/mailbox")
@admin_only
def mailbox() -> str:
    """List the letters to the tenant's people, the newest first."""
    _require_mailbox()
    number = min(max(request.args.get("page", 1, type=int), 1), 1_000_000)
    query = select(Mail).where(Mail.tenant_id == me().tenant_id).order_by(Mail.mail_id.desc())
    return render_template("admin/mailbox.html", page=page_of(query, number))


@bp.get("/mailbox/<int:mail_id>")
@admin_only
def letter(mail_id: int) -> str:
    """Show one letter."""
    _require_mailbox()
    found = db.session.scalars(
        select(Mail).where(Mail.mail_id == mail_id, Mail.tenant_id == me().tenant_id)
    ).one_or_none()
    if found is None:
        raise NotFound("There is no such letter.")
    return render_template("admin/letter.html", letter=found)


def _require_mailbox() -> None:
    if not mail.has_mailbox():
        raise NotFound("This portal keeps no letters: they go to a mail server, or nowhere.")
