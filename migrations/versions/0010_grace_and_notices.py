"""Let a tenant give grace after a failed payment and take a fee; keep what subscribers are told.

Tenants that are there do neither, as before: calls stop at once.
"""

import sqlalchemy as sa
from alembic import op

from portal.models import types

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

SUBSCRIPTION = {
    "arrears_line": sa.Integer(),
    "access_until": types.UtcDateTime(),
    "stops_at": types.UtcDateTime(),
}


def upgrade() -> None:
    op.add_column(
        "am_tenant", sa.Column("grace_days", sa.Integer(), nullable=False, server_default="0")
    )
    op.add_column(
        "am_tenant",
        sa.Column("reminder_days", sa.String(length=60), nullable=False, server_default="3,1"),
    )
    op.add_column(
        "am_tenant",
        sa.Column("platform_fee_percent", types.DecimalText(), nullable=False, server_default="0"),
    )
    op.add_column(
        "am_stripe_checkout_sessions", sa.Column("fee_percent", types.DecimalText(), nullable=True)
    )
    for name, kind in SUBSCRIPTION.items():
        op.add_column("am_subscription", sa.Column(name, kind, nullable=True))
    _create_notice()
    op.create_table(
        "am_mail",
        sa.Column("mail_id", sa.Integer(), nullable=False),
        sa.Column("message_id", types.text_id(255), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("recipient", sa.String(length=320), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["am_tenant.tenant_id"], name=op.f("fk_am_mail_tenant_id")
        ),
        sa.PrimaryKeyConstraint("mail_id", name=op.f("pk_am_mail")),
        sa.UniqueConstraint("message_id", name=op.f("uq_am_mail_message_id")),
    )
    op.create_index("ix_am_mail_tenant_id", "am_mail", ["tenant_id"])


def _create_notice() -> None:
    op.create_table(
        "am_notice",
        sa.Column("notice_id", sa.Integer(), nullable=False),
        sa.Column("uuid", types.text_id(36), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("subscription_id", sa.Integer(), nullable=False),
        sa.Column("kind", types.text_id(20), nullable=False),
        sa.Column("occasion", types.text_id(64), nullable=False),
        sa.Column("at", types.UtcDateTime(), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("relevant_until", types.UtcDateTime(), nullable=True),
        sa.Column("closed_at", types.UtcDateTime(), nullable=True),
        sa.Column("recipient", sa.String(length=320), nullable=True),
        sa.Column("mail_state", types.text_id(10), nullable=False),
        sa.Column("mail_attempts", sa.Integer(), nullable=False),
        sa.Column("mail_next_at", types.UtcDateTime(), nullable=False),
        sa.Column("mailed_at", types.UtcDateTime(), nullable=True),
        sa.Column("mail_problem", sa.String(length=255), nullable=True),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["am_subscription.subscription_id"],
            name=op.f("fk_am_notice_subscription_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["am_tenant.tenant_id"], name=op.f("fk_am_notice_tenant_id")
        ),
        sa.PrimaryKeyConstraint("notice_id", name=op.f("pk_am_notice")),
        sa.UniqueConstraint(
            "subscription_id",
            "kind",
            "occasion",
            name=op.f("uq_am_notice_subscription_id_kind_occasion"),
        ),
        sa.UniqueConstraint("uuid", name=op.f("uq_am_notice_uuid")),
    )
    op.create_index("ix_am_notice_mail_state", "am_notice", ["mail_state", "mail_next_at"])
    op.create_index("ix_am_notice_tenant_id", "am_notice", ["tenant_id"])


def downgrade() -> None:
    op.drop_table("am_mail")
    op.drop_table("am_notice")
    for name in reversed(SUBSCRIPTION):
        op.drop_column("am_subscription", name)
    op.drop_column("am_stripe_checkout_sessions", "fee_percent")
    op.drop_column("am_tenant", "platform_fee_percent")
    op.drop_column("am_tenant", "reminder_days")
    op.drop_column("am_tenant", "grace_days")
