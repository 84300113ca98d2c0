"""Configuration: one file to plain values, or every problem in it at once."""

from __future__ import annotations

import json
import re
import tomllib
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.config import config_schema, cost_words, load, parse, show
from monitor.config.providers import WireFormats
from monitor.config.show import toml
from monitor.config.values import (
    duration_text,
    duration_value,
    parse_base_url,
    parse_duration,
    parse_listen,
    parse_weekly,
    parse_zone,
    weekly_text,
)
from monitor.core.maintenance import Weekly
from monitor.core.spec import PROFILES, Objective, Policy, Profile, QuotaSpec, SpendCap
from monitor.errors import ConfigError, MonitorError, Problem
from monitor.limits import CONFIG_BYTES_MAX, TARGETS_MAX
from probes.model import ErrorClass

ROOT = Path(__file__).resolve().parents[3]
BAD_FILES = sorted((ROOT / "tests" / "data" / "config").glob("invalid-*.toml"))
ENVIRON = {
    name: f"seeded-{number}-of-the-test"
    for number, name in enumerate(
        (
            "GEMINI_API_KEY",
            "GEMINI_FREE_API_KEY",
            "OPENAI_API_KEY",
            "LAOZHANG_API_KEY",
            "BFL_API_KEY",
        )
    )
}
TODAY = date(2026, 11, 22)
PROVIDER = """
[[providers]]
id = "lab"
base_url = "https://api.example.com/v1/"
format = "openai-images"
"""
TARGET = """
[[targets]]
id = "pic"
provider = "lab"
model = "m-1"
price_usd = 0.01
interval = "15m"
"""


def problems_in(text: str) -> tuple[Problem, ...]:
    """What is wrong with *text*."""
    with pytest.raises(ConfigError) as caught:
        parse(text, ENVIRON, "the test")
    return caught.value.problems


def google(provider: str = "", target: str = "", interval: str = "1h"):
    """A configuration with Google's preset, and further lines for its two tables."""
    return parse(
        f'[[providers]]\nid = "g"\npreset = "google-gemini"\n'
        f'api_key = {{ env = "GEMINI_API_KEY" }}\n{provider}\n'
        f'[[targets]]\nid = "t"\nprovider = "g"\ninterval = "{interval}"\n{target}\n',
        ENVIRON,
        "the test",
        today=TODAY,
    )


@pytest.mark.parametrize("path", BAD_FILES, ids=lambda path: path.stem.removeprefix("invalid-"))
def test_a_bad_file_is_refused_with_the_message_beside_it(path):
    """Each message names the place, says what is wrong, and mostly what to do."""
    with pytest.raises(ConfigError) as caught:
        load(path, ENVIRON)

    assert path.with_suffix(".txt").read_text() == f"{caught.value}\n"


def test_there_is_a_bad_file_for_every_message():
    """The folder is found, and no expectation is left without its file."""
    assert len(BAD_FILES) > 60
    assert len(BAD_FILES) == len(list(BAD_FILES[0].parent.glob("*.txt")))


def test_a_problem_without_place_or_fix_is_only_its_message():
    """Nothing is left hanging."""
    assert "it is bad" == str(Problem("", "it is bad"))
    assert isinstance(ConfigError([]), MonitorError)


def test_a_file_that_cannot_be_read_says_how_to_begin(tmp_path):
    """The example is named; a folder is no file."""
    absent = tmp_path / "absent.toml"

    with pytest.raises(ConfigError, match=r"cannot read .*absent.toml: No such file.*example"):
        load(absent, {})
    with pytest.raises(ConfigError, match=r"Is a directory$"):
        load(tmp_path, {})


def test_an_endless_file_is_refused(tmp_path):
    """Over a mebibyte nothing is parsed, from a file or from text."""
    path = tmp_path / "long.toml"
    text = "#" * (CONFIG_BYTES_MAX + 1)
    path.write_text(text)

    for read in (lambda: load(path, {}), lambda: parse(text, {}, "the test")):
        with pytest.raises(ConfigError, match="over 1048576 bytes"):
            read()


def test_endless_nesting_is_refused():
    """The parser's recursion is an answer, not a crash."""
    (problem,) = problems_in("a = " + "[" * 100_000)

    assert "is nested too deep to be read" == problem.message


