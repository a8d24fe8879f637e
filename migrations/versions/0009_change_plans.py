"""Changes of plan, and since when a subscription has its present one.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

from portal.models import types

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLE = "am_plan_change"


def upgrade() -> None:
    """Create the table, and let each subscription have had its plan since ever."""
    op.add_column(
        "am_subscription",
        sa.Column("plan_since", sa.BigInteger(), nullable=False, server_default="0"),
    )
    op.create_table(
        TABLE,
        sa.Column("plan_change_id", sa.Integer(), nullable=False),
        sa.Column("uuid", types.text_id(36), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("subscription_id", sa.Integer(), nullable=False),
        sa.Column("from_version_id", sa.Integer(), nullable=False),
        sa.Column("to_version_id", sa.Integer(), nullable=False),
        sa.Column("mapping_id", sa.Integer(), nullable=False),
        sa.Column("new_period", sa.Boolean(), nullable=False),
        sa.Column("counted_from", types.UtcDateTime(), nullable=False),
        sa.Column("asked_by", sa.String(length=255), nullable=False),
        sa.Column("asked_at", types.UtcDateTime(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("detail", sa.String(length=1024), nullable=True),
        sa.Column("open_key", types.text_id(36), nullable=True),
        sa.Column("period_start", types.UtcDateTime(), nullable=True),
        sa.Column("took_effect_at", sa.BigInteger(), nullable=True),
        *(
            sa.ForeignKeyConstraint([name], [target], name=op.f(f"fk_{TABLE}_{name}"))
            for name, target in {
                "tenant_id": "am_tenant.tenant_id",
                "subscription_id": "am_subscription.subscription_id",
                "from_version_id": "am_policy_version.policy_version_id",
                "to_version_id": "am_policy_version.policy_version_id",
                "mapping_id": "am_policy_plan_mapping.mapping_id",
            }.items()
        ),
        sa.PrimaryKeyConstraint("plan_change_id", name=op.f(f"pk_{TABLE}")),
        sa.UniqueConstraint("uuid", name=op.f(f"uq_{TABLE}_uuid")),
        sa.UniqueConstraint("open_key", name=op.f(f"uq_{TABLE}_open_key")),
    )
    op.create_index("ix_am_plan_change_state", TABLE, ["state"])
    op.create_index("ix_am_plan_change_subscription_id", TABLE, ["subscription_id"])


def downgrade() -> None:
    """Forget them."""
    op.drop_table(TABLE)
    op.drop_column("am_subscription", "plan_since")
