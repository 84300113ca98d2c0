"""Routes in the configuration: what is read, what is wrong, what is shown."""

from __future__ import annotations

import sys
import tomllib
from zoneinfo import ZoneInfo

import pytest

from monitor.config import parse, show
from monitor.config.listen import listening
from monitor.config.notify import TOPICS, Channel
from monitor.core.notices import Topic
from monitor.core.notify import Quiet
from monitor.errors import ConfigError

BASE = """
[[providers]]
id = "lab"
base_url = "https://api.example.com/v1/"
format = "openai-images"

[[targets]]
id = "pic"
provider = "lab"
model = "m-1"
price_usd = 0.04
interval = "1h"
pools = ["image"]

[[pools]]
id = "image"
"""
ENVIRON = {
    "URL": "https://hooks.example.com/services/T0123456/abcdefghijklmnopqrst",
    "CLEAR": "http://hooks.internal/x",
    "NONSENSE": "hooks.example.com",
    "HARD": "https://[::1/x",
    "SECRET": "a-secret-of-the-test",
    "KEY": "a-routing-key-0123456789",
    "MAIL": "mailto://user:pass@example.com",
    "UNKNOWN": "nosuch://service",
}


def read(route: str):
    """The configuration with one more table."""
    return parse(f"{BASE}\n[[routes]]\n{route}", ENVIRON, "test")


def problem(route: str) -> str:
    """What is wrong with one more table."""
    with pytest.raises(ConfigError) as caught:
        read(route)
    return str(caught.value)


def test_a_route_with_everything_is_read_and_shown_and_read_again():
    """Names, times and references survive; no secret is shown."""
    config = read(
        """
        id = "ops"
        webhook = { env = "URL" }
        secret = { env = "SECRET" }
        events = ["outage", "all_degraded"]
        pools = ["image"]
        min_duration = "5m"
        group_wait = "10s"
        reminder = "4h"
        quiet = { from = "22:00", to = "07:00", zone = "Europe/Zurich", critical = true }
        """
    )
    (outlet,) = config.routes
    route, text = outlet.route, show(config)
    again = parse(text, ENVIRON, "again")

    assert (Channel.WEBHOOK, ENVIRON["URL"], ENVIRON["SECRET"]) == (
        outlet.channel,
        outlet.place,
        outlet.secret,
    )
    assert {Topic.OUTAGE, Topic.ALL_DEGRADED} == route.topics
    assert ({"pic"}, {"image"}, {"lab"}) == (route.targets, route.pools, route.providers)
    assert (300.0, 10.0, 14_400.0) == (route.min_duration_s, route.group_wait_s, route.reminder_s)
    zurich = ZoneInfo("Europe/Zurich")
    assert Quiet(start=22 * 60, end=7 * 60, zone=zurich, breaks=True) == route.quiet
    assert config.routes == again.routes
    assert not any(value in text for value in ENVIRON.values())
    # A token alone is masked too, where a library tells no more than that.
    assert "abcdefghijklmnopqrst" in config.secrets
    assert "services" not in config.secrets


def test_a_plain_route_has_the_defaults():
    """All but what happens with every probe, after half a minute, for everything."""
    config = read('id = "ops"\npagerduty = { env = "KEY" }')
    route = config.routes[0].route

    assert frozenset(TOPICS) == route.topics
    assert (None, None, None, None) == (route.targets, route.pools, route.reminder_s, route.quiet)
    assert (30.0, 1) == (route.group_wait_s, route.at_once)
    assert config.routes == parse(show(config), ENVIRON, "again").routes


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")
def test_apprise_knows_its_urls_and_their_secrets():
    """What stands where a host or password does is masked."""
    config = read('id = "mail"\napprise = { env = "MAIL" }')

    assert ENVIRON["MAIL"] in config.secrets
    assert "is no URL that apprise knows" in problem('id = "x"\napprise = { env = "UNKNOWN" }')


def test_without_apprise_a_route_over_it_says_what_to_install(monkeypatch):
    """An extra that is missing is a wrong configuration, not a silent route."""
    monkeypatch.setitem(sys.modules, "apprise", None)

    said = problem('id = "x"\napprise = { env = "MAIL" }')

    assert (
        'routes[0].apprise: needs apprise, which is not installed; pip install "imgmon[notify]"'
        == said
    )


