"""Where a tenant's usage comes from."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from portal.errors import PortalError


class SourceUnavailable(PortalError):
    """The source could not be read, which is not the same as no usage: nothing is billed of it.

    The window that could not be read is read again by the next run.
    """

    status_code = 503
    title = "The usage could not be read"


class NothingYet(SourceUnavailable):
    """The source works, but the place where calls would be is not there yet."""


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Whose calls are asked for, from ``start`` up to ``end``, which is excluded."""

    tenant_domain: str
    apis: Sequence[str]
    """UUIDs."""
    start: datetime
    end: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """Calls of one hour that are alike. Times are epoch milliseconds."""

    api: str
    application: str
    """UUIDs; the application's is empty if the source does not know it."""
    hour: int
    """Hours since 1970."""
    method: str
    resource: str
    status: int
    key_type: str
    calls: int
    first: int
    last: int
    """When the first and the last were made, as exactly as the source knows."""


class AnalyticsSource(ABC):
    """A place that knows which calls were made.

    Whatever a source knows is brought into the ledger first, and billed from there: so batches,
    receipts and explanations are the same for every source.
    """

    name: ClassVar[str]
    look_back: ClassVar[timedelta] = timedelta(0)
    """How long after a call the source may still learn of it. So long it is read again."""

    @abstractmethod
    def check(self, scope: Scope) -> str:
        """Ask the source whether it can be read, and say what was seen.

        :raise SourceUnavailable: with a sentence that says what to do
        """

    @abstractmethod
    def read(self, scope: Scope) -> Iterator[Found]:
        """Return all calls that the source has and the ledger cannot know otherwise.

        :raise SourceUnavailable: if it could not be read to the end, also after some were returned
        """

    @abstractmethod
    def later(self, scope: Scope, found: Found, moment: int) -> Found | None:
        """Return those calls of ``found`` that were made at ``moment`` or after.

        :raise SourceUnavailable: as :meth:`read`
        """
