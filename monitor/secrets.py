"""
Secrets: by reference in the configuration, wrapped in memory, replaced by ``***`` in every text.

Knows nothing of logs or HTTP; whoever shows text passes it through a :class:`Redactor`.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, quote_plus

MASK: Final = "***"
# Shorter values would mask ordinary words; no vendor issues keys that short.
REDACT_CHARS_MIN: Final = 6
_FILE_BYTES_MAX: Final = 64 * 1024
_ENV_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_ESCAPE: Final = re.compile(r"%[0-9A-F]{2}")
# Keys nobody told us of, for example in a provider's message: header lines, parameters, known
# shapes. Where words of prose may follow, a digit is asked for: "bearer authentication required".
_SHAPES: Final = re.compile(
    r"""(?xi)
    (?P<keep>
        \b (?: x-key | x-goog-api-key | x-api-key | (?:proxy-)?authorization ) ["']? \s* [:=] \s*
            ["']? (?:(?:bearer|basic|key)\s+)?
      | [?&]key=
      | \b (?: bearer\s+ | (?: api[-_]?key | access_token ) ["']? \s* [:=] \s* ["']? )
            (?= [^\s"',;&<>{}\d]* \d )
    )
    [^\s"',;&<>{}]{6,}
    | \b (?:sk|rk|pk|r8)[-_][a-z0-9_-]{8,}
    | \b AIza[a-z0-9_-]{10,}
    | \b bfl[_-][a-z0-9_-]{4,}
    """
)


class Secret:
    """A value that shows itself only when asked to."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        """Wrap *value*."""
        self._value = value

    def reveal(self) -> str:
        """Return the value itself."""
        return self._value

    def __repr__(self) -> str:
        return MASK


class SecretError(Exception):
    """A secret that cannot be had, or a bad reference to one; *fix* says what to do."""

    def __init__(self, message: str, fix: str = "") -> None:
        """Say what is wrong, never what the value is."""
        super().__init__(message)
        self.fix = fix


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a secret is kept: *kind* is ``env`` or ``file``, *place* its name or path."""

    kind: str
    place: str

    def __str__(self) -> str:
        return f"{'environment variable' if self.kind == 'env' else 'secret file'} {self.place}"


def parse_reference(value: object) -> Reference:
    """
    Return the reference that *value* of a configuration stands for.

    Raises:
        SecretError: it is a literal, or not exactly one of ``env`` and ``file``.
    """
    fix = 'write { env = "NAME" } or { file = "PATH" }'
    if isinstance(value, str):
        raise SecretError(
            "must not be the key itself", 'put the key in the environment: { env = "NAME" }'
        )
    if not isinstance(value, dict) or not value.keys() <= {"env", "file"}:
        raise SecretError("must be a reference to a key", fix)
    if len(value) != 1:
        raise SecretError("must have exactly one of env and file", fix)
    kind, place = next(iter(value.items()))
    if not isinstance(place, str) or not place.strip() or "\0" in place:
        raise SecretError(f"{kind} must be a text that is not empty", fix)
    if kind == "env" and not _ENV_NAME.fullmatch(place):
        # Not echoed: it may be the key itself.
        raise SecretError("env must name an environment variable: letters, digits and _", fix)
    return Reference(kind, place)


def resolve(reference: Reference, environ: Mapping[str, str]) -> Secret:
    """
    Return the secret that *reference* points at; surrounding white space is dropped.

    Raises:
        SecretError: it is not set, not readable, empty, or cannot be sent in a header.
    """
    if reference.kind == "env":
        if reference.place not in environ:
            raise SecretError(f"{reference} is not set")
        value = environ[reference.place].strip()
    else:
        value = _read(reference)
    if not value:
        raise SecretError(f"{reference} is empty")
    if not (value.isascii() and value.isprintable()):
        raise SecretError(f"{reference} holds characters that no HTTP header can carry")
    return Secret(value)


def _read(reference: Reference) -> str:
    try:
        with Path(reference.place).open("rb") as file:
            return file.read(_FILE_BYTES_MAX).decode().strip()
    except OSError as error:
        raise SecretError(f"{reference} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SecretError(f"{reference} is not UTF-8 text") from error


def _forms(value: str) -> Iterator[str]:
    """Return the spellings in which *value* turns up in URLs, JSON, reprs and base64."""
    for quoted in (value, quote(value, safe=""), quote(value), quote_plus(value)):
        # RFC 3986, 2.1: %2f and %2F are the same, and both are written.
        yield from (quoted, _ESCAPE.sub(lambda found: found[0].lower(), quoted))
    yield from (json.dumps(value)[1:-1], repr(value)[1:-1])
    raw = value.encode()
    # Inside a longer base64 text ("user:key") the value starts at any of three bit offsets; the
    # characters it shares with its neighbours are left out.
    for before in range(3):
        first = -(-before * 8 // 6)
        last = (before + len(raw)) * 8 // 6
        for encode in (b64encode, urlsafe_b64encode):
            yield encode(b"\0" * before + raw).decode()[first:last]


class Redactor:
    """Replaces secrets in texts: those it was told of by value, others by their usual shape."""

    def __init__(self, values: Iterable[str]) -> None:
        """Learn *values*; those under six characters are ignored."""
        forms = {form for v in values if len(v) >= REDACT_CHARS_MIN for form in _forms(v)}
        # Longest first: a secret that begins like another one must not leave its tail behind.
        self._forms = sorted(
            (form for form in forms if len(form) >= REDACT_CHARS_MIN), key=len, reverse=True
        )

    def __call__(self, text: str) -> str:
        """Return *text* with every secret replaced by ``***``."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, MASK)
        text = self._without_cut_secret(text)
        return _SHAPES.sub(lambda found: (found["keep"] or "") + MASK, text)

    def _without_cut_secret(self, text: str) -> str:
        """Return *text* without a secret's beginning at its end: texts are bounded before."""
        for form in self._forms:
            at = text.rfind(form[:REDACT_CHARS_MIN], max(0, len(text) - len(form)))
            if at >= 0 and form.startswith(text[at:]):
                return text[:at] + MASK
        return text
