"""Fixtures for every kind of test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

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


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of recorded facts beside the repository, or a skip that says so."""
    path = Path(os.environ.get("IMGMON_SHARED", ROOT.parent / "shared"))
    if not path.is_dir():
        pytest.skip(f"no shared recordings at {path.name!r}; set IMGMON_SHARED")
    return path
