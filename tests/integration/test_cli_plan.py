"""``imgmon plan`` and ``imgmon cost`` as a person types them, over files and a store alone."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from monitor.cli import main
from monitor.clock import SystemClock
from monitor.core.availability import floor_ratio, wilson
from monitor.store.writer import Writer
from probes.model import ErrorClass
from tests.support.builders import a_result

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "monitor.example.toml"
KEYS = (
    "GEMINI_API_KEY", "GEMINI_FREE_API_KEY", "OPENAI_API_KEY", "LAOZHANG_API_KEY", "BFL_API_KEY",
)  # fmt: skip
DAY_S = 86_400

# What a buyer's guide of December 2025 compared: official, its batch price, a gateway, free tier.
MARKET = """
[store]
path = "{store}"

[[providers]]
id = "local"
format = "openai-images"
base_url = "http://localhost/v1"
spend_cap = {{ usd_per_day = 1.2 }}

[[providers]]
id = "free"
preset = "google-gemini-free"
api_key = {{ env = "GEMINI_FREE_API_KEY" }}

[[targets]]
id = "gateway"
provider = "local"
model = "painter"
price_usd = 0.05
interval = "1h"
pools = ["image"]

[[targets]]
id = "official"
provider = "local"
model = "painter"
price_usd = 0.039
batch_price_usd = 0.019
interval = "1h"
pools = ["image"]
claim = {{ availability = 0.999 }}

[[targets]]
id = "free-tier"
provider = "free"
model = "gemini-2.5-flash-image"
interval = "30m"
pools = ["image"]

[[pools]]
id = "image"
"""


@pytest.fixture(autouse=True)
def keys(monkeypatch):
    """Every key of the example is there, and no terminal is pretended."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    for name in KEYS:
        monkeypatch.setenv(name, f"a-key-of-the-test-{name}")


@pytest.fixture
def config(tmp_path) -> Path:
    """The market as a configuration."""
    path = tmp_path / "monitor.toml"
    path.write_text(MARKET.format(store=tmp_path / "imgmon.db"))
    return path


def imgmon(*arguments: object) -> tuple[int, str, str]:
    """Run a command in process: exit code, standard output, standard error."""
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def cost(config, images, *arguments):
    """The offers of ``imgmon cost --json``, by target or as its batch jobs, cheapest first."""
    code, out, _ = imgmon(
        "cost", "--images", images, "--pool", "image", "--config", config, "--json", *arguments
    )
    assert 0 == code
    offers = json.loads(out)["targets"]
    return {f"{o['target']}{', batch' if o['batch'] else ''}": o for o in offers}


def test_the_readme_shows_what_the_plan_of_the_example_is():
    """The block in the README is the command's output, to the letter."""
    readme = (ROOT / "README.md").read_text()
    shown = re.search(
        r"```console\n\$ imgmon plan --config monitor.example.toml\n(.*?)```", readme, re.DOTALL
    )[1]
    code, out, _ = imgmon("plan", "--config", EXAMPLE)

    assert 0 == code
    assert out == shown


def test_the_plan_is_readable_at_100_columns():
    """No line is longer, and no cell is cut."""
    _, out, _ = imgmon("plan", "--config", EXAMPLE)

    assert max(map(len, out.splitlines())) <= 100
    assert "…" not in out


def test_the_plan_says_how_often_free_calls_are_made(tmp_path):
    """In one sentence, with the targets where they differ."""
    path = tmp_path / "monitor.toml"
    text = EXAMPLE.read_text()
    path.write_text(text)
    _, same, _ = imgmon("plan", "--config", path)
    path.write_text(
        text.replace('id = "google-lite"', 'id = "google-lite"\nliveness = "90s"').replace(
            'id = "flux-klein"', 'id = "flux-klein"\nliveness = "off"'
        )
    )
    _, mixed, _ = imgmon("plan", "--config", path)
    _, raw, _ = imgmon("plan", "--config", path, "--json")

    assert "Free calls: every 5m. They cost nothing and measure nothing." in same
    assert (
        "Free calls: every 90s (google-lite), every 5m (google-free-lite, openai-flare, "
        "laozhang-chat, laozhang-native), none (flux-klein). They cost nothing and measure nothing."
    ) in " ".join(mixed.split())
    assert [90.0, 300.0, 300.0, 300.0, 300.0, None] == [
        target["liveness_s"] for target in json.loads(raw)["targets"]
    ]


