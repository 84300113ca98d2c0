"""Fixtures for every kind of test."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

from probes.registry import load

settings.register_profile("default", deadline=None, print_blob=True)
settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """One backend: the daemon runs on asyncio."""
    return "asyncio"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the developer's machine must not answer for a provider."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """What a command does to the logs of its process ends with its test."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    loggers = [one for one in root.manager.loggerDict.values() if isinstance(one, logging.Logger)]
    levels = {one: one.level for one in loggers}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for one in root.manager.loggerDict.values():
        if isinstance(one, logging.Logger):
            one.setLevel(levels.get(one, logging.NOTSET))
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of recorded facts beside the repository, or a skip that says so."""
    path = Path(os.environ.get("IMGMON_SHARED", ROOT.parent / "shared"))
    if not path.is_dir():
        pytest.skip(f"no shared recordings at {path.name!r}; set IMGMON_SHARED")
    return path


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Install a distribution that declares entry points, in a folder of its own."""

    def install(code: str, **entries: str) -> None:
        stem = f"plugin_{len(list(tmp_path.iterdir()))}_{tmp_path.name}"
        info = tmp_path / f"{stem}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {stem}\nVersion: 1.0\n")
        lines = [f"{name} = {stem}:{place}" for name, place in entries.items()]
        (info / "entry_points.txt").write_text("\n".join(["[imgmon.formats]", *lines, ""]))
        (tmp_path / f"{stem}.py").write_text(code)
        monkeypatch.syspath_prepend(tmp_path)
        load.cache_clear()

    yield install
    load.cache_clear()
