"""OpenAI: the Images API."""

from __future__ import annotations

from datetime import date
from typing import Final

from monitor.core.spec import QuotaSpec
from monitor.presets.model import Model, Preset, Price, Source

_READ: Final = "2026-11-22"
_API: Final = Source(text="openai 3.54.0 and developers.openai.com", read_on=_READ)
_LITELLM: Final = Source(text="price table of litellm 1.106.2", read_on=_READ)
_TIERS: Final = Source(text="said of the lowest tiers, not confirmed", read_on=_READ)
_SQUARE: Final = (1024, 1024)


def _square(**usd: float) -> tuple[Price, ...]:
    return tuple(Price(usd=price, size=_SQUARE, quality=word) for word, price in usd.items())


_GPT_25: Final = (
    *_square(low=0.0059, medium=0.0132, high=0.0527, xhigh=0.0937, max=0.211),
    Price(usd=0.0040, size=(1024, 768), quality="low"),
)
_ENDING: Final = date(2026, 12, 1)

PRESETS: Final = (
    Preset(
        id="openai",
        brand="OpenAI Images API",
        base_url="https://api.openai.com/v1",
        format="openai-images",
        key_env="OPENAI_API_KEY",
        source=_API,
        models=(
            *(
                Model(id=model_id, prices=_GPT_25, source=_LITELLM, batch_share=0.5)
                for model_id in (
                    "gpt-image-2.6-flare",
                    "gpt-image-2.6-sunburst",
                    "gpt-image-2.5-flare",
                    "gpt-image-2.5-sunburst",
                )
            ),
            Model(
                id="gpt-image-2",
                prices=_square(low=0.006, medium=0.053, high=0.211),
                source=_LITELLM,
            ),
            Model(id="gpt-image-1.5", prices=_square(low=0.009), source=_LITELLM, shutdown=_ENDING),
            Model(
                id="gpt-image-1-mini", prices=_square(low=0.005), source=_LITELLM, shutdown=_ENDING
            ),
            Model(id="chatgpt-image-latest", prices=(), source=_API, shutdown=_ENDING),
            Model(
                id="gpt-image-1",
                prices=_square(low=0.011),
                source=_LITELLM,
                shutdown=date(2026, 10, 23),
            ),
            Model(id="dall-e-3", prices=(), source=_API, shutdown=date(2026, 5, 12)),
            Model(id="dall-e-2", prices=(), source=_API, shutdown=date(2026, 5, 12)),
        ),
        quota=QuotaSpec(per_minute=5),
        quota_source=_TIERS,
        free_calls=("GET /models/{model}", "GET /models"),
        note="higher tiers take more than 5 images a minute; GPT image models from "
        "2 on want both sides divisible by 16 and about 655 360 pixels or more",
    ),
)
