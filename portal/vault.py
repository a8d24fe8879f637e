"""Encryption of secrets at rest.

A sealed value carries the name of its place (tenant and column) inside the encryption, so that
a value that was copied to another tenant's row does not open there.
"""

import json

from cryptography.fernet import Fernet, InvalidToken, MultiFernet


class SecretUnreadable(Exception):
    """A stored secret does not open: wrong ``ENCRYPTION_KEYS``, or moved from another place."""


class Vault:
    """Seals and opens secrets. The newest key seals; every key opens."""

    def __init__(self) -> None:
        self._fernet: MultiFernet | None = None
        self._newest: Fernet | None = None

    def configure(self, keys: list[str]) -> None:
        """Take the keys, newest first.

        :raise ValueError: if there is none, or one is not a Fernet key
        """
        if not keys:
            raise ValueError("ENCRYPTION_KEYS is empty.")
        self._newest = Fernet(keys[0])
        self._fernet = MultiFernet([Fernet(key) for key in keys])

    def seal(self, place: str, value: str) -> str:
        """Encrypt ``value`` for ``place``, for example ``carbon.super:platform_key``."""
        return self._ready.encrypt(json.dumps([place, value]).encode()).decode()

    def open(self, place: str, sealed: str) -> str:
        """Decrypt what was sealed for ``place``.

        :raise SecretUnreadable: if no key fits or it was sealed for another place
        """
        try:
            stored_place, value = json.loads(self._ready.decrypt(sealed.encode()))
        except (InvalidToken, ValueError) as error:
            raise SecretUnreadable("A stored secret cannot be decrypted.") from error
        if stored_place != place:
            raise SecretUnreadable("A stored secret belongs to another place.")
        return str(value)

    def rotate(self, sealed: str) -> str:
        """Encrypt anew with the newest key; place and value stay.

        :raise SecretUnreadable: if no key fits
        """
        try:
            return self._ready.rotate(sealed.encode()).decode()
        except InvalidToken as error:
            raise SecretUnreadable("A stored secret cannot be decrypted.") from error

    def is_current(self, sealed: str) -> bool:
        """Whether the newest key sealed it, so that no other is needed to open it."""
        if self._newest is None:
            raise RuntimeError("The vault has no keys yet; create_app configures it.")
        try:
            self._newest.decrypt(sealed.encode())
        except InvalidToken:
            return False
        return True

    @property
    def _ready(self) -> MultiFernet:
        if self._fernet is None:
            raise RuntimeError("The vault has no keys yet; create_app configures it.")
        return self._fernet


vault = Vault()


def mask(secret: str) -> str:
    """Return how a secret is shown to people: its last four characters and nothing else."""
    return f"…{secret[-4:]}" if len(secret) >= 12 else "…"
