"""Taking turns: a sweep tries a page of what is due, and the next one carries on behind it.

What fails stays due. If each sweep began at the front, a page of what fails for good would hold
up everything behind it. The row is the truth about what is due; where the last page ended is kept
with the queue, and losing that costs one round.
"""

from collections.abc import Callable, Sequence

import structlog

from portal.errors import PortalError
from portal.extensions import db
from portal.web import queue

log = structlog.get_logger()

PAGE = 50
#: Returns the lowest numbers above a number, in order, at most so many.
Due = Callable[[int, int], Sequence[int]]
Work = Callable[[int], object]


def in_turn(name: str, due: Due, work: Work, *, page: int = PAGE) -> int:
    """Try a page of what is due, behind the page before; return how many were tried.

    Behind the last of all comes the first again. Two workers at once may try the same.

    :param name: of this sweep, unlike any other's
    :param work: what is done for a number; may be interrupted, and done again
    """
    after = queue.recall(name)
    found = list(due(after, page))
    if after and len(found) < page:
        found += [number for number in due(0, page - len(found)) if number <= after]
    db.session.rollback()
    last = found[-1] if len(found) == page else 0
    if last != after:
        # Before the work: the next sweep is behind one that ends this process, too.
        queue.remember(name, last)
    for number in found:
        alone(name, number, work)
    return len(found)


def alone(name: str, number: int, work: Work) -> None:
    """Do one piece of work so that its failure holds up nothing else. It goes to the log."""
    try:
        work(number)
    except PortalError as error:
        log.warning("sweep_failed", sweep=name, number=number, error=error.message)
    except Exception:
        log.exception("sweep_failed", sweep=name, number=number)
    finally:
        db.session.rollback()