def test_too_many_targets_are_refused_as_one_problem():
    """The bound is named instead of two thousand complaints."""
    text = PROVIDER + "".join(f'[[targets]]\nid = "t{n}"\n' for n in range(TARGETS_MAX + 1))

    assert f"targets: must be at most {TARGETS_MAX}, are {TARGETS_MAX + 1}" in map(
        str, problems_in(text)
    )


def test_a_byte_order_mark_is_no_syntax_error(tmp_path):
    """Some editors write one."""
    path = tmp_path / "bom.toml"
    path.write_bytes(b"\xef\xbb\xbf" + (PROVIDER + TARGET).encode())

    assert ["pic"] == list(load(path, {}).specs)


def test_a_literal_key_never_comes_back():
    """No message of the bad files holds the key that was written into them."""
    assert [] == [p.name for p in BAD_FILES if "sk-00" in p.with_suffix(".txt").read_text()]
    (problem,) = problems_in(PROVIDER + TARGET.replace('"lab"', '"sk-abcd0123456789"'))
    assert "no provider has the id '***'" == problem.message


def test_the_smallest_configuration_has_every_default():
    """A provider and a target are enough."""
    config = parse(PROVIDER + TARGET, {}, "the test")
    (target,), spec = config.targets, config.specs["pic"]

    assert ("https://api.example.com/v1", "openai-images", "", {}) == (
        target.base_url, target.format, target.api_key, target.options,
    )  # fmt: skip
    assert (0.01, 900.0, 120.0, Objective()) == (
        spec.price_usd, spec.interval_s, spec.deadline_s, spec.claim,
    )  # fmt: skip
    assert (Policy(), (), {"lab"}) == (config.policy, config.pools, set(config.providers))
    assert (("127.0.0.1", 8720), Path("imgmon.db")) == (config.listen, config.store_path)
    assert ("auto", "info", "default") == (config.log_format, config.log_level, config.vantage)
    assert ((), ()) == (config.secrets, config.warnings)
    assert spec.liveness_s is None  # Without a key there is nothing to prove for free.
    assert [None] * 3 == [config.spend_cap, config.providers["lab"].spend_cap, spec.spend_cap]


def test_everything_that_is_written_arrives():
    """Own values go before every default and preset."""
    config = parse(
        """
        vantage = "fra"
        [server]
        listen = "0.0.0.0:80"
        public_read = true
        [store]
        path = "/var/lib/imgmon/x.db"
        [log]
        format = "json"
        level = "debug"
        [windows]
        10m = "10m"
        1h = 3600
        [judging]
        down_after = 3
        dwell = "30s"
        [spend_cap]
        usd_per_month = 50
        [[providers]]
        id = "bfl"
        preset = "bfl"
        host = "eu"
        api_key = { env = "BFL_API_KEY" }
        options = { safety_tolerance = 5 }
        relay = true
        poll_hosts = [".example.com"]
        liveness = "10m"
        balance_key = { env = "LAOZHANG_API_KEY" }
        allow_private_downloads = true
        spend_cap = { usd_per_day = 2 }
        quota = { per_minute = 30, per_day = 700, share = 0.5, resets = "Europe/Berlin" }
        [[targets]]
        id = "a"
        provider = "bfl"
        model = "flux-2-pro"
        size = "512x256"
        quality = "high"
        price_usd = 1
        interval = 60
        deadline = "59s"
        liveness = 45
        pools = ["p", "p"]
        spend_cap = { usd_per_day = 0.5, usd_per_month = 9.5 }
        claim = { availability = 1, latency_p95 = "12s" }
        options = { output_format = "png" }
        [[pools]]
        id = "p"
        profile = "mine"
        slo = { availability = 0.99 }
        profiles = [{ name = "mine", usd_per_second = 1 }, { name = "fast", usd_per_second = 0.5 }]
        """,
        ENVIRON,
        "the test",
    )
    (target,), (pool,) = config.targets, config.pools

    assert ("fra", ("0.0.0.0", 80), True) == (config.vantage, config.listen, config.public_read)
    assert (Path("/var/lib/imgmon/x.db"), "json", "debug") == (
        config.store_path, config.log_format, config.log_level,
    )  # fmt: skip
    assert Policy(windows={"10m": 600.0, "1h": 3600.0}, down_after=3, dwell_s=30.0) == config.policy
    assert (SpendCap(usd_per_month=50.0), SpendCap(usd_per_day=2.0)) == (
        config.spend_cap, config.providers["bfl"].spend_cap,
    )  # fmt: skip
    assert SpendCap(usd_per_day=0.5, usd_per_month=9.5) == config.specs["a"].spend_cap
    assert QuotaSpec(
        per_minute=30, per_day=700, share=0.5, resets=ZoneInfo("Europe/Berlin")
    ) == config.providers["bfl"].quota  # fmt: skip
    assert ("https://api.eu.bfl.ai", ENVIRON["BFL_API_KEY"], (512, 256), "high", 1.0) == (
        target.base_url, target.api_key, target.size, target.quality, target.price_usd,
    )  # fmt: skip
    assert (45.0, ENVIRON["LAOZHANG_API_KEY"]) == (
        config.specs["a"].liveness_s, target.balance_key,
    )  # fmt: skip
    assert {"safety_tolerance": 5, "output_format": "png"} == target.options
    assert (True, (".example.com",), True, 59.0) == (
        target.relay, target.poll_hosts, target.allow_private_downloads, target.deadline_s,
    )  # fmt: skip
    assert Objective(availability=1.0, latency_p95_s=12.0) == config.specs["a"].claim
    assert (("a",), "mine", Objective(availability=0.99)) == (pool.targets, pool.profile, pool.slo)
    cheap, balanced, _, *others = PROFILES
    fast, mine = (
        Profile(name="fast", usd_per_second=0.5),
        Profile(name="mine", usd_per_second=1.0),
    )
    assert (cheap, balanced, fast, *others, mine) == pool.profiles


