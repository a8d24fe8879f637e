"""Let a plan's price have tiers, a free trial and promotion codes.

Prices that are there keep what they are: no tiers, no trial, no codes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("am_policy_version") as batch:
        batch.add_column(sa.Column("pricing_model", sa.String(length=15), nullable=True))
        batch.add_column(sa.Column("tiers", sa.JSON(), nullable=True))
        batch.add_column(
            sa.Column("trial_days", sa.Integer(), nullable=False, server_default=sa.text("0"))
        )
        batch.add_column(
            sa.Column("takes_coupons", sa.Boolean(), nullable=False, server_default=sa.false())
        )


def downgrade() -> None:
    with op.batch_alter_table("am_policy_version") as batch:
        batch.drop_column("takes_coupons")
        batch.drop_column("trial_days")
        batch.drop_column("tiers")
        batch.drop_column("pricing_model")
