"""Remember when a subscription's free trial began and ends: its calls are not billed.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

from portal.models import types

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the two moments; the next event of a subscription fills them in."""
    for name in ("trial_start", "trial_end"):
        op.add_column("am_subscription", sa.Column(name, types.UtcDateTime(), nullable=True))


def downgrade() -> None:
    """Forget them."""
    for name in ("trial_end", "trial_start"):
        op.drop_column("am_subscription", name)
