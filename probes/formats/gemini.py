"""Google's ``generateContent``, also as gateways serve it with a bearer key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from probes.classify import POLICY_WORDS, request_id
from probes.complaint import dicts, dig, word
from probes.formats._answer import (
    answer,
    aspect_ratio,
    entries,
    image_bytes,
    off_format,
    refuse,
    segment,
    server_seconds,
)
from probes.formats._free import all_models, amount, no_such_call, one_model, with_balance
from probes.model import (
    Alive,
    Canary,
    ErrorClass,
    Exchange,
    FreeCall,
    Picture,
    Refused,
    Reply,
    Send,
    Target,
)
from probes.ratelimits import header_limits

# Finish reasons of an account that Google has limited for policy, whatever it asks for.
_LIMITED: Final = frozenset({"pup_limited_disabled", "escalation"})
_COUNTED: Final = "A plain red square."
_PAGE: Final = 1000  # The most that one answer may list.


class Gemini:
    """One generateContent call, one picture in the answer."""

    name = "gemini"
    options: Mapping[str, str] = {
        "api_version": "path prefix, v1 (default) or v1beta",
        "auth": "key: x-goog-api-key (default); bearer: Authorization, for gateways",
        "image_size": "imageSize as sent (512, 1K, 2K, 4K) instead of the one the size implies",
        "liveness": "free call: count_tokens (default), get_model, list_models, or gateway_models "
        "(GET /v1/models as relays serve it; their default)",
    }

    def exchange(self, target: Target, canary: Canary) -> Exchange:
        """Ask for the picture and return the last one that is not a thought."""
        url = f"{root(target)}/models/{segment(target.model)}:generateContent"
        reply = yield Send(
            method="POST", url=url, headers=credentials(target), json=request_body(target, canary)
        )
        picture = picture_in(answer(reply, target), reply)
        limits = header_limits(reply, relay=target.relay)
        return replace(picture, server_s=server_seconds(reply), limits=limits)

    def liveness(self, target: Target) -> FreeCall:
        """Count tokens, which reaches the model's own route, or make the free call configured."""
        models = f"{root(target)}/models"
        model, auth = f"{models}/{segment(target.model)}", credentials(target)
        default = "gateway_models" if target.relay else "count_tokens"
        match target.options.get("liveness", default):
            case "count_tokens":
                alive = yield from _count_tokens(target, f"{model}:countTokens", auth)
            case "get_model":
                alive = yield from one_model(target, model, auth, "name")
            case "list_models":
                alive = yield from all_models(
                    target, f"{models}?pageSize={_PAGE}", auth, items="models", name="name"
                )
            case "gateway_models":
                alive = yield from all_models(target, f"{target.base_url}/v1/models", auth)
            case _:
                raise no_such_call("count_tokens", "get_model", "list_models", "gateway_models")
        return (yield from with_balance(target, alive))


def _count_tokens(target: Target, url: str, auth: dict[str, str]) -> FreeCall:
    contents = [{"role": "user", "parts": [{"text": _COUNTED}]}]
    reply = yield Send(method="POST", url=url, headers=auth, json={"contents": contents})
    counted = amount(answer(reply, target).get("totalTokens"))
    if counted is None:
        raise off_format(reply, "an answer without totalTokens")
    return Alive(detail=f"{counted:g} tokens are counted", request_id=request_id(reply))


def root(target: Target) -> str:
    """Return the base URL with the version of the API."""
    return f"{target.base_url}/{segment(str(target.options.get('api_version', 'v1')))}"


def credentials(target: Target) -> dict[str, str]:
    """Return the header with the key."""
    if target.options.get("auth") == "bearer":
        return {"authorization": f"Bearer {target.api_key}"}
    return {"x-goog-api-key": target.api_key}


def request_body(target: Target, canary: Canary) -> dict[str, Any]:
    """Return the request for one picture."""
    image: dict[str, Any] = {"aspectRatio": aspect_ratio(target.size)}
    if size := target.options.get("image_size") or _image_size(target.size):
        image["imageSize"] = str(size)
    return {
        "contents": [{"role": "user", "parts": [{"text": canary.prompt}]}],
        "generationConfig": {"responseModalities": ["IMAGE"], "imageConfig": image},
    }


def picture_in(doc: dict[str, Any], reply: Reply) -> Picture:
    """Return the picture in the answer *doc*, which *reply* is or holds; raises Refused without."""
    entries(doc, "candidates", reply)
    encoded = _last_image(doc)
    if encoded is None:
        raise _without_image(doc, reply)
    return Picture(
        data=image_bytes(encoded, reply),
        model_version=word(doc.get("modelVersion")),
        finish_reason=word(dig(doc, "candidates", 0, "finishReason")),
        request_id=request_id(reply) or word(doc.get("responseId")),
    )


def _image_size(size: tuple[int, int] | None) -> str | None:
    """Return the step nearest to *size* by area; None for 1K, which older models refuse to hear."""
    area = size[0] * size[1] if size else 1024 * 1024
    steps = ((512 * 1024, "512"), (1024 * 2048, None), (2048 * 4096, "2K"))
    return next((step for below, step in steps if area < below), "4K")


def _last_image(doc: dict[str, Any]) -> str | None:
    """Return the base64 of the last picture; thoughts may hold interim ones."""
    found = None
    for part in dicts(dig(doc, "candidates", 0, "content", "parts")):
        data = dig(part, "inlineData", "data") or dig(part, "inline_data", "data")
        if isinstance(data, str) and part.get("thought") is not True:
            found = data
    return found


def _without_image(doc: dict[str, Any], reply: Reply) -> Refused:
    candidate = dig(doc, "candidates", 0)
    blocked = word(dig(doc, "promptFeedback", "blockReason"))
    finish = word(dig(candidate, "finishReason"))
    reason = (finish or "").lower()
    if (blocked and not finish) or reason in POLICY_WORDS:
        error = ErrorClass.POLICY_BLOCKED
    elif reason in _LIMITED:
        error = ErrorClass.NOT_ENTITLED
    else:
        error = ErrorClass.NO_IMAGE
    texts = [part.get("text") for part in dicts(dig(candidate, "content", "parts"))]
    said = word(dig(candidate, "finishMessage")) or next(filter(None, map(word, texts)), None)
    finish = finish or blocked
    return refuse(reply, error, said or f"no image ({finish or 'empty answer'})", finish=finish)
