"""
Hold the dashboards against Grafana's own types, and draw them with its own libraries in Chromium.

``python3 dev.py dashboards`` runs it. The libraries come from npm, 670 MB once, into a cache beside other
caches of the user; without npm, or where its registry is out of reach, it says so and is done.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
SOURCES: Final = HERE / "render"
CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "imgmon" / "render"
STAMP: Final = CACHE / "node_modules" / "imgmon.stamp"
# React of another age is asked for by peers that nothing here loads; no package may run a script.
NPM_CI: Final = (
    "ci", "--legacy-peer-deps", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error",
)  # fmt: skip


def main() -> int:
    """Return 0 when everything holds or nothing can be fetched, else the code of what failed."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        print("== dashboards: skipped, npm is not installed")
        return 0
    CACHE.mkdir(parents=True, exist_ok=True)
    for source in SOURCES.iterdir():
        shutil.copy(source, CACHE)
    wanted = hashlib.sha256((SOURCES / "package-lock.json").read_bytes()).hexdigest()
    if not STAMP.is_file() or STAMP.read_text() != wanted:
        if run(npm, "ping", "--loglevel=silent"):
            print("== dashboards: skipped, the registry of npm is out of reach")
            return 0
        print("== dashboards: fetching Grafana's libraries (once, about two minutes)", flush=True)
        if code := run(npm, *NPM_CI):
            return code
        STAMP.write_text(wanted)
    boards = sorted((HERE / "dashboards").glob("*.json"))
    rendering = HERE.parent / "tests" / "rendering" / "test_dashboards.py"
    print("== dashboards: types and units", flush=True)
    return (
        run(node, "schema.mjs", *boards)
        or run(node, "build.mjs", "page.js")
        # Rootdir's own configuration: the test is one of the project's.
        or run(sys.executable, "-m", "pytest", rendering, cwd=HERE.parent)
    )


def run(*command: str | Path, cwd: Path = CACHE) -> int:
    """Run *command* and return its exit code."""
    environment = {**os.environ, "IMGMON_RENDER": str(CACHE)}
    return subprocess.run(command, cwd=cwd, env=environment, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
