"""Find what was acknowledged lately, to compare it with the engine's meters."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_NAME, _TABLE = "ix_am_usage_batch_acknowledged_at", "am_usage_batch"


def upgrade() -> None:
    """Make the index."""
    op.create_index(_NAME, _TABLE, ["tenant_id", "acknowledged_at"])


def downgrade() -> None:
    """Drop the index."""
    op.drop_index(_NAME, _TABLE)
