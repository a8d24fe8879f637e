"""Bringing spool files into the ledger: those of processes that live, and of those that died.

Every process of a gateway writes a file of its own. Each portion of a file is counted in the
transaction that moves its offset, so that it does not matter who drains, how many do, or where
one of them is killed.
"""

import fcntl
import os
import time
from collections import Counter
from hashlib import blake2b
from pathlib import Path

import structlog
from sqlalchemy.exc import DBAPIError

from portal.config import Settings
from portal.extensions import WRITES, db
from portal.services import gateway_log, spool, spool_place
from portal.services.spool import SUFFIX
from portal.web.engines import memory, settings
from portal.web.unit_of_work import in_unit_of_work

log = structlog.get_logger()

#: A drained file is kept for this long, so that a database restored from a backup gets the calls
#: that it has lost from the files: their names and offsets are as of the backup, too.
KEEP_SECONDS = 3 * 86_400.0
_KNOWN = "spool number"


def folder_of(settings: Settings) -> Path:
    """Return where the gateways of this machine write calls down that belong to this database.

    While the database does not answer that is a folder named after its address, which is emptied
    just the same.
    """
    try:
        if _number() is None:
            with db.engine.connect().execution_options(**{WRITES: True}) as connection:
                spool_place.give_number(connection)
                connection.commit()
            _number()
    except DBAPIError as error:
        log.warning("database_not_asked", error=type(error).__name__)
        return _by_address(settings)
    return known_folder(settings)


def number_if_known() -> int | None:
    """Return the database's number, if it was asked for before; nothing is asked."""
    known: int | None = memory().get(_KNOWN)
    return known


def known_folder(settings: Settings) -> Path:
    """Return :func:`folder_of` as it stands, without giving the database a number."""
    number = _number()
    if number is None:
        return _by_address(settings)
    return settings.instance / "spool" / f"{number:016x}"


def _number() -> int | None:
    """Return the database's number, if it has one; asked until it is known."""
    remembered = memory()
    known: int | None = remembered.get(_KNOWN)
    if known is None:
        with db.engine.connect() as connection:
            known = remembered[_KNOWN] = spool_place.number_of(connection)
    return known


def _by_address(settings: Settings) -> Path:
    """Return the folder that is named after the database's address, as all were at first."""
    name = blake2b(settings.database_url.encode(), digest_size=6).hexdigest()
    return settings.instance / "spool" / name


def others(settings: Settings) -> list[tuple[Path, int]]:
    """Return folders with files that nobody here counts, and how many; what is counted is left out.

    They are another database's, or were named after an address that this one had before.
    """
    own = {known_folder(settings), _by_address(settings)}
    sizes = {
        path: path.stat().st_size
        for path in sorted((settings.instance / "spool").glob(f"*/*{SUFFIX}"))
        if path.parent not in own
    }
    with db.engine.connect() as connection:
        left = spool_place.not_counted(connection, sizes)
    return sorted(Counter(path.parent for path in left).items())


def drain_here() -> int:
    """Bring everything that the gateways of this machine wrote down into the ledger."""
    here = settings()
    total = sum(drain_all(folder) for folder in {folder_of(here), _by_address(here)})
    return total + (drain_log(here.gateway_log) if here.gateway_log else 0)


def drain_log(log_path: Path, failed: list[Path] | None = None) -> int:
    """Bring what is new in an nginx log, and in those it was rotated to, into the ledger.

    Rotated by renaming (logrotate's default), never by ``copytruncate``. Returns the bytes. A log
    that cannot be counted is tried again the next time, and holds up no other one.

    :param failed: gets those that could not be counted
    """
    total = 0
    for path in sorted(log_path.parent.glob(f"{log_path.name}*")):
        try:
            found = path.stat()
            mark = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
            if path.suffix == ".gz" or not found.st_size or _read.get(path) == mark:
                continue
            total += _drain_log(path)
            _read[path] = mark
        except FileNotFoundError:
            # It was rotated away just now; it is found under its new name the next time.
            continue
        except Exception:
            db.session.rollback()
            log.exception("drain_failed", file=path.name)
            if failed is not None:
                failed.append(path)
    return total


def _drain_log(path: Path) -> int:
    total = 0
    while done := in_unit_of_work(lambda: gateway_log.drain(db.session.connection(), path)):
        total += done
        # What is written while this counts is for the next time: it would be few lines each time.
        if done < gateway_log.PORTION - gateway_log.LONGEST_LINE:
            break
    return total


def drain_file(path: Path) -> int:
    """Bring what is new in a file into the ledger; return how many bytes that was."""
    total = 0
    while done := in_unit_of_work(lambda: spool.drain(db.session.connection(), path, path.name)):
        total += done
    return total


def drain_all(folder: Path) -> int:
    """Bring what is new in every file of this machine into the ledger; return the bytes.

    A file that cannot be read holds up no other one.
    """
    total = 0
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            size = path.stat().st_size
            if _drained.get(path) != size:
                total += drain_file(path)
                _drained[path] = size
            _remove_if_old(path)
        except Exception:
            db.session.rollback()
            log.exception("drain_failed", file=path.name)
    return total


#: Which log stood under a name when it was read whole. Rotating gives its name to another one,
#: which may be as long.
_read: dict[Path, tuple[int, int, int, int]] = {}
#: Size of files that were in the ledger whole, so that nobody asks the database about them again.
_drained: dict[Path, int] = {}


def _is_closed(path: Path) -> bool:
    """Whether nobody can append to a file any more."""
    file = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(file)
    return True


def _remove_if_old(path: Path) -> None:
    age = time.time() - path.stat().st_mtime
    if age > KEEP_SECONDS and _is_closed(path) and not drain_file(path):
        path.unlink(missing_ok=True)
        _drained.pop(path, None)
