"""What is shipped: the built wheel, installed and asked, not the checkout."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from monitor.version import __version__

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel as the build backend makes it, without fetching anything."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [
            sys.executable, "-m", "build", "--wheel", "--no-isolation", "--skip-dependency-check",
            "--outdir", folder, ROOT,
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_both_packages_and_their_marks(wheel):
    """Types, simulator and licence are in it; tests are not."""
    names = set(zipfile.ZipFile(wheel).namelist())

    assert {"monitor/py.typed", "probes/py.typed", "probes/simulator/app.py"} <= names
    assert f"imgmon-{__version__}.dist-info/licenses/LICENSE" in names
    assert not any(name.startswith("tests") for name in names)


def test_the_installed_wheel_runs_without_the_checkout(wheel, tmp_path):
    """The command of the wheel answers from a folder of its own."""
    home = tmp_path / "venv"
    venv.create(home, system_site_packages=False, with_pip=False)
    packages = next(home.glob("lib/python*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    # What it depends on comes from this environment; our own packages only from the wheel.
    installed = next(Path(entry) for entry in sys.path if entry.endswith("site-packages"))
    script = (
        f"import sys; sys.path.append({str(installed)!r});"
        "sys.meta_path = [f for f in sys.meta_path if 'editable' not in repr(f).lower()];"
        "import monitor; from monitor.cli import main; print(monitor.__file__); main(['errors'])"
    )
    answer = subprocess.run(
        [home / "bin" / "python", "-P", "-c", script],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert str(packages) in answer.stdout
    assert "quota_exhausted" in answer.stdout


def test_the_locks_are_hashed_and_name_no_registry():
    """Nobody's address and nothing unverified."""
    for path in (ROOT / "requirements.lock", ROOT / "tests" / "requirements.lock"):
        text = path.read_text()
        pins = [line for line in text.splitlines() if "==" in line]

        assert pins
        assert all(line.rstrip().endswith("\\") for line in pins)
        assert "://" not in text


@pytest.mark.parametrize("lock", ["requirements.lock", "tests/requirements.lock"])
def test_what_is_asked_for_with_an_extra_is_pinned_with_it(lock):
    """Where "name" is pinned and "name[extra]" asked for, pip stops at the next release of it."""
    lines = (ROOT / lock).read_text().splitlines()
    pins = [Requirement(line.rstrip(" \\")) for line in lines if line and line[0] != " "]
    pinned = {pin.name: pin.extras for pin in pins}
    asked = [
        (pin.name, wanted.name, wanted.extras)
        for pin in pins
        for wanted in map(Requirement, installed_requires(pin.name))
        if wanted.extras
        and wanted.name in pinned
        and any(
            not wanted.marker or wanted.marker.evaluate({"extra": e}) for e in ("", *pin.extras)
        )
    ]

    assert [] == [(by, name, more) for by, name, more in asked if not more <= pinned[name]]


def installed_requires(name: str) -> list[str]:
    """What the installed distribution *name* asks for; nothing where this platform has it not."""
    try:
        return requires(name) or []
    except PackageNotFoundError:
        return []


def test_the_daemons_lock_is_part_of_the_tests_lock():
    """The tests run what the daemon runs."""

    def pins(path: Path) -> set[str]:
        lines = path.read_text().splitlines()
        return {line.split()[0] for line in lines if line and not line.startswith(" ")}

    assert pins(ROOT / "requirements.lock") <= pins(ROOT / "tests" / "requirements.lock")
