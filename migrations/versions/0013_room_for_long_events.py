"""Give events the room that the webhook takes in: a megabyte.

MySQL's and MariaDB's BLOB ends at 64 KiB, so that a long event was refused again and again. The
other databases know no such limit.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let the column hold sixteen megabytes."""
    _alter(sa.LargeBinary(), mysql.MEDIUMBLOB())


def downgrade() -> None:
    """Go back to 64 KiB; refused by the server while a longer event is stored."""
    _alter(mysql.MEDIUMBLOB(), sa.LargeBinary())


def _alter(before: sa.types.TypeEngine[bytes], after: sa.types.TypeEngine[bytes]) -> None:
    if op.get_context().dialect.name in ("mysql", "mariadb"):
        op.alter_column(
            "am_stripe_event",
            "payload_zlib",
            existing_type=before,
            type_=after,
            existing_nullable=False,
        )
