"""Let a tenant's new subscriptions need an approval, and keep what is paid back.

Tenants that are there go on as before: a payment is all that is needed.
"""

import sqlalchemy as sa
from alembic import op

from portal.models import types

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("am_tenant") as batch:
        batch.add_column(
            sa.Column(
                "subscriptions_need",
                sa.String(length=20),
                nullable=False,
                server_default="PAYMENT",
            )
        )
    op.create_index(
        "ix_am_subscription_tenant_id_approval", "am_subscription", ["tenant_id", "approval"]
    )
    op.create_table(
        "am_refund",
        sa.Column("refund_id", sa.Integer(), nullable=False),
        sa.Column("uuid", types.text_id(36), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("am_subscription_id", sa.Integer(), nullable=False),
        sa.Column("engine_subscription_id", types.text_id(), nullable=False),
        sa.Column("connected_account", types.text_id(), nullable=False),
        sa.Column("because", sa.String(length=1024), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=True),
        sa.Column("error", sa.String(length=1024), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("done_at", types.UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["am_tenant.tenant_id"], name=op.f("fk_am_refund_tenant_id_am_tenant")
        ),
        sa.ForeignKeyConstraint(
            ["am_subscription_id"],
            ["am_subscription.subscription_id"],
            name=op.f("fk_am_refund_am_subscription_id_am_subscription"),
        ),
        sa.PrimaryKeyConstraint("refund_id", name=op.f("pk_am_refund")),
        sa.UniqueConstraint("uuid", name=op.f("uq_am_refund_uuid")),
        sa.UniqueConstraint(
            "engine_subscription_id", name=op.f("uq_am_refund_engine_subscription_id")
        ),
    )
    op.create_index(op.f("ix_am_refund_am_subscription_id"), "am_refund", ["am_subscription_id"])
    op.create_index(op.f("ix_am_refund_status"), "am_refund", ["status"])


def downgrade() -> None:
    op.drop_table("am_refund")
    op.drop_index("ix_am_subscription_tenant_id_approval", "am_subscription")
    with op.batch_alter_table("am_tenant") as batch:
        batch.drop_column("subscriptions_need")
