"""What happens to somebody who owes, and what they have been told."""

from datetime import timedelta

from portal.extensions import db
from portal.models import Notice
from portal.services import access

DAY = timedelta(days=1)


def fail(sale):
    sale.deliver(*sale.engine.provider.fail_renewal(sale.engine_id))


def recover(sale):
    sale.deliver(*sale.engine.provider.pay_invoice(sale.engine_id))


def told():
    db.session.rollback()
    rows = db.session.query(Notice).order_by(Notice.notice_id)
    return [(row.kind, row.occasion) for row in rows]


def kinds():
    return [kind for kind, _ in told()]


def allowed(sale):
    answer = access.explain(sale.subscription).allowed
    db.session.rollback()
    return answer
