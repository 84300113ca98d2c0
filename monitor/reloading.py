"""
A reload up to the exchange of daemons: the file is read, checked, and held against what runs.

Whoever runs the daemon takes it from there, as only he can stop one and start another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from monitor import tokens
from monitor.clock import Clock
from monitor.config import Config
from monitor.config.difference import Difference, are_same, difference, digest, needs_restart
from monitor.errors import ConfigError, MonitorError, Problem
from monitor.reload_metrics import ReloadFigures


class ReloadRefusedError(MonitorError):
    """Nothing was read: there is no file, or a reload is under way."""


class Stage(StrEnum):
    """Where a reload is."""

    NONE = "none"  # None was asked for.
    UNDER_WAY = "under_way"
    DONE = "done"
    FAILED = "failed"  # The configuration of before holds.


@dataclass(frozen=True, slots=True)
class Reload:
    """
    The newest reload.

    Attributes:
        at: Wall time at which its stage began; of the start where there was none.
        detail: Why it failed; None where it did not.
    """

    stage: Stage
    at: float
    difference: Difference = field(default_factory=Difference)
    detail: str | None = None


class Reloads:
    """
    Reloads of one process, one at a time.

    Attributes:
        config: What holds now.
        last: The newest one.
    """

    def __init__(
        self, config: Config, clock: Clock, read: Callable[[], Config] | None = None
    ) -> None:
        """Begin with *config*; *read* gives what the file says now, None where there is none."""
        self.config = config
        self._clock = clock
        self._read = read
        self._is_busy = False
        self._asked: asyncio.Queue[Config] = asyncio.Queue()
        self.last = Reload(Stage.NONE, clock.wall())
        self._is_successful, self._success_at = True, clock.wall()
        self._digest: tuple[Config, str] | None = None

    @property
    def figures(self) -> ReloadFigures:
        """What metrics say; each configuration is digested once, by whoever asks first."""
        if self._digest is None or self._digest[0] is not self.config:
            self._digest = self.config, digest(self.config)
        return ReloadFigures(
            is_successful=self._is_successful,
            success_at=self._success_at,
            vantage=self.config.vantage,
            digest=self._digest[1],
        )

    @property
    def is_under_way(self) -> bool:
        """Return whether one is, so that no other can begin."""
        return self._is_busy

    async def begin(self) -> Reload:
        """
        Read the file and have what it says exchanged for what runs; return what that changes.

        Where nothing changes, nothing is exchanged and it is done.

        Raises:
            ReloadRefusedError: None can begin now.
            ConfigError: The file cannot be used; nothing changes.
        """
        if self._read is None:
            raise ReloadRefusedError("this daemon was started without a file: nothing to reload")
        if self._is_busy:
            raise ReloadRefusedError("a reload is under way: ask again when it is done")
        self._is_busy = True
        is_new = False
        try:
            config, changes = await asyncio.to_thread(self._changes, self._read)
            self.last = Reload(Stage.UNDER_WAY, self._clock.wall(), changes)
            is_new = not are_same(self.config, config)
            if is_new:
                self._asked.put_nowait(config)
            else:
                self.ended()
        except ConfigError as error:
            self._end(Reload(Stage.FAILED, self._clock.wall(), detail=str(error)))
            raise
        finally:
            self._is_busy = is_new
        return self.last

    def _changes(self, read: Callable[[], Config]) -> tuple[Config, Difference]:
        config = read()
        if problems := needs_restart(self.config, config):
            raise ConfigError(problems)
        try:  # A start would fail on it, that of the one before as well.
            tokens.read(config.tokens_path)
        except tokens.TokenError as error:
            raise ConfigError([Problem("server.tokens", str(error))]) from error
        return config, difference(self.config, config)

    async def asked(self) -> Config:
        """Wait for the next configuration that is to be exchanged for what runs."""
        return await self._asked.get()

    def ended(self, config: Config | None = None, *, problem: str | None = None) -> None:
        """End the reload under way: *config* holds from now on, or *problem* says why not."""
        stage = Stage.DONE if problem is None else Stage.FAILED
        self.config = config or self.config
        self._is_busy = False
        self._end(replace(self.last, stage=stage, at=self._clock.wall(), detail=problem))

    def _end(self, reload: Reload) -> None:
        self.last = reload
        self._is_successful = reload.stage is Stage.DONE
        if self._is_successful:
            self._success_at = reload.at
