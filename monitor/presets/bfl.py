"""Black Forest Labs: FLUX on its own API."""

from __future__ import annotations

from typing import Final

from monitor.presets.model import Model, Preset, Price, Source

_DOCS: Final = Source(text="docs.bfl.ai", read_on="2026-11-22")
_SKILL: Final = Source(text="the vendor's skill file of February 2026", read_on="2026-11-22")
# The price list speaks of the first megapixel, which a square of 1024 is sold as.
_ABOVE_1_MP: Final = 1024 * 1024 + 1

PRESETS: Final = (
    Preset(
        id="bfl",
        brand="Black Forest Labs",
        base_url="https://api.bfl.ai",
        hosts={
            "global": "https://api.bfl.ai",
            "eu": "https://api.eu.bfl.ai",
            "us": "https://api.us.bfl.ai",
        },
        format="bfl",
        key_env="BFL_API_KEY",
        source=_DOCS,
        models=tuple(
            Model(
                id=model_id,
                prices=(Price(usd=usd, below_px=_ABOVE_1_MP),),
                source=_SKILL,
                note="price of the first megapixel; larger pictures cost more",
            )
            for model_id, usd in (
                ("flux-2-klein-4b", 0.014),
                ("flux-2-pro", 0.03),
                ("flux-2-flex", 0.05),
                ("flux-2-max", 0.07),
                ("flux-pro-1.1", 0.04),
                ("flux-pro-1.1-ultra", 0.06),
                ("flux-dev", 0.025),
            )
        ),
        # Jobs are polled where the answer says, which is another host of the same domain.
        poll_hosts=(".bfl.ai",),
        free_calls=("GET /v1/credits", "GET /v1/get_result"),
        note="at most 24 jobs at once; result links die after ten minutes; the call for credits is "
        "not confirmed, so where it is unknown an unknown job is asked for",
    ),
)
