"""Keep copies of the provider's invoices and of what payments did to balances."""

import sqlalchemy as sa
from alembic import op

from portal.models import types

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

MINOR = (
    "subtotal",
    "tax",
    "total",
    "amount_due",
    "amount_paid",
    "amount_remaining",
)


def upgrade() -> None:
    op.create_table(
        "am_book",
        sa.Column("book_id", sa.Integer(), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("connected_account", types.text_id(255), nullable=False),
        sa.Column("read_at", types.UtcDateTime(), nullable=True),
        sa.Column("problem", sa.String(length=1024), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["am_tenant.tenant_id"], name=op.f("fk_am_book_tenant_id")
        ),
        sa.PrimaryKeyConstraint("book_id", name=op.f("pk_am_book")),
        sa.UniqueConstraint(
            "tenant_id", "connected_account", name=op.f("uq_am_book_tenant_id_connected_account")
        ),
    )
    _create_invoice()
    _create_movements()


def _create_invoice() -> None:
    keys = {
        "tenant_id": "am_tenant.tenant_id",
        "subscription_id": "am_subscription.subscription_id",
        "api_id": "am_api.api_id",
        "policy_id": "am_policy_subscription.policy_id",
    }
    op.create_table(
        "am_invoice",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("invoice_id", types.text_id(255), nullable=False),
        sa.Column("connected_account", types.text_id(255), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in keys),
        sa.Column("number", sa.String(length=255), nullable=True),
        sa.Column("status", types.text_id(20), nullable=False),
        sa.Column("currency", types.text_id(3), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in MINOR),
        sa.Column("attempted", sa.Boolean(), nullable=False),
        sa.Column("created", types.UtcDateTime(), nullable=False),
        sa.Column("month", types.text_id(7), nullable=False),
        sa.Column("period_start", types.UtcDateTime(), nullable=False),
        sa.Column("period_end", types.UtcDateTime(), nullable=False),
        sa.Column("due_date", types.UtcDateTime(), nullable=True),
        sa.Column("hosted_url", sa.Text(), nullable=True),
        sa.Column("pdf_url", sa.Text(), nullable=True),
        *(
            sa.ForeignKeyConstraint([name], [target], name=op.f(f"fk_am_invoice_{name}"))
            for name, target in keys.items()
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_am_invoice")),
        sa.UniqueConstraint("invoice_id", name=op.f("uq_am_invoice_invoice_id")),
    )
    for columns in (
        ["tenant_id"],
        ["api_id", "month"],
        ["subscription_id", "created"],
        ["connected_account", "created"],
    ):
        op.create_index(f"ix_am_invoice_{'_'.join(columns)}", "am_invoice", columns)


def _create_movements() -> None:
    op.create_table(
        "am_invoice_payment",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("payment_id", types.text_id(255), nullable=False),
        sa.Column("invoice_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["invoice_id"], ["am_invoice.id"], name=op.f("fk_am_invoice_payment_invoice_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_am_invoice_payment")),
        sa.UniqueConstraint("payment_id", name=op.f("uq_am_invoice_payment_payment_id")),
    )
    op.create_index("ix_am_invoice_payment_invoice_id", "am_invoice_payment", ["invoice_id"])
    op.create_table(
        "am_movement",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("movement_id", types.text_id(255), nullable=False),
        sa.Column("invoice_id", sa.Integer(), nullable=False),
        sa.Column("kind", types.text_id(10), nullable=False),
        sa.Column("charge_id", types.text_id(255), nullable=False),
        sa.Column("currency", types.text_id(3), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("amount", "fee", "platform_fee", "net")
        ),
        sa.Column("created", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["invoice_id"], ["am_invoice.id"], name=op.f("fk_am_movement_invoice_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_am_movement")),
        sa.UniqueConstraint("movement_id", name=op.f("uq_am_movement_movement_id")),
    )
    op.create_index("ix_am_movement_invoice_id", "am_movement", ["invoice_id"])
    op.create_index("ix_am_movement_charge_id", "am_movement", ["charge_id"])


def downgrade() -> None:
    for table in ("am_movement", "am_invoice_payment", "am_invoice", "am_book"):
        op.drop_table(table)
