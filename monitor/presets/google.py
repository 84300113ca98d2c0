"""Google: the Gemini API paid and free, and Imagen, which is shut down."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Final
from zoneinfo import ZoneInfo

from monitor.core.spec import QuotaSpec
from monitor.presets.model import Model, Preset, Price, Source

_READ: Final = "2026-11-22"
_GUIDE: Final = Source(text="buyer's guide of December 2025", read_on="2025-12")
_API: Final = Source(text="google-genai 3.4.0 and ai.google.dev", read_on=_READ)
_LITELLM: Final = Source(text="price table of litellm 1.106.2", read_on=_READ)
_PRICING: Final = Source(text="copies of Google's pricing page, March to June 2026", read_on=_READ)
# Below these numbers of pixels the Gemini format asks for 512, 1K and 2K; above for 4K.
_512, _1K, _2K = 512 * 1024, 1024 * 2048, 2048 * 4096
_PACIFIC: Final = ZoneInfo("America/Los_Angeles")  # Where daily quotas are reset at midnight.
_HALF: Final = 0.5  # Of the list price: what Google asks for pictures of batch jobs.
_HOST: Final = "https://generativelanguage.googleapis.com"


def _steps(*steps: tuple[int | None, float]) -> tuple[Price, ...]:
    return tuple(Price(below_px=below, usd=usd) for below, usd in steps)


_MODELS: Final = (
    Model(
        id="gemini-3.1-flash-lite-image",
        prices=_steps((_1K, 0.0336)),
        source=_LITELLM,
        note="1K only; not sold in batch jobs",
    ),
    Model(
        id="gemini-nano-banana-2.1",
        prices=_steps((_1K, 0.0336), (_2K, 0.0504), (None, 0.0756)),
        source=_LITELLM,
        batch_share=_HALF,
        note="2K and 4K computed from token prices",
    ),
    Model(
        id="gemini-3-pro-image",
        prices=_steps((_2K, 0.134), (None, 0.24)),
        source=_PRICING,
        batch_share=_HALF,
    ),
    Model(
        id="gemini-3.1-flash-image",
        prices=_steps((_512, 0.045), (_1K, 0.067), (_2K, 0.101), (None, 0.151)),
        source=_PRICING,
        batch_share=_HALF,
        shutdown=date(2026, 10, 29),
        note="the day is reported, not confirmed; google-genai 3.4.0 still lists the model",
    ),
    Model(
        id="gemini-2.5-flash-image",
        prices=_steps((_1K, 0.039)),
        source=_LITELLM,
        batch_share=_HALF,
        shutdown=date(2026, 10, 2),
        note="ai.google.dev says 2026-10-02, litellm 2027-03-15; one gateway finds it working",
    ),
    Model(
        id="gemini-3-pro-image-preview",
        prices=(),
        source=_API,
        shutdown=date(2026, 6, 25),
        note="became gemini-3-pro-image",
    ),
    Model(
        id="gemini-3.1-flash-image-preview",
        prices=(),
        source=_API,
        shutdown=date(2026, 6, 25),
        note="became gemini-3.1-flash-image",
    ),
)
_PAID: Final = Preset(
    id="google-gemini",
    brand="Google Gemini API, paid",
    base_url=_HOST,
    format="gemini",
    key_env="GEMINI_API_KEY",
    source=_API,
    models=_MODELS,
    quota=QuotaSpec(per_minute=100, resets=_PACIFIC),
    quota_source=_GUIDE,
    free_calls=("POST /v1/models/{model}:countTokens", "GET /v1/models/{model}", "GET /v1/models"),
    note="about 100 requests a minute; the real number depends on the tier",
)
_IMAGEN_SOURCE: Final = Source(text="Firebase migration page; litellm price rows", read_on=_READ)
PRESETS: Final = (
    _PAID,
    replace(
        _PAID,
        id="google-gemini-free",
        brand="Google Gemini API, free tier",
        key_env="GEMINI_FREE_API_KEY",
        source=_GUIDE,
        models=tuple(
            replace(m, prices=(Price(usd=0.0),), batch_share=None, source=_GUIDE) for m in _MODELS
        ),
        quota=QuotaSpec(per_minute=10, per_day=1500, resets=_PACIFIC),
        note="Google's pricing page of 2026 has no free row for image models: expect 429 with "
        "limit 0, which is reported as not_entitled",
    ),
    Preset(
        id="google-imagen",
        brand="Google Imagen (:predict)",
        base_url=_HOST,
        format="imagen",
        key_env="GEMINI_API_KEY",
        source=_IMAGEN_SOURCE,
        models=tuple(
            Model(
                id=model_id,
                prices=(Price(usd=usd),),
                source=_IMAGEN_SOURCE,
                shutdown=date(2026, 8, 17),
                note="answers 404 since; kept for gateways that still serve it",
            )
            for model_id, usd in (
                ("imagen-4.0-fast-generate-001", 0.02),
                ("imagen-4.0-generate-001", 0.04),
                ("imagen-4.0-ultra-generate-001", 0.06),
            )
        ),
        quota=QuotaSpec(resets=_PACIFIC),
        free_calls=("GET /v1beta/models/{model}",),
    ),
)
