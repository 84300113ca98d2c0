"""OpenAI's images route and model list as a server; relays speak it with their own refusals."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response
from starlette.routing import Route

from probes.simulator.faults import FaultKind
from probes.simulator.formats import route
from probes.simulator.formats.openai_errors import bad_parameter, openai_refusal, relay_refusal
from probes.simulator.picture import MIME, PictureOrder
from probes.simulator.wire import json_reply
from probes.simulator.world import Ask, Incoming, World

SIDE_MAX: Final = 4096
_SIZE: Final = re.compile(r"([1-9]\d{1,3})x([1-9]\d{1,3})")
_CREATED: Final = 1_788_000_000
_TOKENS: Final = 196  # Of one small picture in low quality.
# Model and the date it is shut down, as published; the values are the simulator's own.
MODELS: Final[Mapping[str, str | None]] = {
    "gpt-image-2.6-flare": None,
    "gpt-image-2.5-flare": None,
    "gpt-image-1.5": "2026-12-01",
    "gpt-image-1-mini": "2026-12-01",
}
RELAY_MODELS: Final[Mapping[str, str | None]] = {
    "gemini-3-pro-image": None,
    "gemini-3.1-flash-lite-image": None,
    "gemini-2.5-flash-image": None,
    "gpt-image-2.6-flare-vip": None,
    "flux-2-pro": None,
}


class OpenAIDialect:
    """Keys, refusals and headers of the family, for one account."""

    def __init__(self, world: World, account: str, *, relay: bool = False) -> None:
        """Speak for *account*."""
        self.world, self.account, self.relay = world, account, relay

    def key(self, incoming: Incoming) -> str | None:
        """Return the Bearer key."""
        return incoming.bearer

    def no_key(self, ask: Ask) -> Response:
        """Answer a caller without a key: as a bad one."""
        return self.refuse(ask, FaultKind.AUTH)

    def refuse(self, ask: Ask, kind: FaultKind) -> Response:
        """Answer a trouble that every route of the family answers alike."""
        return relay_refusal(ask, kind) if self.relay else openai_refusal(ask, kind)

    def headers(self, ask: Ask) -> dict[str, str]:
        """Return the headers of a good answer; a relay adds none."""
        if self.relay:
            return {}
        return {
            "x-request-id": f"req_{ask.request_id}",
            "openai-version": "2020-10-01",
            "openai-processing-ms": str(int(ask.decision.latency_s * 1000)),
            # Of a high tier: no plan limits a minute so, and the demo's minutes are short.
            "x-ratelimit-limit-requests": "5000",
            "x-ratelimit-remaining-requests": "4999",
            "x-ratelimit-reset-requests": "12ms",
        }


class OpenAIImages(OpenAIDialect):
    """The images route and the free calls beside it."""

    def routes(self) -> list[Route]:
        """Return the routes."""
        table = [
            ("POST", "/v1/images/generations", self.generate),
            ("GET", "/v1/models", self.list_models),
            ("GET", "/v1/models/{model:path}", self.get_model),
        ]
        if self.relay:
            table.append(("GET", "/api/user/self", self.balance))
        return [
            route(self.world, self.account, method, path, handler)
            for method, path, handler in table
        ]

    def refuse(self, ask: Ask, kind: FaultKind) -> Response:
        """Answer a trouble; here no picture is an empty list, as no words fit in."""
        if kind in {FaultKind.NO_IMAGE, FaultKind.TEXT_ONLY}:
            return json_reply({"created": self._now(), "data": []}, headers=self.headers(ask))
        return super().refuse(ask, kind)

    def deliver(self, ask: Ask, order: PictureOrder, image: bytes) -> Response:
        """Answer with the picture or, for models that do so, a link to it."""
        body: dict[str, Any] = {"created": self._now()}
        if _by_link(ask):
            body["data"] = [{"url": self.world.link(ask, order)}]
            return json_reply(body, headers=self.headers(ask))
        text = base64.b64encode(image).decode()
        if ask.decision.kind is FaultKind.BAD_BASE64:
            text = f"!{text[:-3]}*"
        body["data"] = [{"b64_json": text}]
        if _is_gpt(ask.model):
            asked = len(ask.prompt.split())
            body |= {
                "background": "opaque",
                "output_format": order.format,
                "quality": ask.incoming.body.get("quality", "medium"),
                "size": f"{order.size[0]}x{order.size[1]}",
                "usage": {
                    "input_tokens": asked,
                    "input_tokens_details": {"image_tokens": 0, "text_tokens": asked},
                    "output_tokens": _TOKENS,
                    "output_tokens_details": {"image_tokens": _TOKENS, "text_tokens": 0},
                    "total_tokens": asked + _TOKENS,
                },
            }
        return json_reply(body, headers=self.headers(ask))

    async def generate(self, incoming: Incoming) -> Response:
        """Draw one picture."""
        ask = _read(incoming)
        if self.key(incoming) and "response_format" in incoming.body and _is_gpt(ask.model):
            message = "Unknown parameter: 'response_format'."
            return bad_parameter("response_format", "unknown_parameter", message)
        return await self.world.generate(ask, self)

    async def list_models(self, incoming: Incoming) -> Response:
        """List the models, each with its shutdown date."""
        models = RELAY_MODELS if self.relay else MODELS
        listed = [_model(name, date) for name, date in models.items()]
        answer = json_reply({"object": "list", "data": listed})
        return await self.world.free(_bare(incoming), self, answer)

    async def get_model(self, incoming: Incoming) -> Response:
        """Describe one model."""
        name = incoming.params["model"]
        answer = json_reply(_model(name, MODELS.get(name)))
        return await self.world.free(_bare(incoming), self, answer)

    async def balance(self, incoming: Incoming) -> Response:
        """Tell a relay's balance to a caller with the account's own token."""
        meter = self.world.meter(self.account)
        used = int(meter.billed_usd * 500_000)  # The family counts in 1/500 000 USD.
        data = {
            "quota": 5_000_000 - used,
            "used_quota": used,
            "request_count": meter.generations,
            "group": "default",
        }
        answer = json_reply({"success": True, "message": "", "data": data})
        return await self.world.free(_bare(incoming), _Console(), answer)

    def _now(self) -> int:
        return int(self.world.clock.wall())


class _Console:
    """How a relay's own pages know their users: by a token that is sent without Bearer."""

    def key(self, incoming: Incoming) -> str | None:
        """Return the token."""
        return incoming.headers.get("authorization")

    def refuse(self, ask: Ask, kind: FaultKind) -> Response:
        """Refuse in the words of the pages; nothing but the token is ever wrong here."""
        del ask, kind
        return json_reply({"success": False, "message": "access token is invalid"}, 401)

    def no_key(self, ask: Ask) -> Response:
        """Answer a caller without a token."""
        return self.refuse(ask, FaultKind.AUTH)


