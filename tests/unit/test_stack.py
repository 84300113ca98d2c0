"""What is shipped to run imgmon with: the compose file, the image, the unit."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from monitor.cli import main

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]


def test_the_stack_is_what_the_readme_says():
    """The daemon, those who read it, and the demo only where it is asked for."""
    assert {"imgmon", "demo", "prometheus", "alertmanager", "grafana"} == set(SERVICES)
    assert ["demo"] == SERVICES["demo"]["profiles"]
    assert all("profiles" not in s for name, s in SERVICES.items() if name != "demo")


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_locked_in(name):
    """Read-only, without capabilities, bounded, and reached from this machine alone."""
    service = SERVICES[name]

    assert service["read_only"]
    assert ["ALL"] == service["cap_drop"]
    assert ["no-new-privileges:true"] == service["security_opt"]
    assert service["mem_limit"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    # Ours has its health check in the image; its tag is whatever was built.
    assert "build" in service or service["healthcheck"]["test"][0] == "CMD"
    assert "build" in service or re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+", service["image"])


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_from_here_is_here(name):
    """Docker makes an empty folder of what is not; only the user's own configuration is not here yet."""
    mounts = SERVICES[name].get("volumes", [])
    short = [mount.split(":")[0] for mount in mounts if isinstance(mount, str)]
    long = [mount for mount in mounts if not isinstance(mount, str)]

    assert all((ROOT / place).exists() for place in short if place.startswith("."))
    assert all(place in COMPOSE["volumes"] for place in short if not place.startswith("."))
    assert all(mount["read_only"] and not mount["bind"]["create_host_path"] for mount in long)


def test_what_a_container_is_told_are_options_that_there_are():
    """A command of the compose file or of the image is one that the command line takes."""
    text = (ROOT / "Dockerfile").read_text()
    commands = [SERVICES["imgmon"]["command"], SERVICES["demo"]["command"]]
    commands.append(yaml.safe_load(re.search(r"^CMD (\[\"run.*\])$", text, re.MULTILINE)[1]))
    for command in commands:
        options = [word for word in command if word.startswith("--")]
        shown = CliRunner().invoke(main, [command[0], "--help"]).output
        assert [] == [option for option in options if option not in shown]


def test_the_dockerfile_passes_its_linter():
    """No finding, of any grade."""
    tool = Path(sys.executable).with_name("hadolint")
    if not tool.exists():
        pytest.skip("hadolint is not installed")
    done = subprocess.run([tool, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)

    assert "" == done.stdout
    assert 0 == done.returncode
