"""Where a tenant's usage comes from."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from portal.errors import PortalError


class SourceUnavailable(PortalError):
    """The source could not be read, which is not the same as no usage: nothing is billed of it.

    The window that could not be read is read again by the next run.
    """

    status_code = 503
    title = "The usage could not be read"


class AnalyticsSource(ABC):
    """A place that knows which calls were made.

    Whatever a source knows is brought into the ledger first, and billed from there: so batches,
    receipts and explanations are the same for every source.
    """

    name: ClassVar[str]

    @abstractmethod
    def check(self) -> None:
        """Ask the source whether it can be read.

        :raise SourceUnavailable: with a sentence that says what to do
        """

    @abstractmethod
    def gather(self, tenant_id: int, until: datetime) -> Sequence[int]:
        """Bring the tenant's calls up to ``until`` into the ledger; twice adds nothing twice.

        Returns the ids of the metered subscriptions that have calls which no batch has claimed.
        Runs inside a unit of work.

        :raise SourceUnavailable: if it could not be read
        """