def test_the_plan_for_programs_holds_the_same_figures():
    """Costs, detection, proof and sums of the example as one JSON object."""
    code, out, _ = imgmon("plan", "--config", EXAMPLE, "--json")
    answer = json.loads(out)
    lite = answer["targets"][0]

    assert 0 == code
    assert ("google-lite", "google", True) == (lite["target"], lite["provider"], lite["has_key"])
    assert (
        {
            "canaries_per_day": 12.0,
            "canaries_per_month": 360.0,
            "usd_per_day": 0.4032,
            "usd_per_month": 12.096,
        }
        == lite["planned"]
        == lite["within_limits"]
    )
    assert (3_667.5, 240.0) == (lite["outage_seen"]["mean_s"], lite["outage_seen"]["hang_adds_s"])
    assert ["day", "week", "month"] == list(lite["clean_proves"])
    assert {
        "claim": 0.999,
        "canaries": 3838,
        "days": 319.833333,
        "usd": 128.9568,
        "within_month": False,
        "month_interval_s": 675,
        "month_usd": 129.024,
    } == lite["claims"]["availability"]
    assert 73 == lite["claims"]["latency_p95"]["canaries"]
    assert 0.016 == answer["targets"][1]["quota_ratio"]
    assert {} == answer["targets"][1]["claims"]
    assert (132.0, 1.5312) == (
        answer["sum"]["planned"]["canaries_per_day"], answer["sum"]["planned"]["usd_per_day"],
    )  # fmt: skip
    assert 3 == len(answer["warnings"])


def test_a_cap_that_bites_and_a_quota_that_is_eaten_are_shown_and_warned_of(config):
    """24 canaries of each paid target want $2.14 of $1.20, 48 free ones 3.2 % of the quota."""
    _, out, _ = imgmon("plan", "--config", config)
    _, raw, _ = imgmon("plan", "--config", config, "--json")
    answer = json.loads(raw)

    assert [13, 13, 30] == [
        target["within_limits"]["canaries_per_day"] for target in answer["targets"]
    ]
    assert (2.136, 1.157) == (
        answer["sum"]["planned"]["usd_per_day"], answer["sum"]["within_limits"]["usd_per_day"],
    )  # fmt: skip
    assert "13 a day" in out
    assert re.search(r"free-tier .* 30 a day +3.2 %\n", out)
    assert "$1.16 a day" in out
    said = " ".join(out.split())
    assert "It pays for 56 % of their slots" in said
    assert (
        "provider free: 48 canaries a day are planned, its quota of 1500 requests a day leaves them "
        "30; make intervals 1.6 times as long or set quota.share = 0.032."
    ) in said


def test_a_target_without_a_key_is_planned_and_marked(config, monkeypatch):
    """The plan is about the file; the mark is explained below the tables."""
    _, before, _ = imgmon("plan", "--config", config)
    monkeypatch.delenv("GEMINI_FREE_API_KEY")
    _, out, _ = imgmon("plan", "--config", config)
    _, raw, _ = imgmon("plan", "--config", config, "--json")
    _, costs, _ = imgmon("cost", "--images", 10, "--pool", "image", "--config", config)

    assert "*" not in before
    assert "free-tier*" in out
    assert "* Has no key" in out
    assert "free-tier*" in costs
    assert "* Has no key" in costs
    last = json.loads(raw)["targets"][-1]
    assert (False, 48.0) == (last["has_key"], last["planned"]["canaries_per_day"])


def test_a_claim_of_100_percent_is_never_proven(config):
    """The table says so where figures would stand."""
    config.write_text(config.read_text().replace("0.999", "1.0"))
    _, out, _ = imgmon("plan", "--config", config)

    assert re.search(r"official +100 % +never +never +never +never +never", out)
    assert "cannot be proven by any number of canaries" in out


def test_a_wrong_file_is_wrong_input(tmp_path):
    """Both commands say what is wrong with exit code 2."""
    path = tmp_path / "none.toml"

    assert 2 == imgmon("plan", "--config", path)[0]
    assert 2 == imgmon("cost", "--images", 1, "--pool", "image", "--config", path)[0]


@pytest.mark.parametrize(
    ("images", "official", "batch", "gateway"),
    [
        (100, 3.9, 1.9, 5.0),
        (1_000, 39.0, 19.0, 50.0),
        (10_000, 390.0, 190.0, 500.0),
        (50_000, 1950.0, 950.0, 2500.0),
    ],
)
def test_the_cost_table_of_the_buyers_guide_comes_out(config, images, official, batch, gateway):
    """Official, batch, gateway and free: from the configured prices, within 1500 a day."""
    offers = cost(config, images)

    assert {
        "free-tier": 0.0, "official, batch": batch, "official": official, "gateway": gateway,
    } == {target: offer["usd_per_month"] for target, offer in offers.items()}  # fmt: skip
    assert ["free-tier", "official, batch", "official", "gateway"] == list(offers)
    assert (min(images, 45_000), max(0, images - 45_000)) == (
        offers["free-tier"]["images_within_quota"], offers["free-tier"]["images_over_quota"],
    )  # fmt: skip