def test_a_preset_fills_in_what_is_left_out():
    """Base URL, format and price; where they come from is kept."""
    config = google(target='model = "gemini-3-pro-image"')
    (target,) = config.targets

    assert ("https://generativelanguage.googleapis.com", "gemini", 0.134) == (
        target.base_url, target.format, target.price_usd,
    )  # fmt: skip
    assert "preset google-gemini: copies" in config.origins["targets.t.price_usd"]
    assert "providers.g.base_url" in config.origins


BATCH = """
format = "gemini-batch"
model = "gemini-3-pro-image"
size = "1024x1024"
"""


def test_a_batch_target_has_a_day_and_half_the_price():
    """Its deadline may be longer than its interval; looks are ten minutes apart at most."""
    config = google(target=BATCH, interval="6h")
    spec = config.specs["t"]

    assert (True, 0.067, 86_400.0, 600.0) == (
        spec.is_batch, spec.price_usd, spec.deadline_s, spec.poll_s,
    )  # fmt: skip
    assert "default of batch jobs" == config.origins["targets.t.deadline"]
    assert not google(target='model = "gemini-3-pro-image"').specs["t"].is_batch


def test_the_times_of_a_batch_target_are_its_own():
    """Where the deadline is short, so are the pauses between looks; both can be set."""
    short = google(target=BATCH + 'deadline = "100m"')
    own = google(target=BATCH + 'deadline = "8h"\npoll = "1m"')
    again = parse(show(own), ENVIRON, "the test")

    assert (6_000.0, 600.0) == (short.specs["t"].deadline_s, short.specs["t"].poll_s)
    assert (28_800.0, 60.0) == (own.specs["t"].deadline_s, own.specs["t"].poll_s)
    assert own.specs == again.specs
    assert 60.0 == google(target=BATCH + 'deadline = "10m"').specs["t"].poll_s


def test_upstreams_zones_and_reference_hosts_are_read_and_shown():
    """A provider's upstream holds for its targets unless they say otherwise; none is the default."""
    plain = parse(PROVIDER + TARGET, ENVIRON, "the test")
    (provider,) = plain.providers.values()
    assert ((), None) == (plain.reference_hosts, provider.zone)
    assert {None} == {spec.upstream for spec in plain.specs.values()}

    config = parse(
        """
        [network]
        reference_hosts = ["https://example.com", "http://127.0.0.1:9/"]
        [judging]
        relapse = "5m"
        [[providers]]
        id = "lab"
        base_url = "https://api.example.com"
        format = "openai-images"
        upstream = "cloud"
        zone = "Asia/Shanghai"
        [[targets]]
        id = "a"
        provider = "lab"
        model = "m"
        price_usd = 0.01
        interval = "10m"
        [[targets]]
        id = "b"
        provider = "lab"
        model = "m"
        price_usd = 0.01
        interval = "10m"
        upstream = "elsewhere"
        """,
        {},
        "the test",
    )
    again = parse(show(config), {}, "the test")

    assert ("https://example.com", "http://127.0.0.1:9") == config.reference_hosts
    assert ["cloud", "elsewhere"] == [spec.upstream for spec in config.specs.values()]
    assert ZoneInfo("Asia/Shanghai") == config.providers["lab"].zone
    assert 300.0 == config.policy.relapse_s
    assert (config.specs, config.providers, config.policy, config.reference_hosts) == (
        again.specs, again.providers, again.policy, again.reference_hosts,
    )  # fmt: skip


