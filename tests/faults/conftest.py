"""What the fault tests share: a sale under way, and the invariants that each of them ends with."""

from tests.functional.service.conftest import sale

__all__ = ["sale"]
