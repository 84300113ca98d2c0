"""Google's ``generateContent`` family as a server: pictures, streams, token counts, models."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from starlette.responses import Response
from starlette.routing import Route

from probes.simulator.faults import FaultKind
from probes.simulator.formats import openai_errors, route
from probes.simulator.picture import PictureOrder
from probes.simulator.wire import json_reply
from probes.simulator.world import Ask, Incoming, World

_T = TypeVar("_T")
_TYPE: Final = "type.googleapis.com/google.rpc."
# Pixels of a 1K picture by aspect ratio.
RATIOS: Final[Mapping[str, tuple[int, int]]] = {
    "1:1": (1024, 1024), "2:3": (848, 1264), "3:2": (1264, 848), "3:4": (896, 1200),
    "4:3": (1200, 896), "4:5": (928, 1152), "5:4": (1152, 928), "9:16": (768, 1376),
    "16:9": (1376, 768), "21:9": (1584, 672),
}  # fmt: skip
SIZES: Final[Mapping[str, float]] = {"512": 0.5, "1K": 1, "2K": 2, "4K": 4}
MODELS: Final = (
    "gemini-3.1-flash-lite-image", "gemini-nano-banana-2.1", "gemini-3-pro-image",
    "gemini-2.5-flash-image", "imagen-4.0-fast-generate-001",
)  # fmt: skip
_FIELDS: Final = frozenset({
    "contents", "generationConfig", "safetySettings", "systemInstruction", "tools", "toolConfig",
    "cachedContent",
})  # fmt: skip
# What a relay answers itself, in its own family's words, before the vendor is asked.
_RELAYED: Final = frozenset({
    FaultKind.AUTH, FaultKind.BILLING, FaultKind.OVERLOADED, FaultKind.SERVER_ERROR,
    FaultKind.RATE_LIMITED, FaultKind.QUOTA_EXHAUSTED, FaultKind.NOT_ENTITLED,
})  # fmt: skip
_ERRORS: Final[Mapping[FaultKind, tuple[int, str, str]]] = {
    FaultKind.AUTH: (400, "INVALID_ARGUMENT", "API key not valid."),
    FaultKind.BAD_REQUEST: (400, "INVALID_ARGUMENT", "Request contains an invalid argument."),
    FaultKind.BILLING: (402, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted."),
    FaultKind.MODEL_GONE: (
        404, "NOT_FOUND", "models/{model} is not found for API version {version}."
    ),
    FaultKind.SERVER_ERROR: (500, "INTERNAL", "An internal error has occurred."),
    FaultKind.OVERLOADED: (503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
}  # fmt: skip
_TOKENS: Final = 1120


class Gemini:
    """
    The dialect and its routes for one account.

    Attributes:
        free_tier: The key belongs to a project without billing: limits are named after it.
        relay: A gateway speaks it, with Bearer keys and its own refusals.
    """

    def __init__(
        self, world: World, account: str, *, free_tier: bool = False, relay: bool = False
    ) -> None:
        """Speak for *account*."""
        self.world, self.account = world, account
        self.free_tier, self.relay = free_tier, relay

    def routes(self) -> list[Route]:
        """Return the routes; a relay serves only what it passes on."""
        versions = ("v1beta",) if self.relay else ("v1", "v1beta")
        table = [
            ("POST", "models/{model}:generateContent", self.generate),
            ("POST", "models/{model}:streamGenerateContent", self.stream),
            ("POST", "models/{model}:countTokens", self.count_tokens),
            ("GET", "models", self.list_models),
            ("GET", "models/{model}", self.get_model),
        ]
        return [
            route(self.world, self.account, method, f"/{version}/{path}", handler)
            for version in versions
            for method, path, handler in table
        ]

    # The dialect

    def key(self, incoming: Incoming) -> str | None:
        """Return the key from the header, a relay's from the Bearer header too."""
        key = incoming.headers.get("x-goog-api-key") or incoming.query.get("key")
        return key or (incoming.bearer if self.relay else None)

    def no_key(self, ask: Ask) -> Response:
        """Answer a caller nobody knows."""
        if self.relay:
            return openai_errors.relay_refusal(ask, FaultKind.AUTH)
        message = "Method doesn't allow unregistered callers. Please use an API key."
        return error(403, "PERMISSION_DENIED", message)

    def refuse(self, ask: Ask, kind: FaultKind) -> Response:
        """Answer a trouble in Google's words, a relay's own troubles in the relay's."""
        if self.relay and kind in _RELAYED:
            return openai_errors.relay_refusal(ask, kind)
        empty = empty_answer(ask, kind)
        if empty is not None:
            return json_reply(empty, headers=headers(ask))
        return refusal(ask, kind, free_tier=self.free_tier)

    def deliver(self, ask: Ask, order: PictureOrder, image: bytes) -> Response:
        """Answer with the picture, as one event when the caller streams."""
        body = picture_answer(ask, order, image)
        if ":stream" not in ask.incoming.path:
            return json_reply(body, headers=headers(ask))
        opening = candidate_answer(ask, {"content": {"role": "model", "parts": [{"text": ""}]}})
        events = "".join(f"data: {json.dumps(event)}\n\n" for event in (opening, body))
        return Response(events, media_type="text/event-stream")

    # Handlers

    async def generate(self, incoming: Incoming) -> Response:
        """Draw a picture."""
        return await self.world.generate(read_ask(incoming), self)

    stream = generate

    async def count_tokens(self, incoming: Incoming) -> Response:
        """Count words, which is near enough."""
        ask = read_ask(incoming)
        count = len(ask.prompt.split())
        details = [{"modality": "TEXT", "tokenCount": count}]
        answer = json_reply({"totalTokens": count, "promptTokensDetails": details})
        return await self.world.free(ask, self, answer)

    async def list_models(self, incoming: Incoming) -> Response:
        """List the models, in pages."""
        listed, token = page(MODELS, incoming.query)
        answer = json_reply({"models": [model(name) for name in listed], **token})
        return await self.world.free(bare_ask(incoming), self, answer)

    async def get_model(self, incoming: Incoming) -> Response:
        """Describe one model."""
        answer = json_reply(model(incoming.params["model"]))
        return await self.world.free(bare_ask(incoming), self, answer)