def test_a_pool_that_mixes_jobs_with_calls_is_warned_of():
    """Hours against seconds: the waiting alone would decide every order."""
    call = """
    pools = ["p"]
    [[targets]]
    id = "call"
    provider = "g"
    interval = "1h"
    model = "gemini-3-pro-image"
    pools = ["{pool}"]
    [[pools]]
    id = "p"
    [[pools]]
    id = "q"
    [[targets]]
    id = "other"
    provider = "g"
    interval = "1h"
    model = "gemini-3-pro-image"
    pools = ["q"]
    """
    mixed, apart = (
        google(target=BATCH + call.format(pool=pool), interval="6h").warnings for pool in "pq"
    )

    assert 1 == len(mixed)
    assert mixed[0].startswith("pool p: t takes hours for a picture, the others seconds;")
    assert () == apart


def test_options_of_a_provider_stay_with_the_formats_that_know_them():
    """A gateway's other route does not get options of the first."""
    config = parse(
        """
        [[providers]]
        id = "lz"
        preset = "laozhang-native"
        api_key = { env = "LAOZHANG_API_KEY" }
        options = { image_size = "2K" }
        [[targets]]
        id = "native"
        provider = "lz"
        model = "gemini-3-pro-image"
        interval = "1h"
        options = { api_version = "v1" }
        [[targets]]
        id = "other"
        provider = "lz"
        model = "gpt-image-2-vip"
        format = "openai-images"
        price_usd = 0.03
        interval = "1h"
        """,
        ENVIRON,
        "the test",
    )
    native, other = config.targets

    assert {
        "auth": "bearer", "image_size": "2K", "api_version": "v1", "liveness": "gateway_models",
    } == native.options  # fmt: skip
    assert ("openai-images", {}) == (other.format, other.options)


def test_the_default_deadline_leaves_room_in_a_short_slot():
    """80 % of the interval, at most two minutes."""
    short = parse(PROVIDER + TARGET.replace("15m", "10s"), {}, "the test")

    assert 8.0 == short.specs["pic"].deadline_s


@pytest.mark.parametrize(
    ("reference", "detail"),
    [
        ('{ env = "ABSENT" }', "environment variable ABSENT is not set"),
        ('{ file = "absent.key" }', "secret file absent.key cannot be read: No such file or directory"),
    ],
)  # fmt: skip
def test_a_missing_key_makes_targets_unusable_and_is_no_error(reference, detail):
    """The daemon runs on with the others; the message says what is missing."""
    config = parse(f"{PROVIDER}api_key = {reference}\n{TARGET}", {}, "the test")

    assert (ErrorClass.AUTH, detail) == (
        config.specs["pic"].unusable, config.specs["pic"].unusable_detail,
    )  # fmt: skip
    assert (f"provider lab: {detail}; its targets are not probed",) == config.warnings
    assert ("", ()) == (config.targets[0].api_key, config.secrets)


def test_keys_come_from_files_too(tmp_path):
    """As container runtimes mount them."""
    path = tmp_path / "key"
    path.write_text("key-in-a-file\n")
    config = parse(f'{PROVIDER}api_key = {{ file = "{path}" }}\n{TARGET}', {}, "the test")

    assert ("key-in-a-file", ("key-in-a-file",)) == (config.targets[0].api_key, config.secrets)


def test_no_representation_of_a_configuration_shows_a_key():
    """Neither repr nor the shown TOML."""
    config = google(target='model = "gemini-3-pro-image"')

    assert (ENVIRON["GEMINI_API_KEY"],) == config.secrets
    assert ENVIRON["GEMINI_API_KEY"] not in repr(config) + show(config)
    assert 'api_key = { env = "GEMINI_API_KEY" }  # ***' in show(config)


KEYED = PROVIDER + 'api_key = { env = "OPENAI_API_KEY" }\n'
RELAY = PROVIDER + "relay = true\n"


