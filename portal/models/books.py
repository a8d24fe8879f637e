"""What the provider's books say of our sales: invoices, and what payments did to balances.

Copies, so that lists and sums ask no provider; ``am_book`` says how old they are.
"""

from datetime import datetime

from sqlalchemy import BigInteger, Boolean, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal.extensions import Model
from portal.models.subscription import Subscription
from portal.models.types import UtcDateTime, text_id


class Book(Model):
    """How far the books of one connected account were read."""

    __tablename__ = "am_book"
    __table_args__ = (UniqueConstraint("tenant_id", "connected_account"),)

    book_id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("am_tenant.tenant_id"))
    connected_account: Mapped[str] = mapped_column(text_id())
    read_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When the last reading that came to its end began; ``None``: never."""
    problem: Mapped[str | None] = mapped_column(String(1024))
    """Why the last reading came to no end."""


class BookedInvoice(Model):
    """An invoice of a subscription that this portal sold. Amounts in minor units."""

    __tablename__ = "am_invoice"
    __table_args__ = (
        Index("ix_am_invoice_api_id_month", "api_id", "month"),
        Index("ix_am_invoice_subscription_id_created", "subscription_id", "created"),
        Index("ix_am_invoice_connected_account_created", "connected_account", "created"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    invoice_id: Mapped[str] = mapped_column(text_id(), unique=True)
    """The provider's name of it."""
    tenant_id: Mapped[int] = mapped_column(ForeignKey("am_tenant.tenant_id"), index=True)
    connected_account: Mapped[str] = mapped_column(text_id())
    subscription_id: Mapped[int] = mapped_column(ForeignKey("am_subscription.subscription_id"))
    api_id: Mapped[int] = mapped_column(ForeignKey("am_api.api_id"))
    policy_id: Mapped[int] = mapped_column(ForeignKey("am_policy_subscription.policy_id"))
    """The plan that it is for; a change of plan afterwards does not move it."""
    number: Mapped[str | None] = mapped_column(String(255))
    status: Mapped[str] = mapped_column(text_id(20))
    currency: Mapped[str] = mapped_column(text_id(3))
    """Lower case."""
    subtotal: Mapped[int] = mapped_column(BigInteger)
    tax: Mapped[int] = mapped_column(BigInteger)
    total: Mapped[int] = mapped_column(BigInteger)
    amount_due: Mapped[int] = mapped_column(BigInteger)
    amount_paid: Mapped[int] = mapped_column(BigInteger)
    amount_remaining: Mapped[int] = mapped_column(BigInteger)
    attempted: Mapped[bool] = mapped_column(Boolean)
    created: Mapped[datetime] = mapped_column(UtcDateTime)
    month: Mapped[str] = mapped_column(text_id(7))
    """``2026-05``: in which month it was made, in UTC. All its money counts there."""
    period_start: Mapped[datetime] = mapped_column(UtcDateTime)
    period_end: Mapped[datetime] = mapped_column(UtcDateTime)
    due_date: Mapped[datetime | None] = mapped_column(UtcDateTime)
    hosted_url: Mapped[str | None] = mapped_column(Text)
    pdf_url: Mapped[str | None] = mapped_column(Text)

    subscription: Mapped[Subscription] = relationship(lazy="joined", innerjoin=True)


class BookedPayment(Model):
    """Which invoice a payment is for."""

    __tablename__ = "am_invoice_payment"

    id: Mapped[int] = mapped_column(primary_key=True)
    payment_id: Mapped[str] = mapped_column(text_id(), unique=True)
    invoice_id: Mapped[int] = mapped_column(ForeignKey("am_invoice.id"), index=True)


class BookedMovement(Model):
    """A charge, refund or dispute of an invoice, as the balance has it. It never changes."""

    __tablename__ = "am_movement"

    id: Mapped[int] = mapped_column(primary_key=True)
    movement_id: Mapped[str] = mapped_column(text_id(), unique=True)
    invoice_id: Mapped[int] = mapped_column(ForeignKey("am_invoice.id"), index=True)
    kind: Mapped[str] = mapped_column(text_id(10))
    charge_id: Mapped[str] = mapped_column(text_id(), index=True)
    currency: Mapped[str] = mapped_column(text_id(3))
    """In which the account is paid out; it need not be the invoice's."""
    amount: Mapped[int] = mapped_column(BigInteger)
    fee: Mapped[int] = mapped_column(BigInteger)
    """What the payment provider took."""
    platform_fee: Mapped[int] = mapped_column(BigInteger)
    """What the tenant took."""
    net: Mapped[int] = mapped_column(BigInteger)
    created: Mapped[datetime] = mapped_column(UtcDateTime)