@pytest.mark.parametrize(
    ("route", "said"),
    [
        ('id = "x"', "routes[0]: leads nowhere; give one of webhook, pagerduty, apprise"),
        (
            'id = "x"\nwebhook = { env = "URL" }\npagerduty = { env = "KEY" }',
            "routes[0]: has webhook and pagerduty; give one of webhook, pagerduty, apprise",
        ),
        (
            'id = "x"\npagerduty = { env = "KEY" }\nsecret = { env = "SECRET" }',
            "routes[0]: has a secret, which is for webhooks; drop secret",
        ),
        (
            'id = "x"\nwebhook = { env = "URL" }\npagerduty_url = "https://example.com"',
            "routes[0]: has a pagerduty_url without pagerduty; drop pagerduty_url",
        ),
        (
            'id = "x"\nwebhook = { env = "NONSENSE" }',
            "routes[0].webhook: is not a URL with https:// and a host; see where its reference leads",
        ),
        (
            'id = "x"\nwebhook = { env = "HARD" }',
            "routes[0].webhook: is not a URL with https:// and a host; see where its reference leads",
        ),
        (
            'id = "x"\nwebhook = { env = "CLEAR" }',
            "routes[0].webhook: travels in clear and unsigned; write https://, or give a secret",
        ),
        (
            'id = "x"\nwebhook = "https://hooks.example.com/x"',
            'routes[0].webhook: must not be the key itself; put the key in the environment: { env = "NAME" }',
        ),
        (
            'id = "x"\nwebhook = { env = "URL" }\npools = ["imag"]',
            "routes[0].pools[0]: no pool has the id 'imag'; did you mean 'image'?",
        ),
        (
            'id = "x"\nwebhook = { env = "URL" }\nquiet = { from = "25:00", to = "07:00" }',
            'routes[0].quiet.from: is not a time of day; write for example "22:00"',
        ),
        (
            'id = "x"\nwebhook = { env = "URL" }\n[[routes]]\nid = "x"\nwebhook = { env = "URL" }',
            "routes[1].id: 'x' is routes[0] already; rename one",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_route_is_said_with_its_fix(route, said):
    """Path, what, and what to do; never a value that may be secret."""
    assert said == problem(route)


def test_an_unknown_event_is_an_error():
    """The names that there are come with it."""
    said = problem('id = "x"\nwebhook = { env = "URL" }\nevents = ["outages"]')

    assert "routes[0].events[0]" in said
    assert "'outage'" in said


def test_a_missing_secret_is_a_warning_and_nothing_is_sent_unsigned():
    """The daemon runs; what the route would tell waits."""
    config = read('id = "x"\nwebhook = { env = "URL" }\nsecret = { env = "NOWHERE" }')

    assert "" == config.routes[0].place
    assert (
        "route x: environment variable NOWHERE is not set; its messages wait until it is there",
    ) == config.warnings
    assert "not available" in show(config)


def test_a_webhook_in_clear_may_be_signed_and_on_loopback_need_not():
    """A signature protects what the wire does not."""
    signed = read('id = "x"\nwebhook = { env = "CLEAR" }\nsecret = { env = "SECRET" }')

    assert ENVIRON["CLEAR"] == signed.routes[0].place


def test_the_command_line_says_where_to_listen():
    """Address and openness, before what the file says; a wrong address is wrong input."""
    config = parse(BASE, {}, "test")

    assert ("127.0.0.1", 8720) == listening(config, None).listen
    assert ("127.0.0.1", 9) == listening(config, "127.0.0.1:9").listen
    opened = listening(config, "0.0.0.0:8720", public_read=True)
    assert (("0.0.0.0", 8720), True) == (opened.listen, opened.public_read)
    assert not listening(config, "0.0.0.0:8720").public_read
    with pytest.raises(ConfigError, match="--listen: must be HOST:PORT"):
        listening(config, "nowhere")


def test_routes_are_shown_as_toml():
    """What is shown parses, with references alone."""
    config = read('id = "x"\nwebhook = { file = "/run/secrets/hook" }\ntargets = ["pic"]')
    (table,) = tomllib.loads(show(config))["routes"]

    assert {"file": "/run/secrets/hook"} == table["webhook"]
    assert ["pic"] == table["targets"]