def test_the_token_of_a_balance_is_as_secret_as_a_key():
    """Masked when shown, known to the redactor, and shown again as the reference it was."""
    text = f'{RELAY}balance_key = {{ env = "BFL_API_KEY" }}\n{TARGET}'
    config = parse(text, ENVIRON, "the test")
    token = ENVIRON["BFL_API_KEY"]

    assert (token,) == config.secrets
    assert token not in repr(config) + repr(config.targets) + show(config)
    assert 'balance_key = { env = "BFL_API_KEY" }  # ***' in show(config)
    assert config.targets == parse(show(config), ENVIRON, "again").targets


def test_a_missing_token_of_a_balance_is_a_warning():
    """The targets are probed all the same; only their balance is not told."""
    text = f'{RELAY}balance_key = {{ env = "ABSENT" }}\n{TARGET}'
    config = parse(text, {}, "the test")

    assert (
        "provider lab: environment variable ABSENT is not set; its balance is not told",
    ) == config.warnings
    assert (None, "", ()) == (
        config.specs["pic"].unusable, config.targets[0].balance_key, config.secrets,
    )  # fmt: skip
    assert "# not available" in show(config)


@pytest.mark.parametrize(
    ("provider", "target", "seconds"),
    [
        ("", "", 300.0),
        ('liveness = "90s"', "", 90.0),
        ('liveness = "off"', "", None),
        ('liveness = "off"', 'liveness = "1s"', 1.0),
        ("liveness = 60", 'liveness = "off"', None),
        ("", 'liveness = "2h"', 7200.0),
    ],
)
def test_the_pace_of_free_calls_is_the_targets_then_the_providers(provider, target, seconds):
    """Five minutes where neither says anything; what is shown means the same."""
    config = parse(f"{KEYED}{provider}\n{TARGET}{target}\n", ENVIRON, "the test")
    again = parse(show(config), ENVIRON, "again")

    assert seconds == config.specs["pic"].liveness_s == again.specs["pic"].liveness_s
    is_default = not provider and not target
    assert is_default == ("targets.pic.liveness" in config.origins)


SILENT = """
class Silent:
    name = "silent"
    options = {}
    def exchange(self, target, canary):
        yield
"""


@pytest.mark.parametrize(
    ("provider", "message"),
    [
        (KEYED.replace("openai-images", "silent"), "wire format 'silent' has no free call"),
        (PROVIDER, "provider 'lab' has no api_key that a free call could prove"),
    ],
    ids=["format", "key"],
)
def test_where_there_is_no_free_call_none_is_made(plug_in, provider, message):
    """It is no error unless it is asked for on the target, and then the message says why."""
    plug_in(SILENT, silent="Silent")
    text = provider + 'liveness = "1m"\n' + TARGET
    config = parse(text, ENVIRON, "the test")
    (problem,) = problems_in(text + 'liveness = "1m"\n')

    assert config.specs["pic"].liveness_s is None
    assert parse(text + 'liveness = "off"\n', ENVIRON, "x").specs["pic"].liveness_s is None
    assert parse(show(config), ENVIRON, "again").specs == config.specs
    assert f'targets[0].liveness: {message}; drop it, or write "off"' == str(problem)


def test_a_broken_plug_in_has_no_free_call(plug_in):
    """What is wrong with it is told when its targets are wired."""
    plug_in("import nowhere_to_be_found", lost="Lost")
    text = KEYED.replace("openai-images", "lost") + TARGET

    assert parse(text, ENVIRON, "the test").specs["pic"].liveness_s is None


def test_a_key_that_is_missing_today_changes_no_plan():
    """What is shown is the same on a machine without the key."""
    assert 300.0 == parse(KEYED + TARGET, {}, "the test").specs["pic"].liveness_s


@pytest.mark.parametrize(
    ("model", "today", "count"),
    [
        ("gemini-2.5-flash-image", TODAY, 1),
        ("gemini-2.5-flash-image", date(2026, 10, 1), 0),
        ("gemini-3-pro-image", TODAY, 0),
        ("gemini-2.5-flash-image", None, 0),
    ],
)
def test_a_model_past_its_end_is_a_warning(model, today, count):
    """Published days may be wrong, so the target is still probed."""
    text = (
        '[[providers]]\nid = "g"\npreset = "google-gemini"\napi_key = { env = "GEMINI_API_KEY" }\n'
        f'[[targets]]\nid = "t"\nprovider = "g"\nmodel = "{model}"\ninterval = "1h"\n'
    )

    config = parse(text, ENVIRON, "the test", today=today)

    assert count == len(config.warnings)
    assert all("2026-10-02" in warning for warning in config.warnings)


