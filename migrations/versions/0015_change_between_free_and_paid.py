"""Let one subscription change between a free plan and a paid one, and end many in the background.

Subscriptions that are there were never free before they were paid for, so all their calls count.
"""

import sqlalchemy as sa
from alembic import op

from portal.models import types

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

KEY = "fk_am_stripe_checkout_sessions_plan_change_id"


def upgrade() -> None:
    """Make room for changes without a price, for what they wait for, and for endings."""
    with op.batch_alter_table("am_plan_change") as table:
        table.alter_column("mapping_id", existing_type=sa.Integer(), nullable=True)
        table.add_column(
            sa.Column("at_period_end", sa.Boolean(), nullable=False, server_default=sa.false())
        )
    with op.batch_alter_table("am_stripe_checkout_sessions") as table:
        table.add_column(sa.Column("plan_change_id", sa.Integer(), nullable=True))
        table.create_foreign_key(
            op.f(KEY), "am_plan_change", ["plan_change_id"], ["plan_change_id"]
        )
    op.add_column(
        "am_subscription",
        sa.Column("billed_from", sa.BigInteger(), nullable=False, server_default="0"),
    )
    op.add_column("am_api", sa.Column("endings", sa.String(length=10), nullable=True))
    op.add_column("am_api", sa.Column("endings_by", types.text_id(255), nullable=True))


def downgrade() -> None:
    """Forget changes to a free plan, and what waits."""
    op.drop_column("am_api", "endings_by")
    op.drop_column("am_api", "endings")
    op.drop_column("am_subscription", "billed_from")
    with op.batch_alter_table("am_stripe_checkout_sessions") as table:
        table.drop_constraint(op.f(KEY), type_="foreignkey")
        table.drop_column("plan_change_id")
    op.execute("DELETE FROM am_plan_change WHERE mapping_id IS NULL")
    with op.batch_alter_table("am_plan_change") as table:
        table.drop_column("at_period_end")
        table.alter_column("mapping_id", existing_type=sa.Integer(), nullable=False)