def _read(incoming: Incoming) -> Ask:
    """Read an images request; what is wrong with it ends in ``refusal``."""
    body = incoming.body
    size = body.get("size") or "auto"
    match = _SIZE.fullmatch("1024x1024" if size == "auto" else str(size))
    width, height = (int(match[1]), int(match[2])) if match else (1024, 1024)
    form = str(body.get("output_format") or "png")
    refusal = ""
    if not body.get("prompt") or not body.get("model"):
        refusal = "Missing required parameter: 'prompt' or 'model'."
    elif match is None or max(width, height) > SIDE_MAX:
        refusal = f"Invalid size '{size}'."
    elif form not in MIME:
        refusal = f"Invalid value: '{form}'. Supported here: {', '.join(MIME)}."
    elif body.get("n", 1) != 1 or body.get("stream"):
        refusal = "The simulator draws one picture per request and does not stream it."
    return Ask(
        incoming=incoming,
        model=str(body.get("model", "")),
        prompt=str(body.get("prompt", "")),
        size=(width, height),
        format=form if form in MIME else "png",
        refusal=refusal,
    )


def _bare(incoming: Incoming) -> Ask:
    model = incoming.params.get("model", "")
    return Ask(incoming=incoming, model=model, prompt="", size=(1024, 1024))


def _is_gpt(model: str) -> bool:
    return model.startswith(("gpt-image", "chatgpt-image"))


def _by_link(ask: Ask) -> bool:
    """Whether the model answers with a link: FLUX always, DALL-E unless asked for base64."""
    asked = ask.incoming.body.get("response_format")
    return ask.model.startswith("flux") or (ask.model.startswith("dall-e") and asked != "b64_json")


def _model(name: str, shutdown: str | None) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": _CREATED,
        "owned_by": "system",
        "shutdown_date": shutdown,
    }