def test_a_model_past_its_end_is_noticed_by_the_machines_day(tmp_path):
    """Nobody has to pass a day when reading a file."""
    path = tmp_path / "monitor.toml"
    path.write_text(
        '[[providers]]\nid = "o"\npreset = "openai"\napi_key = { env = "OPENAI_API_KEY" }\n'
        '[[targets]]\nid = "t"\nprovider = "o"\nmodel = "dall-e-2"\nprice_usd = 1\ninterval = "1h"\n'
    )

    (warning,) = load(path, ENVIRON).warnings

    assert "target t: dall-e-2 was to be shut down on 2026-05-12" in warning


def test_more_canaries_than_a_provider_allows_are_a_warning():
    """By day and by minute; another base URL has limits of its own."""
    text = """
        [[providers]]
        id = "free"
        preset = "google-gemini-free"
        api_key = { env = "GEMINI_FREE_API_KEY" }
        {more}
        [[targets]]
        id = "t"
        provider = "free"
        model = "gemini-3-pro-image"
        interval = "5s"
        """
    warnings = parse(text.replace("{more}", ""), ENVIRON, "the test").warnings

    assert [
        "12 canaries a minute are planned, its quota of 10 requests a minute leaves them 1",
        "17280 canaries a day are planned, its quota of 1500 requests a day leaves them 30",
    ] == [re.search(r"provider free: (.*);", warning)[1] for warning in warnings]
    elsewhere = text.replace("{more}", 'base_url = "http://localhost:1/gemini"')
    assert () == parse(elsewhere, ENVIRON, "the test").warnings


def test_quotas_come_from_the_file_and_then_from_the_preset():
    """Key by key, each with where it is from; without either there is no limit."""
    config = google("quota = { per_day = 250, share = 0.1 }", 'model = "gemini-3-pro-image"')
    pacific = ZoneInfo("America/Los_Angeles")

    assert QuotaSpec(
        per_minute=100, per_day=250, share=0.1, resets=pacific
    ) == config.providers["g"].quota  # fmt: skip
    origins = {key: value for key, value in config.origins.items() if ".quota." in key}
    guide = "preset google-gemini: buyer's guide of December 2025, read 2025-12"
    assert {
        "providers.g.quota.per_minute": guide, "providers.g.quota.resets": guide,
    } == origins  # fmt: skip
    shown = show(config)
    assert f"per_minute = 100  # {guide}" in shown
    assert 'resets = "America/Los_Angeles"' in shown
    plain = parse(PROVIDER + TARGET, {}, "the test")
    assert QuotaSpec() == plain.providers["lab"].quota
    assert "share = 0.02  # default" in show(plain)
    moved = google('base_url = "https://relay.example.com"', 'model = "gemini-3-pro-image"')
    assert QuotaSpec() == moved.providers["g"].quota


def test_batch_prices_come_from_the_file_and_then_from_the_preset():
    """Half of the list price where batch jobs are sold; a written one goes before it."""
    known = google(target='model = "gemini-3-pro-image"').specs["t"]
    written = google(target='model = "gemini-3-pro-image"\nbatch_price_usd = 0.06').specs["t"]
    unsold = google(target='model = "gemini-3.1-flash-lite-image"').specs["t"]

    assert (0.067, 0.06, None) == (
        known.batch_price_usd, written.batch_price_usd, unsold.batch_price_usd,
    )  # fmt: skip


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "http://localhost/x", "http://[::1]:8/x"])
def test_plain_http_is_for_this_machine(url):
    """The simulator has no certificate."""
    text = PROVIDER.replace("https://api.example.com/v1/", url) + TARGET

    assert url == parse(text, {}, "the test").targets[0].base_url


