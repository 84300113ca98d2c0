"""Who may ask for what, at a running daemon."""

from __future__ import annotations

import base64
from dataclasses import replace

import httpx
import pytest
from click.testing import CliRunner
from fastapi import Depends

from monitor import tokens
from monitor.api.access import Access, access_of, needs
from monitor.cli import main
from monitor.clock import SystemClock
from monitor.tokens import Scope, TokenBook
from probes.simulator.plans import calm_plan
from probes.simulator.server import SimulatorServer
from tests.support.daemon import client, configuration, configuration_text, running

pytestmark = pytest.mark.anyio

OPEN = ("/livez", "/readyz")
READING = (
    "/",
    "/docs",
    "/openapi.json",
    "/metrics",
    "/v1/pools",
    "/v1/nothing",
    "/badges/flash/state.svg",
)


@pytest.fixture
async def world(tmp_path):
    """A daemon that listens to everybody, with a token of each scope."""
    with SimulatorServer(calm_plan(), SystemClock()) as simulator:
        config = configuration(simulator, tmp_path / "a.db", environ={})
        config = replace(config, listen=("0.0.0.0", 8720))
        texts = {
            scope: tokens.create(config.tokens_path, scope, [scope], now=0.0) for scope in Scope
        }
        async with running(config) as daemon, client(daemon) as http:
            yield daemon, http, texts


def bearer(text):
    """The header that carries a token."""
    return {"Authorization": f"Bearer {text}"}


async def test_reading_a_daemon_that_others_reach_asks_for_a_token(world):
    """Every route but the two that a health check asks, known or not; and says what is missing."""
    _, http, texts = world
    for path in OPEN:
        assert (await http.get(path)).status_code in (200, 503)
    for path in READING:
        refused = await http.get(path)
        assert 401 == refused.status_code, path
        assert 'Bearer realm="imgmon", Basic realm="imgmon"' == refused.headers["WWW-Authenticate"]
        assert "application/problem+json" == refused.headers["Content-Type"]
        assert (await http.get(path, headers=bearer(texts[Scope.READ]))).status_code in (200, 404)


async def test_a_token_of_another_scope_or_an_unknown_one_is_refused_and_never_repeated(world):
    """403 names the scope that is lacking; no answer holds what was sent."""
    _, http, texts = world
    lacking = await http.get("/v1/pools", headers=bearer(texts[Scope.OPERATE]))
    unknown = await http.get("/v1/pools", headers=bearer("imgmon_guess"))

    assert (403, 401) == (lacking.status_code, unknown.status_code)
    assert "lacks the scope 'read'" in lacking.json()["detail"]
    assert 'error="insufficient_scope", scope="read"' in lacking.headers["WWW-Authenticate"]
    assert "imgmon_guess" not in unknown.text
    assert 'error="invalid_token"' in unknown.headers["WWW-Authenticate"]


async def test_a_browser_may_send_the_token_as_a_password_for_reading_alone(world):
    """It sends it with what other pages make it send: never good for what writes."""
    daemon, http, texts = world
    as_password = {
        scope: base64.b64encode(f"me:{text}".encode()).decode() for scope, text in texts.items()
    }
    read = await http.get("/v1/pools", headers={"Authorization": f"Basic {as_password['read']}"})
    broken = await http.get("/v1/pools", headers={"Authorization": "Basic %%%"})

    assert (200, 401) == (read.status_code, broken.status_code)
    with pytest.raises(Exception, match="401"):
        access_of(daemon.config, daemon.tokens).caller(
            f"Basic {as_password['operate']}", Scope.OPERATE
        )


async def test_what_writes_asks_for_its_scope_where_reading_is_open_too(tmp_path):
    """On loopback, without a token: 401; with the wrong one: 403; with the right one: its name."""
    with SimulatorServer(calm_plan(), SystemClock()) as simulator:
        config = configuration(simulator, tmp_path / "a.db", environ={})
        text = tokens.create(config.tokens_path, "shop", [Scope.REPORT], now=0.0)
        async with running(config) as daemon:
            app, access = daemon.api(), access_of(config, daemon.tokens)

            @app.post("/report")
            async def post_report(caller: str = Depends(needs(access, Scope.REPORT))) -> str:
                return caller

            @app.post("/operate")
            async def post_operate(
                caller: str = Depends(needs(access, Scope.OPERATE)),
            ) -> str:
                return caller

            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
                assert 200 == (await http.get("/v1/pools")).status_code
                assert 401 == (await http.post("/report")).status_code
                assert "shop" == (await http.post("/report", headers=bearer(text))).json()
                assert 403 == (await http.post("/operate", headers=bearer(text))).status_code


async def test_a_page_elsewhere_cannot_read_a_daemon_on_loopback_by_its_own_name(tmp_path):
    """DNS rebinding: the name a browser sends is the page's; ours and configured ones are known."""
    with SimulatorServer(calm_plan(), SystemClock()) as simulator:
        config = configuration(simulator, tmp_path / "a.db", environ={})
        config = replace(config, hosts=("Mon.example.com",))
        async with running(config) as daemon, client(daemon) as http:
            answers = {
                host: (await http.get("/v1/pools", headers={"Host": host})).status_code
                for host in (
                    "evil.example:8720", "127.0.0.1:8720", "localhost", "LOCALHOST.:1", "[::1]:8720",
                    "[::1]", "mon.example.com", "mon.example.com.evil.example", "",
                )
            }  # fmt: skip

    assert {"evil.example:8720", "mon.example.com.evil.example"} == {
        host for host, status in answers.items() if status == 421
    }
    assert {200, 421} == set(answers.values())


async def test_without_a_file_of_tokens_nobody_writes_and_a_damaged_one_stops_the_start(tmp_path):
    """A start is when somebody looks; while it runs, the last good file holds."""
    access = Access(TokenBook(tmp_path / "none", SystemClock()), is_reading_open=True)
    with pytest.raises(Exception, match="401"):
        access.caller("Bearer imgmon_x", Scope.OPERATE)
    with SimulatorServer(calm_plan(), SystemClock()) as simulator:
        config = configuration(simulator, tmp_path / "a.db", environ={})
        config.tokens_path.write_text("{")
        with pytest.raises(tokens.TokenError, match="no file of tokens"):
            async with running(config):
                pass


def test_tokens_are_made_listed_and_revoked_on_the_command_line(tmp_path):
    """The text is all that goes to the output, once; nothing else shows it."""
    with SimulatorServer(calm_plan(), SystemClock()) as simulator:
        text = configuration_text(simulator, tmp_path / "a.db")
    (tmp_path / "m.toml").write_text(text)

    def run(*arguments):
        command = ["token", *arguments, "--config", str(tmp_path / "m.toml")]
        return CliRunner().invoke(main, command, env={"KEY": "k" * 20})

    assert "There are no tokens" in run("list").output
    made = run("new", "shop", "--scope", "read", "--scope", "report", "--expires", "90d")
    assert 0 == made.exit_code, made.output
    assert made.stdout.startswith("imgmon_")
    assert 1 == len(made.stdout.split())
    listed = run("list")
    assert "shop" in listed.output
    assert "read, report" in listed.output
    assert made.stdout.strip() not in listed.output + run("list", "--json").output
    assert 2 == run("new", "shop", "--scope", "read").exit_code
    assert 2 == run("new", "a b", "--scope", "read").exit_code
    assert "is not a duration" in run("new", "b", "--scope", "read", "--expires", "soon").output
    assert "shop is revoked" in run("revoke", "shop").output
    assert 2 == run("revoke", "shop").exit_code