def bare_ask(incoming: Incoming) -> Ask:
    """Return an ask for a call that carries no prompt."""
    return Ask(
        incoming=incoming, model=incoming.params.get("model", ""), prompt="", size=RATIOS["1:1"]
    )


def read_ask(incoming: Incoming, body: Mapping[str, Any] | None = None) -> Ask:
    """Read a generateContent request; what is wrong with it ends in ``refusal``."""
    body = incoming.body if body is None else body
    name = incoming.params.get("model", "")
    config = _mapping(body.get("generationConfig"))
    picture = _mapping(config.get("imageConfig"))
    ratio, scale = picture.get("aspectRatio", "1:1"), picture.get("imageSize", "1K")
    unknown = sorted(body.keys() - _FIELDS)
    refusal = ""
    if unknown:
        refusal = f"Unknown name {unknown[0]!r}: Cannot find field."
    elif not prompt_of(body):
        refusal = "contents is not specified."
    elif ratio not in RATIOS or scale not in SIZES:
        refusal = f"Invalid value for image_config: {ratio!r}, {scale!r}."
    elif "imageSize" in picture and name.startswith("gemini-2.5"):
        refusal = "Unknown name 'imageSize' at 'generation_config.image_config'."
    width, height = RATIOS.get(str(ratio), (1024, 1024))
    factor = SIZES.get(str(scale), 1)
    return Ask(
        incoming=incoming,
        model=name,
        prompt=prompt_of(body),
        size=(int(width * factor), int(height * factor)),
        refusal=refusal,
    )


def prompt_of(body: Mapping[str, Any]) -> str:
    """Return the text of all parts; empty when there is none."""
    contents = body.get("contents")
    parts = [
        part.get("text", "")
        for content in (contents if isinstance(contents, list) else [])
        if isinstance(content, dict) and isinstance(content.get("parts"), list)
        for part in content["parts"]
        if isinstance(part, dict)
    ]
    return " ".join(text for text in parts if isinstance(text, str))


def headers(ask: Ask) -> dict[str, str]:
    """Return the headers Google adds, with the time its side took in ms."""
    took = int(ask.decision.latency_s * 1000)
    return {"server-timing": f"gfet4t7; dur={took}", "x-content-type-options": "nosniff"}


def encoded(ask: Ask, image: bytes) -> str:
    """Return *image* in base64, broken when the plan says so."""
    text = base64.b64encode(image).decode()
    # Characters outside the alphabet and a length no decoder accepts.
    return f"!{text[:-3]}*" if ask.decision.kind is FaultKind.BAD_BASE64 else text


def picture_answer(ask: Ask, order: PictureOrder, image: bytes) -> dict[str, Any]:
    """Return the body of a good answer."""
    inline = {"inlineData": {"mimeType": order.mime, "data": encoded(ask, image)}}
    content = {"role": "model", "parts": [inline]}
    return candidate_answer(ask, {"content": content, "finishReason": "STOP"}, _TOKENS)


