"""
Tokens of the HTTP API: who may read, report and operate.

A token is 256 random bits, so its SHA-256 tells nothing of it and needs no salt or slow hash, and
guessing needs no lock-out. The file holds hashes alone and is replaced whole: a reader sees the one
before or the one after. It lies beside the database, not in it, because ``imgmon token`` works
while a daemon holds the store.
"""

from __future__ import annotations

import fcntl
import hmac
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from monitor.clock import Clock
from monitor.errors import MonitorError

PREFIX: Final = "imgmon_"
NAME_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
# How old what is known of the file may be: a revoked token works no longer than this.
_LOOK_EVERY_S: Final = 1.0
_BYTES_MAX: Final = 4 * 1024 * 1024


class Scope(StrEnum):
    """What a token allows."""

    READ = "read"
    REPORT = "report"
    OPERATE = "operate"


class TokenError(MonitorError):
    """The file of tokens cannot be used, or what was asked of it cannot be done."""


class Token(BaseModel):
    """
    One token, without itself.

    Attributes:
        sha256: Of the token's text, in hexadecimal.
        created_at: Wall time.
        expires_at: Wall time from which it is refused; None for one that lasts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    created_at: float
    expires_at: float | None = None


class _File(BaseModel):
    """What is in the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: tuple[Token, ...]


def is_name(text: str) -> bool:
    """Return whether *text* can name a token."""
    return re.fullmatch(NAME_PATTERN, text) is not None


def digest(text: str) -> str:
    """Return what is kept of a token."""
    return sha256(text.encode()).hexdigest()


def read(path: Path) -> tuple[Token, ...]:
    """
    Return the tokens in *path*; none where there is no such file.

    Raises:
        TokenError: It cannot be read, or is not what :func:`change` writes.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_BYTES_MAX + 1)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise TokenError(f"cannot read the tokens in {path}: {error.strerror}") from error
    try:
        tokens = _File.model_validate_json(data).tokens if len(data) <= _BYTES_MAX else None
    except ValidationError:  # Its text would quote what is in the file.
        tokens = None
    if tokens is None or len({token.name for token in tokens}) < len(tokens):
        raise TokenError(
            f"{path} is no file of tokens; restore it, or remove it and make new ones with "
            "`imgmon token new`"
        )
    return tokens


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep out others who change the tokens in *folder*; the kernel lets go when we die."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def change(path: Path, edit: Callable[[tuple[Token, ...]], Iterable[Token]]) -> None:
    """
    Replace the tokens in *path* by what *edit* makes of them, whole and on disk, or not at all.

    Raises:
        TokenError: The file is damaged or cannot be written; what *edit* raises passes through.
    """
    try:
        with _alone(path.parent):
            data = _File(tokens=tuple(edit(read(path)))).model_dump_json(indent=2)
            new = path.with_name(path.name + ".new")
            new.unlink(missing_ok=True)
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(data + "\n")
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
    except OSError as error:
        raise TokenError(f"cannot write the tokens in {path}: {error.strerror}") from error


def create(
    path: Path,
    name: str,
    scopes: Iterable[Scope],
    *,
    now: float,
    expires_at: float | None = None,
    replace: bool = False,
) -> str:
    """
    Add a token to *path* and return its text, which is kept nowhere.

    Args:
        path: The file of tokens; made where there is none.
        name: Whose it is: unique, and what reports are counted under.
        scopes: What it allows; each alone, none holds another.
        now: Wall time.
        expires_at: Wall time from which it is refused.
        replace: Let the token of this name that there is end.

    Raises:
        TokenError: There is one of this name, or the file cannot be used.
    """
    text = PREFIX + secrets.token_urlsafe(32)
    token = Token(
        name=name,
        scopes=tuple(dict.fromkeys(scopes)),
        sha256=digest(text),
        created_at=now,
        expires_at=expires_at,
    )

    def with_it(tokens: tuple[Token, ...]) -> Iterator[Token]:
        if not replace and any(known.name == name for known in tokens):
            raise TokenError(f"there is a token {name!r} already; revoke it, or give --replace")
        yield from (known for known in tokens if known.name != name)
        yield token

    change(path, with_it)
    return text


def revoke(path: Path, name: str) -> None:
    """
    Remove the token of that name from *path*.

    Raises:
        TokenError: There is none, or the file cannot be used.
    """

    def without(tokens: tuple[Token, ...]) -> list[Token]:
        left = [token for token in tokens if token.name != name]
        if len(left) == len(tokens):
            names = ", ".join(token.name for token in tokens) or "none"
            raise TokenError(f"there is no token {name!r}; there are: {names}")
        return left

    change(path, without)


class TokenBook:
    """
    The tokens of a running daemon: reads the file anew once it has changed.

    A damaged file neither opens nor closes anything: the last good one holds, and :attr:`problem`
    says so.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        """Read *path* when it is first asked."""
        self._path = path
        self._clock = clock
        self._tokens: tuple[Token, ...] = ()
        self._seen: tuple[int, ...] | None = None
        self._looked_at = float("-inf")
        self.problem: str | None = None

    def load(self) -> None:
        """
        Read the file, changed or not.

        Raises:
            TokenError: It cannot be used; what was known before stays.
        """
        self._looked_at = self._clock.monotonic()
        # Seen before it is read: a change in between is found the next time.
        self._seen = self._look()
        try:
            self._tokens = read(self._path)
        except TokenError as error:
            self.problem = str(error)
            raise
        self.problem = None

    def find(self, text: str) -> Token | None:
        """Return the valid token that *text* is, in a time that does not depend on which."""
        if self._clock.monotonic() - self._looked_at >= _LOOK_EVERY_S:
            self._renew()
        wanted, found = digest(text), None
        for token in self._tokens:
            if hmac.compare_digest(token.sha256, wanted):
                found = token
        if found and found.expires_at is not None and self._clock.wall() >= found.expires_at:
            return None
        return found

    def _renew(self) -> None:
        self._looked_at = self._clock.monotonic()
        if self._look() != self._seen:
            try:
                self.load()
            except TokenError:
                return  # Said in `problem`, on which the daemon is not ready.

    def _look(self) -> tuple[int, ...]:
        """Return what changes when the file is replaced or written; empty without one."""
        try:
            status = self._path.stat()
        except OSError:
            return ()
        return (status.st_ino, status.st_mtime_ns, status.st_size)
