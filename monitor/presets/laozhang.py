"""laozhang.ai: a gateway with an OpenAI-compatible and a Gemini-native route on three hosts."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from monitor.presets.model import Model, Preset, Price, Source

_DOCS: Final = Source(text="docs.laozhang.ai", read_on="2026-11-22")
_PRICES: Final = Source(text="laozhang.ai price list of 2026-10-07", read_on="2026-11-22")
_HOSTS: Final = {
    "api": "https://api.laozhang.ai",
    "vip": "https://api-vip.laozhang.ai",
    "api2": "https://api2.laozhang.ai",
}
_MODELS: Final = tuple(
    Model(id=model_id, prices=(Price(usd=usd),), source=_PRICES, note=note)
    for model_id, usd, note in (
        ("gemini-3.1-flash-lite-image", 0.025, ""),
        ("gemini-nano-banana-2.1", 0.045, ""),
        ("gemini-3.1-flash-image", 0.055, ""),
        ("gemini-3-pro-image", 0.09, ""),
        ("gemini-2.5-flash-image", 0.02, "past Google's shutdown day, said to work for now"),
    )
)
_CHAT: Final = Preset(
    id="laozhang",
    brand="laozhang.ai, chat route",
    base_url=f"{_HOSTS['api']}/v1",
    hosts={name: f"{host}/v1" for name, host in _HOSTS.items()},
    format="openai-chat",
    key_env="LAOZHANG_API_KEY",
    source=_DOCS,
    models=_MODELS,
    relay=True,
    free_calls=("GET /models", "GET /api/user/self"),
    note="1K square pictures only; an answer without a picture is billed. Its GPT image and FLUX "
    'models use format = "openai-images" on the same base URL. The balance is told to the '
    "account's own token (balance_key), not to an API key",
)
PRESETS: Final = (
    _CHAT,
    replace(
        _CHAT,
        id="laozhang-native",
        brand="laozhang.ai, Gemini-native route",
        base_url=_HOSTS["api"],
        hosts=_HOSTS,
        format="gemini",
        options={"api_version": "v1beta", "auth": "bearer", "liveness": "gateway_models"},
        free_calls=("GET /v1/models", "GET /api/user/self"),
        note="flat price for any size; an answer without a picture is billed; of free calls only "
        "the list at the root of the host is documented",
    ),
)
