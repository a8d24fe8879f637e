"""What a demo keeps in its folder: keys, passwords, the accounts in its sandbox."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.fernet import Fernet
from pydantic import BaseModel, Field, ValidationError

from portal.cli.processes import StartError

KEPT = "demo.json"
LOCK = "demo.lock"
#: Beginnings of the names of everything else that a demo puts into its folder.
MADE = ("portal.sqlite3", "queue.sqlite3", "sandbox.sqlite3")
#: Without letters and digits that people mix up when they copy a password by hand.
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


class Platform(BaseModel):
    """A tenant's platform account in the sandbox, with its connected accounts by publisher."""

    secret_key: str
    account: str
    connected: dict[str, str] = Field(default_factory=dict)


class Kept(BaseModel):
    """The demo's own settings and secrets, made once."""

    secret_key: str = Field(default_factory=lambda: secrets.token_urlsafe(48))
    encryption_key: str = Field(default_factory=lambda: Fernet.generate_key().decode())
    admin_token: str = Field(default_factory=lambda: secrets.token_urlsafe(24))
    passwords: dict[str, str] = Field(default_factory=dict)
    """By qualified name: ``admin``, ``admin@bluewater.example``."""
    platforms: dict[str, Platform] = Field(default_factory=dict)
    """By tenant."""
    backend_ports: list[int] = Field(default_factory=list)
    """Every port that the back end had, the present one last."""
    webhook_origin: str = ""
    """Where the sandbox sends events: the portal's address on this machine, not its public one."""
    owns_database: bool = False
    """Whether the tables are the demo's, so that a reset may drop them."""
    complete: bool = False
    """Whether all example data is there."""

    def password(self, name: str) -> str:
        """Return a person's password, made at the first call."""
        if name not in self.passwords:
            groups = ("".join(secrets.choice(ALPHABET) for _ in range(4)) for _ in range(4))
            self.passwords[name] = "-".join(groups)
        return self.passwords[name]


def prepare(folder: Path) -> None:
    """Make the folder, and see that it can be written.

    :raise StartError: with one sentence if it can't
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".write-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise StartError(
            f"The folder {folder} can't be written ({error.strerror}): choose another with --data."
        ) from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep every other demo out of the folder.

    :raise StartError: if one is running there
    """
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StartError(
                f"Another demo is running with the folder {folder}: stop it, or choose another "
                "folder with --data."
            ) from error
        yield


def load(folder: Path) -> Kept:
    """Return what the folder keeps; makes new keys where nothing is kept yet.

    :raise StartError: if the file can't be read; nothing is emptied by guessing
    """
    path = folder / KEPT
    if not path.exists():
        return Kept()
    try:
        return Kept.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise StartError(
            f"{path} can't be read: put it right, or choose another folder with --data."
        ) from error


def save(folder: Path, kept: Kept) -> None:
    """Store it for the owner's eyes only, whole or not at all."""
    path = folder / KEPT
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(kept.model_dump_json(indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)


def remove(folder: Path) -> None:
    """Delete what a demo put into the folder, and nothing else; keeps the logs."""
    for path in sorted(folder.iterdir()):
        if path.is_file() and (path.name == KEPT or path.name.startswith(MADE)):
            path.unlink()
