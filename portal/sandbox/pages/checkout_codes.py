"""The promotion code of a payment page: applied before the payment, or taken away again."""

from __future__ import annotations

from dataclasses import replace

from flask import request, url_for
from werkzeug.wrappers import Response as Answer

from portal.sandbox import money
from portal.sandbox.engine import checkout, discounts
from portal.sandbox.pages.cardform import CardForm
from portal.sandbox.pages.checkout import closed, form_page, is_open, look_up
from portal.sandbox.pages.web import hosted, see_other, writing
from portal.sandbox.store import Db, Record


@hosted.post("/c/pay/<session_id>/code")
def checkout_code(session_id: str) -> Answer:
    """Use a promotion code, or none when the field is empty."""
    typed = request.form.get("code", "").strip()
    with writing() as db:
        purchase = look_up(db, session_id)
        if (
            purchase is None
            or not is_open(purchase)
            or not purchase.session["allow_promotion_codes"]
        ):
            return closed(purchase)
        session = purchase.session
        found = _find(db, session, typed, now=purchase.now)
        if typed and found is None:
            errors = {"code": "This code can't be used here. Check it, or leave the field empty."}
            return form_page(replace(purchase, code=typed), CardForm(errors=errors), 422)
        checkout.discount(session, found)
        if 0 < session["amount_total"] < money.minimum_charge(session["currency"]):
            errors = {"code": "With this code there would be too little to pay."}
            return form_page(purchase, CardForm(errors=errors), 422)
        db.save(session)
    return see_other(url_for("hosted.checkout_page", session_id=session_id))


def _find(db: Db, session: Record, typed: str, *, now: int) -> tuple[Record, Record] | None:
    code = db.by_lookup("promotion_code", session["_account"], typed.lower()) if typed else None
    if code is None or not discounts.usable(code, now=now):
        return None
    coupon = db.need("coupon", session["_account"], code["promotion"]["coupon"])
    fits = coupon["amount_off"] is None or coupon["currency"] == session["currency"]
    return (coupon, code) if fits and discounts.valid(coupon, now=now) else None