def test_the_example_loads_and_costs_what_it_says():
    """Every comment with an amount equals what is computed."""
    text = (ROOT / "monitor.example.toml").read_text()
    config = load(ROOT / "monitor.example.toml", ENVIRON, today=TODAY)
    said = re.findall(r"# (\d+) canaries a day, \$([\d.]+)", text)
    specs = config.specs.values()

    assert () == config.warnings
    assert [(int(n), float(usd)) for n, usd in said] == [
        (86_400 / s.interval_s, round(s.price_usd * 86_400 / s.interval_s, 4)) for s in specs
    ]
    a_day = sum(s.price_usd * 86_400 / s.interval_s for s in specs)
    assert f"${a_day:.2f} a day in all" in text
    assert f"canaries cost up to ${a_day:.2f} a day" == cost_words(config)
    caps = [p.spend_cap.usd_per_day for p in config.providers.values() if p.spend_cap]
    assert a_day < config.spend_cap.usd_per_day < sum(caps)
    assert 31 * a_day < config.spend_cap.usd_per_month
    assert {"gemini", "openai-images", "openai-chat", "bfl"} == {spec.format for spec in specs}


def test_what_is_shown_can_be_loaded_again():
    """The effective configuration means the same as the one it came from."""
    config = load(ROOT / "monitor.example.toml", ENVIRON, today=TODAY)

    again = parse(show(config), ENVIRON, config.source)

    assert config.targets == again.targets
    assert config.specs == again.specs
    assert config.pools == again.pools
    assert (config.providers, config.spend_cap) == (again.providers, again.spend_cap)
    assert (config.policy, config.listen) == (again.policy, again.listen)
    assert "read 2026-11-22" in show(config)


MAINTENANCE = """
[[maintenance]]
targets = ["pic"]
providers = ["lab"]
from = 2026-12-01T22:00:00+01:00
until = 2026-12-02T02:00:00.250Z

[[maintenance]]
providers = ["lab"]
weekly = "sat 22:00-02:30"
zone = "Europe/Berlin"

[[maintenance]]
targets = ["pic"]
weekly = "mon 00:00-24:00"
until = 2027-01-01T00:00:00Z
"""


def test_maintenance_is_of_targets_and_of_all_of_a_provider():
    """Each once, in file order; times are read with their offset, weekly ones with their zone."""
    other = PROVIDER.replace("lab", "idle") + TARGET.replace("pic", "two").replace("lab", "idle")
    specs = parse(PROVIDER + TARGET + other + MAINTENANCE, {}, "the test").specs
    once, late, whole_day = specs["pic"].maintenance

    assert (1_796_158_800.0, 1_796_176_800.25) == (once.since, once.until)
    assert Weekly(weekday=5, start_s=79_200, end_s=95_400, zone=ZoneInfo("Europe/Berlin")) == (
        late.weekly
    )
    assert Weekly(weekday=0, start_s=0, end_s=86_400, zone=ZoneInfo("UTC")) == whole_day.weekly
    assert (None, 1_798_761_600.0) == (whole_day.since, whole_day.until)
    assert () == specs["two"].maintenance


def test_maintenance_that_is_shown_can_be_loaded_again():
    """It says the same of every target."""
    config = parse(PROVIDER + TARGET + MAINTENANCE, {}, "the test")

    assert config.specs == parse(show(config), {}, "again").specs
    assert 3 == show(config).count("[[maintenance]]")


@given(weekday=st.integers(0, 6), start=st.integers(0, 1439), length=st.integers(1, 1439))
def test_weekly_times_are_read_as_they_are_written(weekday, start, length):
    """Law: whatever begins on a day and ends within the next one has its text."""
    times = (weekday, start * 60, (start + length) * 60)

    assert times == parse_weekly(weekly_text(*times))


def test_a_provider_without_targets_is_shown_too():
    """With an IPv6 address and without a key."""
    text = PROVIDER + PROVIDER.replace("lab", "idle") + TARGET
    config = parse('[server]\nlisten = "[::1]:1"\n' + text, {}, "the test")

    again = parse(show(config), {}, "the test")

    assert (["lab", "idle"], ("::1", 1)) == (list(again.providers), again.listen)


def test_the_schema_describes_the_file():
    """JSON, closed against unknown keys, and every part of a duration is told."""
    schema = json.loads(json.dumps(config_schema()))
    tables = schema["$defs"]

    ours = [schema, *(table for name, table in tables.items() if name.endswith("Table"))]
    assert all(table["additionalProperties"] is False for table in ours)
    assert ["id", "provider", "model", "interval"] == tables["TargetTable"]["required"]
    assert "anyOf" in tables["TargetTable"]["properties"]["interval"]
    sections = {"vantage", "server", "store", "log", "windows", "judging", "providers", "targets"}
    more = {"network", "reports", "pools", "spend_cap", "maintenance", "routes"}
    assert sections | more == set(schema["properties"])
    assert {"targets", "providers", "from", "until", "weekly", "zone"} == set(
        tables["MaintenanceTable"]["properties"]
    )


