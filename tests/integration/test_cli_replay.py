"""``imgmon replay`` as a person types it: drawn worlds, files of outages, the own store."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from monitor.cli import main
from monitor.clock import SystemClock
from monitor.store.writer import Writer
from probes.model import ErrorClass
from tests.support.builders import a_result

QUICK = ("--days", "1", "--every", "15m", "--services", "2")
CONFIG = """
[store]
path = "{store}"

[[providers]]
id = "local"
format = "openai-images"
base_url = "http://localhost/v1"

[[targets]]
id = "alpha"
provider = "local"
model = "painter"
price_usd = 0.02
interval = "1h"
pools = ["image"]

[[targets]]
id = "beta"
provider = "local"
model = "painter"
price_usd = 0.05
interval = "1h"
pools = ["image"]

[[pools]]
id = "image"
"""


def imgmon(*arguments: object) -> tuple[int, str]:
    """Run a command in process; its exit code and everything it printed."""
    result = CliRunner().invoke(main, [str(a) for a in arguments], env={"COLUMNS": "120"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def replayed(*arguments: object) -> dict[str, object]:
    """What the command prints as JSON."""
    code, text = imgmon("replay", *arguments, "--json")
    assert 0 == code, text
    return json.loads(text)


@pytest.fixture
def config(tmp_path):
    """A configuration of two targets, and its store."""
    path = tmp_path / "monitor.toml"
    path.write_text(CONFIG.format(store=tmp_path / "a.db"))
    return path, tmp_path / "a.db"


def test_without_anything_drawn_outages_are_compared(tmp_path):
    """A table of every rule, one of the monitors, and what the words mean; and a chart."""
    chart = tmp_path / "chart.svg"
    code, text = imgmon("replay", *QUICK, "--chart", chart)

    assert 0 == code
    for name in ("static order", "cooldown", "EWMA latency", "success rate", "5 min, 2 strikes"):
        assert name in text
    assert "imgmon with reports" in text
    assert "oracle" in text
    assert "requests to 2 services over 1.0 days" in " ".join(text.split())
    assert chart.read_text().startswith("<svg")


def test_the_same_seed_gives_the_same_figures():
    """And another seed gives others."""
    assert replayed(*QUICK, "--seed", 3) == replayed(*QUICK, "--seed", 3)
    assert replayed(*QUICK, "--seed", 3) != replayed(*QUICK, "--seed", 4)


def test_variants_of_the_monitor_stand_side_by_side():
    """Each by its name, with its own number of canaries."""
    found = replayed(
        *QUICK, "--policy", "often:interval=5m,reports=yes,margin=0.05",
        "--policy", "seldom:interval=1h,confirm=off,down_after=3,up_after=1,dwell=1m,backoff_max=2h",
        "--profile", "fast",
    )  # fmt: skip
    canaries = {r["rule"]: r["monitor"]["canaries"] for r in found["rules"] if "monitor" in r}

    assert ["often", "seldom"] == list(canaries)
    assert canaries["often"] > 5 * canaries["seldom"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--policy", "x:speed=1"), "no key 'speed'; there are: interval"),
        (("--policy", "x:interval=1s"), "interval=1s: must be 10s to 1d"),
        (("--policy", "x:interval=often"), "interval=often: is not a duration"),
        (("--policy", "x:reports=perhaps"), "must be yes or no"),
        (("--policy", "x:down_after=0"), "must be 1 to 100"),
        (("--policy", "x:margin=1"), "must be from 0 to below 1"),
        (("--every", "soon"), "'soon' is not a duration"),
    ],
)
def test_a_bad_option_says_which_and_why(given, said):
    """With exit code 2, before anything is played."""
    code, text = imgmon("replay", *QUICK, *given)

    assert 2 == code
    assert said in " ".join(text.split())


def test_a_file_of_outages_is_replayed(tmp_path):
    """Its services by name, its last days."""
    path = tmp_path / "trace.csv"
    path.write_text(
        "service,state,start,end\na,up,0,900000\na,down,820000,850000\nb,up,0,900000\nc,up,0,900000\n"
    )
    found = replayed(
        "--trace", path, "--service", "a", "--service", "c", "--days", 2, "--every", "5m"
    )

    assert ["a", "c"] == [service["id"] for service in found["services"]]
    assert 2.0 == found["days"]
    static = found["rules"][0]
    assert 60 < static["wasted"] < 140
    assert {"a", "b", "c"} == {s["id"] for s in replayed("--trace", path, "--days", 1)["services"]}


def test_a_file_that_is_none_says_so(tmp_path):
    """The file, and what is known instead of an unknown service."""
    path = tmp_path / "trace.csv"
    path.write_text("service,state,start,end\na,up,0,9\n")

    assert (2, True) == (
        (found := imgmon("replay", "--trace", path, "--service", "z"))[0],
        "tells of no service 'z'; of these: a" in " ".join(found[1].split()),
    )
    code, text = imgmon("replay", "--trace", tmp_path / "none.csv")
    assert 2 == code
    assert "cannot be read" in text


def test_the_own_history_is_replayed(config):
    """Prices from the configuration, latency from the canaries, outages from the failures."""
    path, store = config
    writer, now = Writer(store), SystemClock().wall()
    writer.start()
    for hour in range(48):
        at = now - (48 - hour) * 3_600
        error = ErrorClass.OVERLOADED if 10 <= hour < 20 else None
        for target, took_s in (("alpha", 4.0), ("beta", 9.0)):
            error_here = error if target == "alpha" else None
            result = a_result(
                error_here, at, target_id=target, probe_id=f"{target}-{hour}",
                latency_s=None if error_here else took_s, duration_s=took_s,
            )  # fmt: skip
            writer.submit_probe(result, "local", "here")
    assert writer.flush(5)
    writer.close()
    found = replayed("--history", "--config", path, "--pool", "image", "--every", "10m")

    assert [("alpha", 0.02), ("beta", 0.05)] == [
        (s["id"], s["price_usd"]) for s in found["services"]
    ]
    assert 45 < found["rules"][0]["wasted"] < 75


def test_without_a_history_the_own_one_cannot_be_replayed(config):
    """No store, an empty one, and no such pool."""
    path, store = config
    ask = ("replay", "--history", "--config", path)

    assert "there is no history yet" in imgmon(*ask)[1]
    writer = Writer(store)
    writer.start()
    writer.close()
    assert "holds no history of pool image" in imgmon(*ask)[1]
    code, text = imgmon(*ask, "--pool", "none")
    assert 2 == code
    assert "no pool has the id 'none'; there are: image" in text
    store.write_bytes(b"no database at all" * 100)
    assert 2 == imgmon(*ask)[0]
