"""Black Forest Labs: FLUX on its own API."""

from __future__ import annotations

from typing import Final

from monitor.presets.model import MEGAPIXEL, Model, Preset, Price, Source

_DOCS: Final = Source(text="docs.bfl.ai", read_on="2026-11-22")
_SKILL: Final = Source(text="the vendor's skill file of February 2026", read_on="2026-11-24")
_ABOVE_4_MP: Final = 4 * MEGAPIXEL + 1  # The largest pictures it makes.

# FLUX.2 is sold by the megapixel, FLUX.1 by the picture.
_BY_MEGAPIXEL: Final = (
    ("flux-2-klein-4b", 0.014, 0.001),
    ("flux-2-klein-9b", 0.015, 0.002),
    ("flux-2-pro", 0.03, 0.015),
    ("flux-2-flex", 0.05, 0.05),
    ("flux-2-max", 0.07, 0.03),
)
_BY_PICTURE: Final = (("flux-pro-1.1", 0.04), ("flux-pro-1.1-ultra", 0.06), ("flux-dev", 0.025))

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
        models=(
            *(
                Model(
                    id=model_id,
                    prices=(Price(usd=first, usd_per_extra_mp=extra, below_px=_ABOVE_4_MP),),
                    source=_SKILL,
                    note="the list does not say how a part of a megapixel counts: taken as a whole",
                )
                for model_id, first, extra in _BY_MEGAPIXEL
            ),
            *(
                Model(id=model_id, prices=(Price(usd=usd, below_px=_ABOVE_4_MP),), source=_SKILL)
                for model_id, usd in _BY_PICTURE
            ),
        ),
        # Jobs are polled where the answer says, which is another host of the same domain.
        poll_hosts=(".bfl.ai",),
        free_calls=("GET /v1/credits", "GET /v1/get_result"),
        note="at most 24 jobs at once; result links die after ten minutes; the call for credits is "
        "not confirmed, so where it is unknown an unknown job is asked for",
    ),
)