def test_without_a_store_nothing_is_measured_and_none_is_made(config, tmp_path):
    """Unknown is said, as a word and as null; the command leaves no file behind."""
    _, out, err = imgmon("cost", "--images", 50_000, "--pool", "image", "--config", config)

    assert 6 == out.count("unknown")
    assert re.search(r"official, batch +\$0.019 +\$950.00 +within 24 h\n", out)
    assert "Batch jobs are done within 24 h: not comparable with answers in seconds." in out
    assert "free-tier: 45000 fit into its quota of 1500 a day; 5000 stay over." in out
    assert "no store at" in err
    assert {None} == {offer["measured"] for offer in cost(config, 1).values()}
    assert ["monitor.toml"] == [path.name for path in tmp_path.iterdir()]


def test_what_the_store_holds_stands_beside_the_price(config, tmp_path):
    """The day's figures where there are any, else the longest window's; unknown for the rest."""
    now = SystemClock().wall()
    writer = Writer(tmp_path / "imgmon.db")
    writer.start()
    for number in range(60):
        at = now - 3600 - number * 60
        writer.submit_probe(a_result(at=at, target_id="official"), "local", "here")
    writer.submit_probe(
        a_result(ErrorClass.SERVER_ERROR, now - 1800, target_id="official"), "local", "here"
    )
    old = a_result(at=now - 3 * DAY_S, target_id="gateway")
    refused = a_result(ErrorClass.AUTH, now - 60, target_id="gateway", probe_id="refused")
    writer.submit_probe(old, "local", "here")
    writer.submit_probe(refused, "local", "here")
    writer.close()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    offers = cost(config, 100)
    _, out, err = imgmon("cost", "--images", 100, "--pool", "image", "--config", config)

    assert "" == err
    assert before == {name: (tmp_path / name).read_bytes() for name in before}
    assert {
        "window": "24h",
        "n": 61,
        "availability_ratio": 0.9836,
        "availability_lower": floor_ratio(wilson(60, 61).lower),
        "latency_p95_seconds": 5.0,
        "latency_p95_upper_seconds": 5.0,
        "latency_n": 60,
    } == offers["official"]["measured"]
    gateway = offers["gateway"]["measured"]
    assert ("30d", 1, 1.0, None) == (
        gateway["window"], gateway["n"], gateway["availability_ratio"],
        gateway["latency_p95_upper_seconds"],
    )  # fmt: skip
    assert offers["free-tier"]["measured"] is None
    assert offers["official, batch"]["measured"] is None
    assert re.search(r"98.3 % \(24h, n=61\) +5.00 s\n", out)
    assert re.search(r"100.0 % \(30d, n=1\) +~5.00 s\n", out)


def test_a_store_that_cannot_be_read_is_unknown_and_said(config, tmp_path):
    """Prices are told all the same."""
    (tmp_path / "imgmon.db").write_text("this is no database, however long one reads it" * 100)
    code, out, err = imgmon("cost", "--images", 100, "--pool", "image", "--config", config)

    assert 0 == code
    assert 6 == out.count("unknown")
    assert "cannot read" in err


def test_cost_names_the_pools_there_are(config):
    """A typing error is wrong input."""
    code, _, err = imgmon("cost", "--images", 1, "--pool", "imgae", "--config", config)

    assert 2 == code
    assert "No pool imgae; there are: image." in err


@pytest.mark.parametrize("images", [0, -1, "many"])
def test_cost_wants_a_number_of_images(config, images):
    """None, fewer and words are wrong input."""
    assert 2 == imgmon("cost", "--images", images, "--pool", "image", "--config", config)[0]


def test_caps_of_every_scope_and_period_bite(config):
    """The narrowest decides, by the day or by the thirtieth of a month."""
    text = config.read_text().replace(
        "spend_cap = { usd_per_day = 1.2 }", "spend_cap = { usd_per_day = 1.2, usd_per_month = 9 }"
    )
    config.write_text("spend_cap = { usd_per_day = 0.12 }\n" + text)
    code, out, _ = imgmon("plan", "--config", config)

    assert 0 == code
    assert "all probes: canaries for" in out
    assert "the cap is $9.00 a month. It pays for" in " ".join(out.split())
