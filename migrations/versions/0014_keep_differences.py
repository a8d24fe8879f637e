"""Keep what differs between the portal and the billing engine, for Admin > Drift."""

import sqlalchemy as sa
from alembic import op

from portal.models import types

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make a table of the latest comparison of each tenant, and one of the differences."""
    op.create_table(
        "am_drift_check",
        sa.Column("tenant_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("started_by", sa.String(255), nullable=False),
        sa.Column("started_at", types.UtcDateTime(), nullable=False),
        sa.Column("finished_at", types.UtcDateTime(), nullable=True),
        sa.Column("found", sa.Integer(), nullable=False),
        sa.Column("repaired", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["am_tenant.tenant_id"], name="fk_am_drift_check_tenant_id_am_tenant"
        ),
        sa.PrimaryKeyConstraint("tenant_id", name="pk_am_drift_check"),
    )
    op.create_table(
        "am_drift",
        sa.Column("drift_id", ID, nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("open_key", types.text_id(64), nullable=True),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("account", types.text_id(), nullable=True),
        sa.Column("subject", types.text_id(), nullable=False),
        sa.Column("here", sa.Text(), nullable=False),
        sa.Column("there", sa.Text(), nullable=False),
        sa.Column("since", types.UtcDateTime(), nullable=True),
        sa.Column("risk", sa.String(10), nullable=False),
        sa.Column("danger", sa.Text(), nullable=False),
        sa.Column("proposal", sa.Text(), nullable=False),
        sa.Column("repairable", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("found_at", types.UtcDateTime(), nullable=False),
        sa.Column("seen_by", sa.Integer(), nullable=False),
        sa.Column("settled_at", types.UtcDateTime(), nullable=True),
        sa.Column("settled_by", sa.String(255), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["am_tenant.tenant_id"], name="fk_am_drift_tenant_id_am_tenant"
        ),
        sa.PrimaryKeyConstraint("drift_id", name="pk_am_drift"),
        sa.UniqueConstraint("open_key", name="uq_am_drift_open_key"),
    )
    op.create_index("ix_am_drift_tenant_id_state", "am_drift", ["tenant_id", "state"])


def downgrade() -> None:
    """Forget the differences; the next comparison finds them again."""
    op.drop_table("am_drift")
    op.drop_table("am_drift_check")
