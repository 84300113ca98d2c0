"""Presets: facts about brands, each with a source and a day."""

from __future__ import annotations

from datetime import date
from urllib.parse import urlsplit

import pytest

from monitor.config.values import parse_base_url, parse_slug
from monitor.presets import PRESETS, knowing
from probes import registry
from probes.model import Target
from tests.support.replies import play_free, reply

EACH = pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)


def test_every_provider_of_the_market_has_a_preset():
    """The seed market is complete."""
    wanted = {
        "google-gemini", "google-gemini-free", "google-imagen", "openai", "laozhang",
        "laozhang-native", "bfl",
    }  # fmt: skip

    assert wanted == set(PRESETS)


@EACH
def test_every_preset_is_sound(preset):
    """Ids are slugs, URLs are https, formats exist and know the options."""
    assert preset.id == parse_slug(preset.id)
    for url in (preset.base_url, *preset.hosts.values()):
        assert url == parse_base_url(url)
        assert url.startswith("https://")
    assert preset.options.keys() <= registry.load(preset.format).options.keys()
    assert all(suffix.startswith(".") for suffix in preset.poll_hosts)
    assert len(preset.models) == len({model.id for model in preset.models})


@EACH
def test_the_free_calls_of_a_preset_are_those_its_format_makes(preset):
    """The documented call comes first, and none is made that is not documented."""
    target = Target(
        id="t", provider="p", format=preset.format, base_url=preset.base_url, model="some-model",
        api_key="k", options=preset.options, relay=preset.relay, balance_key="b",
    )  # fmt: skip
    answers = {"credits": reply(404), "models": reply(200, {"data": []})}
    sends = play_free(
        target, lambda send: next((a for w, a in answers.items() if w in send.url), reply(500))
    ).sends
    made = [
        f"{send.method} {urlsplit(send.url.removeprefix(preset.base_url)).path}".replace(
            "some-model", "{model}"
        )
        for send in sends
    ]

    assert preset.free_calls[0] == made[0]
    assert set(made) <= set(preset.free_calls)
    assert preset.relay == ("GET /api/user/self" in made)


@EACH
def test_every_fact_has_a_source_and_a_day(preset):
    """Of the preset and of each of its models: words, and an ISO day or month."""
    for source in (preset.source, *(model.source for model in preset.models)):
        day = source.read_on if len(source.read_on) == 10 else f"{source.read_on}-01"
        assert source.text
        assert date(2025, 12, 1) <= date.fromisoformat(day)
        assert str(source) == f"{source.text}, read {source.read_on}"


@EACH
def test_every_price_is_an_amount_of_money(preset):
    """Between nothing and a dollar a picture, a further megapixel included."""
    prices = [price for model in preset.models for price in model.prices]

    assert all(0 <= price.usd < 1 and 0 <= price.usd_per_extra_mp < 1 for price in prices)


@pytest.mark.parametrize(
    ("preset", "model", "size", "quality", "usd"),
    [
        ("google-gemini", "gemini-3.1-flash-lite-image", (1024, 1024), None, 0.0336),
        ("google-gemini", "gemini-3.1-flash-lite-image", None, None, 0.0336),
        ("google-gemini", "gemini-3.1-flash-lite-image", (2048, 2048), None, None),
        ("google-gemini", "gemini-3.1-flash-image", (512, 512), None, 0.045),
        ("google-gemini", "gemini-3.1-flash-image", (1024, 1024), None, 0.067),
        ("google-gemini", "gemini-3.1-flash-image", (2048, 2048), None, 0.101),
        ("google-gemini", "gemini-3.1-flash-image", (4096, 4096), None, 0.151),
        ("google-gemini", "gemini-3-pro-image", (2048, 2048), None, 0.134),
        ("google-gemini", "gemini-3-pro-image", (4096, 4096), None, 0.24),
        ("google-gemini-free", "gemini-3-pro-image", (4096, 4096), None, 0.0),
        ("google-imagen", "imagen-4.0-fast-generate-001", None, None, 0.02),
        ("openai", "gpt-image-2.5-flare", (1024, 768), "low", 0.004),
        ("openai", "gpt-image-2.6-sunburst", (1024, 1024), "medium", 0.0132),
        ("openai", "gpt-image-2.5-flare", (1024, 768), "high", None),
        ("openai", "gpt-image-2.5-flare", (1024, 1024), None, None),
        ("openai", "gpt-image-2.5-flare", None, "low", None),
        ("laozhang", "gemini-3-pro-image", None, None, 0.09),
        ("laozhang-native", "gemini-3-pro-image", (4096, 4096), None, 0.09),
        ("bfl", "flux-2-klein-4b", (1024, 1024), None, 0.014),
        ("bfl", "flux-2-klein-4b", None, None, 0.014),
        ("bfl", "flux-2-klein-4b", (1024, 1040), None, 0.015),
        ("bfl", "flux-2-klein-4b", (2048, 2048), None, 0.017),
        ("bfl", "flux-2-flex", (1536, 2048), None, 0.15),
        ("bfl", "flux-2-pro", (2048, 2064), None, None),
        ("bfl", "flux-pro-1.1-ultra", (2048, 2048), None, 0.06),
    ],
)
def test_a_price_is_known_exactly_or_not_at_all(preset, model, size, quality, usd):
    """List prices by size and quality; where the list has no row nothing is guessed."""
    assert usd == PRESETS[preset].model(model).price(size, quality)


@pytest.mark.parametrize(
    ("preset", "model", "size", "quality", "usd"),
    [
        ("google-gemini", "gemini-2.5-flash-image", (1024, 1024), None, 0.0195),
        ("google-gemini", "gemini-nano-banana-2.1", None, None, 0.0168),
        ("google-gemini", "gemini-3-pro-image", (2048, 2048), None, 0.067),
        ("google-gemini", "gemini-3-pro-image", (4096, 4096), None, 0.12),
        ("google-gemini", "gemini-3.1-flash-lite-image", (1024, 1024), None, None),
        ("google-gemini", "gemini-2.5-flash-image", (4096, 4096), None, None),
        ("google-gemini-free", "gemini-3-pro-image", (1024, 1024), None, None),
        ("openai", "gpt-image-2.6-flare", (1024, 1024), "low", 0.00295),
        ("openai", "gpt-image-2", (1024, 1024), "low", None),
        ("laozhang", "gemini-3-pro-image", None, None, None),
    ],
)
def test_batch_jobs_cost_half_where_they_are_sold(preset, model, size, quality, usd):
    """Half of the list price; nothing where the list has no row for batch jobs, or none at all."""
    assert usd == PRESETS[preset].model(model).batch_price(size, quality)


def test_imagen_is_past_its_end():
    """Every model of it was shut down on one day."""
    assert {date(2026, 8, 17)} == {model.shutdown for model in PRESETS["google-imagen"].models}


def test_a_relay_says_so_and_has_three_hosts():
    """An unexplained 401 of a relay is its upstream's trouble."""
    relays = {preset.id for preset in PRESETS.values() if preset.relay}

    assert {"laozhang", "laozhang-native"} == relays
    assert {"api", "vip", "api2"} == set(PRESETS["laozhang"].hosts)
    assert {"api", "vip", "api2"} == set(PRESETS["laozhang-native"].hosts)


def test_presets_that_know_a_model_are_found():
    """For the message about a missing price."""
    assert ("openai",) == knowing("gpt-image-2.5-flare")
    assert () == knowing("midjourney")
    assert PRESETS["openai"].model("midjourney") is None