def test_the_cost_of_a_day_counts_every_slot():
    """Price times slots."""
    config = parse(PROVIDER + TARGET, {}, "the test")

    assert "canaries cost up to $0.96 a day" == cost_words(config)


@given(seconds=st.integers(1, 10**9).map(float) | st.floats(1e-3, 1e9))
def test_a_duration_is_spelled_as_what_it_is(seconds):
    """Law: for people to the microsecond, for programs exactly."""
    assert seconds == pytest.approx(parse_duration(duration_text(seconds)), abs=1e-6)
    assert seconds == parse_duration(duration_value(seconds))


def test_a_duration_that_no_text_holds_is_a_number():
    """A nanosecond would round to nothing."""
    assert 1e-9 == duration_value(1e-9)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("90s", 90.0), ("15m", 900.0), ("1.5h", 5400.0), ("1d", 86400.0), (3, 3.0)],
)
def test_durations_have_units(text, seconds):
    """Or are plain seconds."""
    assert seconds == parse_duration(text)


@pytest.mark.parametrize(
    "value", ["", "1", "1w", "-1s", "1 s", True, None, "s", float("inf"), -1, 0]
)
def test_other_durations_are_refused(value):
    """No unit is guessed; nothing is endless."""
    with pytest.raises(ValueError, match="duration"):
        parse_duration(value)


@pytest.mark.parametrize(
    "value", ["", "..", "/etc/passwd", "../UTC", "a\0b", "\ud800", "Etc", "x" * 9999, None, 8]
)
def test_other_zones_are_refused(value):
    """No name, no folder, no way out of the folder of zones."""
    with pytest.raises(ValueError, match="time zone"):
        parse_zone(value)


@pytest.mark.parametrize("value", ["", "host", ":80", "http://a:1", "u@h:1", "[::1:80", 80, "h:x"])
def test_other_listen_addresses_are_refused(value):
    """Host and port are both needed."""
    with pytest.raises(ValueError, match="HOST:PORT"):
        parse_listen(value)


@pytest.mark.parametrize(
    "value", ["", 5, "https://", "https://[::1", "https://h:x", "https://a\nb", "https://bücher.de"]
)
def test_other_base_urls_are_refused(value):
    """Brackets, ports, control characters and letters that no header can carry."""
    with pytest.raises(ValueError, match="is not a URL"):
        parse_base_url(value)


def test_a_format_that_cannot_be_loaded_has_no_known_options():
    """A broken plug-in is told when its targets are wired; its options are not judged."""
    found = []

    WireFormats().check_options("targets[0].options", "broken", {"any": 1}, found)

    assert [] == found
    assert not WireFormats().is_batch("broken")


json_values = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(value=json_values)
def test_shown_values_are_toml(value):
    """Law: whatever options hold is read back as it was."""
    assert value == tomllib.loads(f"v = {toml(value)}")["v"]


@given(text=st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_no_text_crashes_the_parser(text):
    """Law: what is no configuration is a ConfigError with at least one problem."""
    with pytest.raises(ConfigError) as caught:
        parse(text, {}, "the test")

    assert caught.value.problems


shapes = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "id",
                    "preset",
                    "api_key",
                    "env",
                    "interval",
                    "pools",
                    "provider",
                    "model",
                    "size",
                    "quota",
                    "resets",
                    "share",
                    "per_day",
                ]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)


@given(sections=st.dictionaries(
    st.sampled_from(["providers", "targets", "pools", "windows", "server", "log", "x"]),
    st.lists(shapes, max_size=3) | shapes,
))  # fmt: skip
def test_no_shape_of_document_crashes_the_parser(sections):
    """Law: whatever TOML holds is judged, never tripped over."""
    drop = lambda v: "" if v is None else v  # noqa: E731 - TOML has no null

    def without_null(value):
        if isinstance(value, dict):
            return {key: without_null(item) for key, item in value.items()}
        return [without_null(item) for item in value] if isinstance(value, list) else drop(value)

    text = "\n".join(f"{key} = {toml(without_null(value))}" for key, value in sections.items())
    with pytest.raises(ConfigError):
        parse(text, {}, "the test")
