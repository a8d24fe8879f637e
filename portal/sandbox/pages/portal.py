"""The Customer Portal's pages: `/p/session/{token}` and what is under it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Response, make_response, render_template, request, url_for
from werkzeug.wrappers import Response as Answer

from portal.sandbox.engine import methods, portal, profiles
from portal.sandbox.engine.portal import PortalRefused, PortalSession
from portal.sandbox.engine.results import PayResult
from portal.sandbox.pages import cardform, papers
from portal.sandbox.pages.cardform import CardForm, Step
from portal.sandbox.pages.checkout import describe_item
from portal.sandbox.pages.web import (
    date,
    hosted,
    leave_to,
    link,
    message,
    now,
    see_other,
    seller_of,
    writing,
)
from portal.sandbox.store import Db, Record

_STATES = {
    "active": ("good", "Active"),
    "trialing": ("good", "Trial"),
    "past_due": ("bad", "Payment overdue"),
    "unpaid": ("bad", "Unpaid"),
    "incomplete": ("warn", "Waiting for payment"),
    "paused": ("neutral", "Paused"),
}
_REASONS = {
    "too_expensive": "It costs too much",
    "missing_features": "It lacks something I need",
    "switched_service": "I found something else",
    "unused": "I don't use it enough",
    "customer_service": "The customer service",
    "low_quality": "The quality",
    "too_complex": "It is too complicated",
    "other": "Something else",
}
_COMMENT_LENGTH = 5000
_DONE = {
    "canceled": "Your cancellation is noted.",
    "kept": "Your subscription goes on.",
    "card": "Your card is saved and will be used from now on.",
    "paid": "Your card is saved and your open invoices are paid.",
    "chosen": "Your renewals are paid with this card from now on.",
    "removed": "The card is removed.",
    "details": "Your details are saved.",
}


@contextmanager
def entered(token: str) -> Iterator[tuple[Db, PortalSession]]:
    """Open the session behind `token` in a transaction of its own."""
    with writing() as db:
        yield db, portal.open_session(db, token, now=now())


@hosted.errorhandler(PortalRefused)
def _refuse(refused: PortalRefused) -> Response:
    return message("The portal can't show this", str(refused), status=403, tone="warn")


def home(token: str, done: str | None = None) -> Answer:
    """Go to the overview, which says what was `done`."""
    return see_other(url_for("hosted.portal_home", token=token, done=done))


def _leaving(ps: PortalSession) -> None:
    leave_to(ps.return_url, _flow_target(ps))


def _flow_target(ps: PortalSession) -> str | None:
    completion = (ps.flow or {}).get("after_completion") or {}
    if completion.get("type") != "redirect":
        return None
    return link((completion.get("redirect") or {}).get("return_url"))


def frame(db: Db, ps: PortalSession, token: str) -> dict[str, Any]:
    """Return what every page of the portal shows around its content."""
    seller = seller_of(db, ps.account)
    profile = ps.configuration.get("business_profile") or {}
    return {
        "token": token,
        "seller": seller,
        "customer": ps.customer,
        "features": ps.features,
        "back": link(ps.return_url),
        "headline": profile.get("headline"),
        "legal": [
            (label, link(profile.get(name)))
            for label, name in (
                ("Privacy", "privacy_policy_url"),
                ("Terms", "terms_of_service_url"),
            )
            if link(profile.get(name))
        ],
    }


def _describe(db: Db, ps: PortalSession, subscription: Record) -> dict[str, Any]:
    tone, state = _STATES.get(subscription["status"], ("neutral", subscription["status"]))
    ends = subscription["cancel_at"]
    if subscription["cancel_at_period_end"]:
        ends = subscription["items"][0]["current_period_end"]
    if ends and tone == "good":
        tone, state = "warn", "Ends soon"
    return {
        "id": subscription["id"],
        "items": [describe_item(db, subscription, item) for item in subscription["items"]],
        "tone": tone,
        "state": state,
        "overdue": subscription["status"] in ("past_due", "unpaid", "incomplete"),
        "ends": date(ends),
        "renews": date(subscription["items"][0]["current_period_end"]),
        "card": methods.default_for(db, ps.account, subscription, ps.customer),
    }


@hosted.get("/p/session/<token>")
def portal_home(token: str) -> Answer:
    """Show subscriptions, cards and invoices; a deep link goes to its own page first."""
    done = request.args.get("done", "")
    with entered(token) as (db, ps):
        flow = ps.flow or {}
        target = None if done or "all" in request.args else _flow_page(token, flow)
        if target is not None:
            return see_other(target)
        _leaving(ps)
        papers_ = [papers.summary(each) for each in portal.invoices(db, ps)]
        return make_response(
            render_template(
                "hosted/portal_home.html",
                **frame(db, ps, token),
                subscriptions=[_describe(db, ps, each) for each in portal.subscriptions(db, ps)],
                cards=[
                    {"card": each, "removable": portal.removable(db, ps, each)}
                    for each in portal.cards_of(db, ps)
                ],
                default=ps.customer["invoice_settings"]["default_payment_method"],
                open_invoices=[each for each in papers_ if each["open"]],
                invoices=papers_,
                may_change=profiles.allowed(ps),
                done=_DONE.get(done),
            )
        )


def _flow_page(token: str, flow: dict[str, Any]) -> str | None:
    if flow.get("type") == "subscription_cancel":
        subscription = flow["subscription_cancel"]["subscription"]
        return url_for("hosted.portal_cancel_page", token=token, subscription=subscription)
    if flow.get("type") == "payment_method_update":
        return url_for("hosted.portal_card_page", token=token)
    return None


def _completed(ps: PortalSession, token: str, done: str) -> Answer:
    """Go where the deep link wants to end, else to the overview."""
    target = _flow_target(ps)
    return see_other(target) if target else home(token, done)


def _find(db: Db, ps: PortalSession, subscription: str) -> Record:
    for each in portal.subscriptions(db, ps):
        if each["id"] == subscription:
            return each
    raise PortalRefused("There is no such subscription, or it has already ended.")


@hosted.get("/p/session/<token>/subscriptions/<subscription>/cancel")
def portal_cancel_page(token: str, subscription: str) -> Response:
    """Ask before cancelling, and why."""
    with entered(token) as (db, ps):
        found = _find(db, ps, subscription)
        settings = ps.features["subscription_cancel"]
        if not settings["enabled"]:
            raise PortalRefused("This portal does not offer that. Ask the seller instead.")
        reasons = settings["cancellation_reason"]
        options = reasons["options"] if reasons["enabled"] else []
        _leaving(ps)
        return make_response(
            render_template(
                "hosted/portal_cancel.html",
                **frame(db, ps, token),
                subscription=_describe(db, ps, found),
                at_once=settings["mode"] == "immediately",
                reasons=[(name, _REASONS[name]) for name in options if name in _REASONS],
            )
        )


@hosted.post("/p/session/<token>/subscriptions/<subscription>/cancel")
def portal_cancel(token: str, subscription: str) -> Answer:
    """Cancel as the configuration says; pressing twice changes nothing more."""
    reason = request.form.get("reason") or None
    comment = request.form.get("comment", "").strip()[:_COMMENT_LENGTH] or None
    with entered(token) as (db, ps):
        _leaving(ps)
        known = reason if reason in _REASONS else None
        portal.cancel(db, ps, subscription, reason=known, comment=comment, now=now())
        return _completed(ps, token, "canceled")


@hosted.post("/p/session/<token>/subscriptions/<subscription>/undo")
def portal_undo(token: str, subscription: str) -> Answer:
    """Take a scheduled cancellation back."""
    with entered(token) as (db, ps):
        portal.undo_cancel(db, ps, subscription, now=now())
        return home(token, "kept")


def _card_page(
    db: Db, ps: PortalSession, token: str, form: CardForm, status: int = 200
) -> Response:
    if not ps.features["payment_method_update"]["enabled"]:
        raise PortalRefused("This portal does not offer that. Ask the seller instead.")
    _leaving(ps)
    open_ones = [papers.summary(each) for each in portal.invoices(db, ps)]
    body = render_template(
        "hosted/portal_card.html",
        **frame(db, ps, token),
        form=form,
        hints=cardform.hints(),
        open_invoices=[each for each in open_ones if each["open"]],
    )
    return make_response(body, status)


@hosted.get("/p/session/<token>/payment-method")
def portal_card_page(token: str) -> Response:
    """Show the form for a new card."""
    form = CardForm.prefilled(request.args.get("card"), now=now())
    with entered(token) as (db, ps):
        return _card_page(db, ps, token, form)


@hosted.post("/p/session/<token>/payment-method")
def portal_card(token: str) -> Answer:
    """Save a card, make it the default and pay what is open with it."""
    form = CardForm.read(request.form)
    card = form.card(now=now())
    if card is None:
        with entered(token) as (db, ps):
            return _card_page(db, ps, token, form, 422)
    return _add(token, Step(card), form, None)


def _add(token: str, step: Step, form: CardForm, authenticated: bool | None) -> Answer:
    if step.card is None:
        return home(token)
    with entered(token) as (db, ps):
        owed = any(each["status"] == "open" for each in portal.invoices(db, ps))
        result = portal.add_card(db, ps, step.card, now=now(), authenticated=authenticated)
        if result.kind == "paid":
            _leaving(ps)
            return _completed(ps, token, "paid" if owed else "card")
        if result.payment_method is None and result.kind == "requires_action":
            packed = cardform.pack(token, step)
            return see_other(url_for("hosted.portal_bank", token=token, step=packed))
        form.refuse(*_why(result))
        return _card_page(db, ps, token, form, 402)


def _why(result: PayResult) -> tuple[str, str | None]:
    if result.payment_method is None:
        return result.message, result.code
    return f"The card is saved, but an open invoice was not paid with it. {result.message}", None


@hosted.get("/p/session/<token>/authenticate")
def portal_bank(token: str) -> Answer:
    """Show the bank's 3-D Secure page."""
    step = cardform.unpack(token, request.args.get("step", ""))
    with entered(token) as (db, ps):
        if step is None:
            return see_other(url_for("hosted.portal_card_page", token=token))
        _leaving(ps)
        return cardform.ask_bank(seller_of(db, ps.account), ("For", "Saving this card"), step.label)


@hosted.post("/p/session/<token>/authenticate")
def portal_bank_answer(token: str) -> Answer:
    """Go on with what the customer chose at the bank's page; walking away changes nothing."""
    step = cardform.unpack(token, request.args.get("step", ""))
    chosen = cardform.outcome(request.form)
    if step is None or chosen is None:
        return see_other(url_for("hosted.portal_card_page", token=token))
    return _add(token, step, CardForm(name=step.holder), chosen)
