"""
The monitor's own errors: wrong input and a store that cannot be used.

    MonitorError
    +-- ConfigError    everything that is wrong with a configuration, at once
    +-- StoreError     the database file cannot be used
        +-- StoreHeldError    a running daemon has it

A provider's failure is a value (``ProbeResult``), never one of these.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong: where, what, and what to do about it."""

    path: str
    message: str
    fix: str = ""

    def __str__(self) -> str:
        text = f"{self.path}: {self.message}" if self.path else self.message
        return f"{text}; {self.fix}" if self.fix else text


class MonitorError(Exception):
    """Anything that stops the monitor; its text says what, where and what to do."""


class ConfigError(MonitorError):
    """A configuration that cannot be used; *problems* holds all of them, in file order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Collect *problems*; the text has one line for each."""
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class StoreError(MonitorError):
    """A database file that cannot be used."""


class StoreHeldError(StoreError):
    """A database file that a running daemon has."""
