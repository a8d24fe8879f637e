"""The hosted invoice: `/i/{account}/{token}`, paying it, its 3-D Secure page and its PDF."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import Response, make_response, render_template, request, url_for
from werkzeug.wrappers import Response as Answer

from portal.sandbox import money
from portal.sandbox.engine import invoices, methods
from portal.sandbox.engine.results import PayResult
from portal.sandbox.pages import cardform, papers, pdf
from portal.sandbox.pages.cardform import CardForm, Step
from portal.sandbox.pages.web import (
    card_name,
    date,
    hosted,
    message,
    now,
    reading,
    see_other,
    seller_of,
    writing,
)
from portal.sandbox.store import Db, Record


@dataclass(frozen=True, slots=True)
class Paper:
    """An invoice as its page and its PDF show it."""

    invoice: Record
    seller: dict[str, str]
    row: dict[str, Any]
    rows: list[dict[str, str]]
    totals: list[tuple[str, str]]
    saved: Record | None

    @property
    def button(self) -> str:
        """Return the text of the button."""
        return f"Pay {self.row['due']}"

    @property
    def to(self) -> list[str]:
        """Return who is billed, a line each."""
        known = (self.invoice.get("customer_name"), self.invoice.get("customer_email"))
        return [line for line in known if line] or [self.invoice["customer"]]


def _look_up(db: Db, account: str, token: str) -> Paper | None:
    invoice = invoices.find_by_token(db, account, token)
    if invoice is None:
        return None
    customer = db.get("customer", account, invoice["customer"])
    subscription = db.get("subscription", account, invoice["subscription"])
    saved = methods.default_for(db, account, subscription, customer) if customer else None
    return Paper(
        invoice,
        seller_of(db, account),
        papers.summary(invoice),
        papers.rows(db, invoice),
        papers.totals(invoice),
        saved,
    )


def _missing() -> Response:
    return message(
        "This invoice does not exist",
        "Check the address, or ask the seller for the link again.",
        status=404, tone="warn",
    )  # fmt: skip


def _page(paper: Paper, form: CardForm, status: int = 200) -> Response:
    body = render_template(
        "hosted/invoice.html",
        paper=paper, invoice=paper.invoice, seller=paper.seller, form=form,
        hints=cardform.hints(), paid_on=date(paper.invoice["status_transitions"]["paid_at"]),
    )  # fmt: skip
    return make_response(body, status)


@hosted.get("/i/<account>/<token>")
def invoice_page(account: str, token: str) -> Response:
    """Show the invoice, with the payment form while it is open."""
    with reading() as db:
        paper = _look_up(db, account, token)
    if paper is None:
        return _missing()
    return _page(paper, CardForm.prefilled(request.args.get("card"), now=now()))


@hosted.post("/i/<account>/<token>")
def invoice_pay(account: str, token: str) -> Answer:
    """Pay with the card on file (`use=saved`) or with the card typed in."""
    form = CardForm.read(request.form)
    step = Step(None)
    if request.form.get("use") != "saved":
        card = form.card(now=now())
        if card is None:
            with reading() as db:
                paper = _look_up(db, account, token)
            return _missing() if paper is None else _page(paper, form, 422)
        step = Step(card)
    return _pay(account, token, step, form, None)


def _pay(
    account: str, token: str, step: Step, form: CardForm, authenticated: bool | None
) -> Answer:
    with writing() as db:
        invoice = invoices.find_by_token(db, account, token)
        if invoice is None:
            return _missing()
        result = invoices.pay(db, invoice, step.card, now=now(), authenticated=authenticated)
        paper = _look_up(db, account, token)
    return _after(account, token, paper, result, step, form)


def _after(
    account: str, token: str, paper: Paper | None, result: PayResult, step: Step, form: CardForm
) -> Answer:
    if paper is None or result.kind in ("paid", "closed"):
        return see_other(url_for("hosted.invoice_page", account=account, token=token))
    if result.kind == "requires_action":
        packed = cardform.pack(token, step)
        return see_other(url_for("hosted.invoice_bank", account=account, token=token, step=packed))
    form.refuse(result.message, result.code if step.card else None)
    return _page(paper, form, 402)


@hosted.get("/i/<account>/<token>/authenticate")
def invoice_bank(account: str, token: str) -> Answer:
    """Show the bank's 3-D Secure page."""
    step = cardform.unpack(token, request.args.get("step", ""))
    with reading() as db:
        paper = _look_up(db, account, token)
    if paper is None:
        return _missing()
    if step is None or paper.invoice["status"] != "open":
        return see_other(url_for("hosted.invoice_page", account=account, token=token))
    card = step.label if step.card else card_name(paper.saved)
    due = money.display(paper.invoice["amount_remaining"], paper.invoice["currency"])
    return cardform.ask_bank(paper.seller, ("Amount", due), card)


@hosted.post("/i/<account>/<token>/authenticate")
def invoice_bank_answer(account: str, token: str) -> Answer:
    """Go on with what the customer chose at the bank's page; walking away changes nothing."""
    step = cardform.unpack(token, request.args.get("step", ""))
    chosen = cardform.outcome(request.form)
    if step is None or chosen is None:
        return see_other(url_for("hosted.invoice_page", account=account, token=token))
    return _pay(account, token, step, CardForm(name=step.holder), chosen)


@hosted.get("/i/<account>/<token>/pdf")
def invoice_pdf(account: str, token: str) -> Response:
    """Return the invoice as a PDF file."""
    with reading() as db:
        paper = _look_up(db, account, token)
    if paper is None:
        return _missing()
    answer = make_response(_document(paper))
    answer.content_type = "application/pdf"
    name = paper.row["number"].replace("/", "-")
    answer.headers["Content-Disposition"] = f'attachment; filename="Invoice-{name}.pdf"'
    return answer


def _document(paper: Paper) -> bytes:
    paid = date(paper.invoice["status_transitions"]["paid_at"])
    state = f"Paid on {paid}" if paid else paper.row["state"]
    return pdf.invoice(
        pdf.Sheet(
            seller=paper.seller["name"],
            number=paper.row["number"],
            facts=[("Invoice", paper.row["number"]), ("Date", paper.row["date"]), ("State", state)],
            billed_to=paper.to,
            rows=[
                [row["name"], row["period"], row["quantity"], row["unit"], row["amount"]]
                for row in paper.rows
            ],
            totals=paper.totals,
        )
    )
