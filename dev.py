#!/usr/bin/env python3
"""
Set up, demo, test and check imgmon with nothing but Python 3.11 or newer.

    python3 dev.py demo     everything local, no keys: simulator, daemon, live table
    python3 dev.py test     all tests with coverage; with arguments, pytest alone with these
    python3 dev.py lint     format, lint, types, imports
    python3 dev.py check    both
    python3 dev.py dashboards   Grafana's dashboards: types, and drawn in a browser (needs npm)
    python3 dev.py setup    only make .venv
    python3 dev.py packages install the Debian packages that some tests run against, where that works
    python3 dev.py lock     write the lock files anew (needs uv)
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = Path(os.environ.get("IMGMON_VENV", ROOT / ".venv"))
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
STAMP = VENV / "imgmon.stamp"
# One process per processor; who is done takes over what others have not begun.
SIDE_BY_SIDE = ["-n", "auto", "--dist", "worksteal"]
# What the daemon runs on with all of its extras, and the same with the tools of the gate.
LOCK = ROOT / "requirements.lock"
DEV_LOCK = ROOT / "tests" / "requirements.lock"

# Programs that tests run against; without one of them these tests are skipped and say so.
PACKAGES = ("prometheus", "prometheus-alertmanager", "haproxy", "nginx-light", "chromium")

# Every branch of these is run by the tests: what judges, spends and blames.
WHOLE = (
    "monitor/core/*", "probes/classify.py", "probes/complaint.py", "probes/quota.py",
    "probes/ratelimits.py", "probes/retry.py", "probes/formats/*",
)  # fmt: skip


def main(arguments: list[str]) -> int:
    """Run one command; return its exit code."""
    commands = {
        "setup": setup, "demo": demo, "test": test, "lint": lint, "check": check, "lock": lock,
        "packages": packages,
        "dashboards": dashboards,
    }  # fmt: skip
    if not arguments or arguments[0] not in commands:
        print(__doc__.strip(), file=sys.stderr)
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
    if sys.version_info < (3, 11):  # noqa: UP036 - this very script may be run by an old one
        print("imgmon needs Python 3.11 or newer; run dev.py with one.", file=sys.stderr)
        return 2
    return commands[arguments[0]](arguments[1:])


def setup(_: list[str]) -> int:
    """Make .venv with everything the tests and the gate need."""
    # The build backend is in the lock, so nothing unhashed is fetched.
    own = ["--no-deps", "--no-build-isolation", "--editable", ROOT]
    return install("dev", DEV_LOCK, own)


def install(kind: str, lock_file: Path, own: list[object] | None = None) -> int:
    """Bring .venv to *lock_file* (and our own package), unless it is there already."""
    wanted = f"{kind} {fingerprint()}"
    present = STAMP.read_text() if STAMP.is_file() and PYTHON.exists() else ""
    if present in (wanted, f"dev {fingerprint()}"):
        return 0
    print(f"Setting up {VENV.name} (once, about half a minute) ...", file=sys.stderr, flush=True)
    if not present:
        venv.EnvBuilder(with_pip=True, clear=True).create(VENV)
    pip = [PYTHON, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    for step in ([*pip, "--require-hashes", "--requirement", lock_file], own and [*pip, *own]):
        if step and (code := run(step)):
            print(
                "Set-up failed, see above. Without a network, point pip at a local index "
                "(PIP_INDEX_URL) and run it again.",
                file=sys.stderr,
            )
            return code
    STAMP.write_text(wanted)
    return 0


def fingerprint() -> str:
    """Return what the environment depends on: locks, project file, interpreter, place."""
    digest = hashlib.sha256(sys.version.encode() + str(ROOT).encode())
    for path in (LOCK, DEV_LOCK, ROOT / "pyproject.toml"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def demo(arguments: list[str]) -> int:
    """Run the demo until Ctrl-C; it needs only what the daemon runs on."""
    return install("run", LOCK) or become([PYTHON, "-m", "monitor", "demo", *arguments])


def test(arguments: list[str]) -> int:
    """Run all tests side by side, and say how much of the code they run; or those of *arguments*."""
    if code := setup([]):
        return code
    if arguments:
        return become([PYTHON, "-m", "pytest", *arguments])
    os.environ["COVERAGE_FILE"] = str(VENV / "coverage")
    report = [PYTHON, "-m", "coverage", "report"]
    return parts({
        "tests": [[PYTHON, "-m", "pytest", *SIDE_BY_SIDE, "--cov", "--cov-report="]],
        "coverage": [
            [*report, "--fail-under=95"],
            [*report, "--fail-under=100", f"--include={','.join(WHOLE)}"],
        ],
    })  # fmt: skip


def lint(_: list[str]) -> int:
    """Run what reads the code without running it."""
    return setup([]) or parts({
        "format": [[PYTHON, "-m", "ruff", "format", "--check", "."]],
        "lint": [[PYTHON, "-m", "ruff", "check", "."]],
        "types": [[PYTHON, "-m", "mypy"]],
        "imports": [[BIN / "lint-imports", "--no-cache"]],
    })  # fmt: skip


def check(_: list[str]) -> int:
    """Run lint and all tests, also when the first finds something."""
    codes = [lint([]), test([])]
    return int(any(codes))


def parts(of: dict[str, list[list[object]]]) -> int:
    """Run every step of every part, also after a failure, and say which parts failed."""
    failed = []
    for name, steps in of.items():
        print(f"== {name}", flush=True)
        if any([run(step) for step in steps]):  # noqa: C419 - every step runs, failed or not
            failed.append(name)
    print(f"== failed: {', '.join(failed)}" if failed else "== all good", flush=True)
    return bool(failed)


def packages(_: list[str]) -> int:
    """Install what is missing of PACKAGES; where that cannot be, say so and go on."""
    query = ["dpkg-query", "--show", "--showformat", "${db:Status-Status}"]
    can_ask, missing = shutil.which("apt-get") is not None, list(PACKAGES)
    if can_ask:
        states = {
            name: subprocess.run([*query, name], capture_output=True, text=True, check=False).stdout
            for name in PACKAGES
        }
        missing = [name for name, state in states.items() if state != "installed"]
    if missing and can_ask and os.geteuid() == 0:
        os.environ["DEBIAN_FRONTEND"] = "noninteractive"
        apt: list[object] = ["apt-get", "-o", "DPkg::Lock::Timeout=600", "--quiet", "--yes"]
        run([*apt, "update"])
        if run([*apt, "install", "--no-install-recommends", *missing]) == 0:
            missing = []
    if missing:
        print(f"== without {', '.join(missing)}: tests that need them are skipped")
    return 0


def dashboards(_: list[str]) -> int:
    """Check the types of Grafana's dashboards and draw them with its own libraries."""
    return setup([]) or run([PYTHON, ROOT / "grafana" / "check.py"])


def lock(_: list[str]) -> int:
    """Write both lock files: all platforms, hashes, no registry address."""
    command = [
        "uv", "pip", "compile", "pyproject.toml", "--universal", "--python-version", "3.11",
        "--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url", "--quiet",
        # pip looks for a newer release of "name[extra]" where only "name" is pinned, and stops.
        "--no-strip-extras",
    ]  # fmt: skip
    runs = ["--extra", "notify", "--upgrade", "--output-file", LOCK]
    return run([*command, *runs]) or run(
        # Constrained by the first, so that the tests run what the daemon runs.
        [*command, "--extra", "dev", "--constraint", LOCK, "--output-file", DEV_LOCK]
    )


def run(command: list[object]) -> int:
    """Run *command* in the project folder; Ctrl-C is the child's to handle."""
    with subprocess.Popen([str(part) for part in command], cwd=ROOT) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue  # The child got it too and is stopping cleanly.


def become(command: list[object]) -> int:
    """Replace this process by *command*, so that every signal reaches it; never returns on POSIX."""
    if os.name != "posix":
        return run(command)
    os.chdir(ROOT)
    return os.execv(str(command[0]), [str(part) for part in command])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