def candidate_answer(ask: Ask, candidate: dict[str, Any], tokens: int = 0) -> dict[str, Any]:
    """Return a body with one candidate that cost *tokens* image tokens."""
    asked = len(ask.prompt.split())
    usage: dict[str, Any] = {
        "promptTokenCount": asked,
        "candidatesTokenCount": tokens,
        "totalTokenCount": asked + tokens,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": asked}],
    }
    if tokens:
        usage["candidatesTokensDetails"] = [{"modality": "IMAGE", "tokenCount": tokens}]
    return {
        "candidates": [{**candidate, "index": 0}],
        "usageMetadata": usage,
        "modelVersion": ask.model,
        "responseId": ask.request_id,
    }


def empty_answer(ask: Ask, kind: FaultKind) -> dict[str, Any] | None:
    """Return the body of a 200 that holds no picture; None when *kind* is no such answer."""
    if kind is FaultKind.NO_IMAGE:
        return candidate_answer(ask, {"finishReason": "NO_IMAGE"})
    if kind is FaultKind.POLICY_BLOCKED:
        message = "The generated image was filtered out."
        blocked = {"finishReason": "IMAGE_SAFETY", "finishMessage": message}
        return candidate_answer(ask, blocked)
    if kind is FaultKind.TEXT_ONLY:
        content = {"role": "model", "parts": [{"text": "Here is what I would draw."}]}
        return candidate_answer(ask, {"content": content, "finishReason": "STOP"})
    return None


def error(
    code: int, status: str, message: str, details: Sequence[Mapping[str, Any]] = ()
) -> Response:
    """Return an error in Google's shape."""
    body: dict[str, Any] = {"code": code, "message": message, "status": status}
    if details:
        body["details"] = list(details)
    return json_reply({"error": body}, code)


def refusal(ask: Ask, kind: FaultKind, *, free_tier: bool) -> Response:
    """Return Google's error for *kind*."""
    if kind in {FaultKind.RATE_LIMITED, FaultKind.QUOTA_EXHAUSTED, FaultKind.NOT_ENTITLED}:
        return quota_failure(ask, kind, free_tier=free_tier)
    code, status, message = _ERRORS[kind]
    message = message.format(model=ask.model, version=ask.incoming.path.split("/")[2])
    details: list[dict[str, Any]] = []
    if kind is FaultKind.AUTH:
        reason = {"reason": "API_KEY_INVALID", "domain": "googleapis.com"}
        details = [{"@type": f"{_TYPE}ErrorInfo", **reason}]
    elif kind is FaultKind.BAD_REQUEST:
        message = ask.refusal or message
        violation = {"field": "generation_config", "description": message}
        details = [{"@type": f"{_TYPE}BadRequest", "fieldViolations": [violation]}]
    return error(code, status, message, details)


def quota_failure(ask: Ask, kind: FaultKind, *, free_tier: bool) -> Response:
    """Return the 429 that names the quota and, for limits that pass, when to come back."""
    period = "Minute" if kind is FaultKind.RATE_LIMITED else "Day"
    limit = 0 if kind is FaultKind.NOT_ENTITLED else ask.decision.limit or 1
    tier = "-FreeTier" if free_tier else ""
    metric = "generate_content_free_tier_requests" if free_tier else "generate_requests_per_model"
    metric = f"generativelanguage.googleapis.com/{metric}"
    violation = {
        "quotaMetric": metric,
        "quotaId": f"GenerateRequestsPer{period}PerProjectPerModel{tier}",
        "quotaDimensions": {"location": "global", "model": ask.model},
        "quotaValue": str(limit),
    }
    details: list[dict[str, Any]] = [{"@type": f"{_TYPE}QuotaFailure", "violations": [violation]}]
    message = f"You exceeded your current quota. Metric: {metric}, limit: {limit}."
    wait = ask.decision.retry_after_s
    if wait is not None:
        message += f" Please retry in {wait:.3f}s."
        details.append({"@type": f"{_TYPE}RetryInfo", "retryDelay": f"{wait:.3f}s"})
    return error(429, "RESOURCE_EXHAUSTED", message, details)


def model(name: str) -> dict[str, Any]:
    """Return the description of a model."""
    methods = ["generateContent", "countTokens", "batchGenerateContent"]
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": name.replace("-", " ").title(),
        "inputTokenLimit": 65_536,
        "outputTokenLimit": 32_768,
        "supportedGenerationMethods": ["predict"] if name.startswith("imagen") else methods,
    }


def page(items: Sequence[_T], query: Mapping[str, str]) -> tuple[Sequence[_T], dict[str, str]]:
    """Return one page of *items*, and the token of the next page as a field if there is one."""
    size, start = (query.get("pageSize", ""), query.get("pageToken", ""))
    begin = int(start) if start.isdecimal() else 0
    end = begin + (int(size) if size.isdecimal() and int(size) else 50)
    return items[begin:end], ({"nextPageToken": str(end)} if end < len(items) else {})


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
