"""Slow down who guesses passwords, end copies of sessions, and keep what administrators did."""

import sqlalchemy as sa
from alembic import op

from portal.models import types

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "am_sign_in_guard",
        sa.Column("guard_key", types.text_id(64), nullable=False),
        sa.Column("account_key", types.text_id(64), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failed_at", types.UtcDateTime(), nullable=True),
        sa.Column("locked_until", types.UtcDateTime(), nullable=True),
        sa.Column("known_until", types.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("guard_key", name="pk_am_sign_in_guard"),
    )
    op.create_index("ix_am_sign_in_guard_account_key", "am_sign_in_guard", ["account_key"])
    op.create_index("ix_am_sign_in_guard_failed_at", "am_sign_in_guard", ["failed_at"])
    op.create_table(
        "am_ended_session",
        sa.Column("session_hash", types.text_id(64), nullable=False),
        sa.Column("ended_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("session_hash", name="pk_am_ended_session"),
    )
    op.create_index("ix_am_ended_session_ended_at", "am_ended_session", ["ended_at"])
    op.create_table(
        "am_audit",
        sa.Column("audit_id", sa.Integer(), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("at", types.UtcDateTime(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("actor", sa.String(600), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("via", sa.String(300), nullable=False),
        sa.Column("act", types.text_id(100), nullable=False),
        sa.Column("path", sa.String(500), nullable=False),
        sa.Column("target", sa.String(300), nullable=False),
        sa.Column("request_id", types.text_id(40), nullable=False),
        sa.Column("changes", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["am_tenant.tenant_id"], name="fk_am_audit_tenant_id_am_tenant"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["am_user.user_id"],
            name="fk_am_audit_user_id_am_user",
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("audit_id", name="pk_am_audit"),
    )
    op.create_index("ix_am_audit_tenant_id_audit_id", "am_audit", ["tenant_id", "audit_id"])
    op.create_index("ix_am_audit_tenant_id_act", "am_audit", ["tenant_id", "act"])


def downgrade() -> None:
    """Forget what was counted, ended and noted."""
    op.drop_table("am_audit")
    op.drop_table("am_ended_session")
    op.drop_table("am_sign_in_guard")
