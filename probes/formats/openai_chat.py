"""OpenAI's ``/chat/completions`` as gateways use it for pictures: they hide in many places."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from probes.classify import POLICY_WORDS, classify_error, request_id
from probes.complaint import dicts, dig, word
from probes.formats._answer import (
    answer,
    entries,
    off_format,
    picture_at,
    refuse,
    server_seconds,
)
from probes.formats._free import all_models, with_balance
from probes.model import (
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
from probes.retry import parse_number

# Links stand at the start; only a data URI makes an answer long, and those are found by slicing:
# a pattern over 20 MB would cost more than the probe measures.
_LINK_TEXT_CHARS: Final = 65_536
# ASCII only, so that a link ends where Chinese punctuation begins; brackets only in pairs.
_URL_CHAR: Final = r"[!#-&*-;=?-\\^_a-~]"
_URL: Final = rf"(https?://(?:{_URL_CHAR}|\({_URL_CHAR}{{0,500}}\)){{1,8000}})"
_MARKDOWN_LINK: Final = re.compile(rf"\]\(\s?<?{_URL}", re.IGNORECASE)
_HTML_IMAGE: Final = re.compile(rf"<img\s[^<>]{{0,500}}?\bsrc\s?=\s?[\"']?{_URL}", re.IGNORECASE)
_ALT_CHARS: Final = 500
_BARE_LINK: Final = re.compile(_URL, re.IGNORECASE)
_IMAGE_PATH: Final = re.compile(r"\.(?:png|jpe?g|webp|gif|avif)$", re.IGNORECASE)
_URI_ENDS: Final = ")\"'<>`"
_BLANKS: Final = " \t\r\n"


class OpenAIChat:
    """One completion whose message holds, wraps or links to a picture."""

    name = "openai-chat"
    options: Mapping[str, str] = {
        "modalities": 'list, for OpenRouter: ["image", "text"]',
        "image_config": 'table, for OpenRouter: { aspect_ratio = "1:1", image_size = "1K" }',
    }

    def exchange(self, target: Target, canary: Canary) -> Exchange:
        """Ask for the picture, fetch it where the answer is a link, and return it."""
        reply = yield Send(
            method="POST",
            url=f"{target.base_url}/chat/completions",
            headers=_auth(target),
            json=_body(target, canary),
        )
        doc = _joined(reply, target) if _is_stream(reply) else answer(reply, target)
        entries(doc, "choices", reply)
        choice = dig(doc, "choices", 0)
        cost = parse_number(dig(doc, "usage", "cost"))
        if (error := dig(choice, "error")) or dig(choice, "finish_reason") == "error":
            raise Refused(classify_error(error, reply, relay=target.relay))
        place = _image_url(dig(choice, "message"))
        if place is None:
            raise _without_image(choice, reply, cost)
        data = yield from picture_at(place, reply)
        return Picture(
            data=data,
            cost_usd=cost,
            model_version=word(doc.get("model")),
            finish_reason=word(dig(choice, "finish_reason")),
            request_id=request_id(reply) or word(doc.get("id")),
            server_s=server_seconds(reply),
            limits=header_limits(reply, relay=target.relay),
        )

    def liveness(self, target: Target) -> FreeCall:
        """Ask for the list of models."""
        alive = yield from all_models(target, f"{target.base_url}/models", _auth(target))
        return (yield from with_balance(target, alive))


def _auth(target: Target) -> dict[str, str]:
    return {"authorization": f"Bearer {target.api_key}"}


def _body(target: Target, canary: Canary) -> dict[str, Any]:
    body: dict[str, Any] = {"model": target.model}
    extras = {k: target.options[k] for k in ("modalities", "image_config") if k in target.options}
    if not extras:
        body["stream"] = False
    return body | {"messages": [{"role": "user", "content": canary.prompt}]} | extras


def _is_stream(reply: Reply) -> bool:
    """Whether a gateway streamed although it was not asked to."""
    return 200 <= reply.status < 300 and reply.body[:200].lstrip().startswith(
        (b"data:", b"event:", b"id:", b"retry:", b":")
    )


def _joined(reply: Reply, target: Target) -> dict[str, Any]:
    """Return a stream's events as the one answer they add up to."""
    texts: list[str] = []
    images: list[Any] = []
    whole: dict[str, Any] = {}
    told: dict[str, Any] = {}
    for line in reply.body.splitlines():
        payload = line.removeprefix(b"data:").strip()
        if not line.startswith(b"data:") or payload == b"[DONE]":
            continue
        try:
            event = json.loads(payload)
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, dict):
            raise off_format(reply, "a stream event is not JSON")
        if event.get("error"):
            raise Refused(classify_error(event, reply, relay=target.relay))
        whole.update({k: v for k, v in event.items() if k != "choices" and v is not None})
        choice = dig(event, "choices", 0)
        for message in (dig(choice, "delta"), dig(choice, "message")):
            content = dig(message, "content")
            texts.append(content if isinstance(content, str) else _texts(content))
            images += dicts(dig(message, "images")) + dicts(content)
        told.update({k: v for k, v in choice.items() if v} if isinstance(choice, dict) else {})
    message = {"content": "".join(texts), "images": images}
    return whole | {"choices": [told | {"message": message}]}


def _image_url(message: Any) -> str | None:
    """Return the data URI or link of a message's picture, from the first place that has one."""
    content = dig(message, "content")
    for part in dicts(dig(message, "images")) + dicts(content):
        url = dig(part, "image_url", "url") or part.get("image_url")
        if isinstance(url, str) and url:
            return url
    text = content if isinstance(content, str) else _texts(content)
    return _data_uri(text) or _link(text[:_LINK_TEXT_CHARS])


def _texts(content: Any) -> str:
    texts = [part.get("text") for part in dicts(content)]
    return "\n".join(text for text in texts if isinstance(text, str))


def _data_uri(text: str) -> str | None:
    start = text.find("data:image/")
    if start < 0:
        return None
    # Inside brackets blanks do not end it: base64 may be wrapped in lines.
    end = len(text)
    for stop in _URI_ENDS if text[max(start - 1, 0)] == "(" else _URI_ENDS + _BLANKS:
        at = text.find(stop, start, end)
        end = at if at >= 0 else end
    uri = text[start:end]
    try:
        uri.encode("ascii")
    except UnicodeEncodeError as foreign:
        return uri[: foreign.start]
    return uri


def _link(text: str) -> str | None:
    """Return an image link; a link to anything else, as refusals carry, is none."""
    for shown in _MARKDOWN_LINK.finditer(text):
        # Looked for backwards: an alternative text may hold brackets, an image starts with "![".
        before = text[max(0, shown.start() - _ALT_CHARS) : shown.start()]
        if "![" in before.rpartition("\n")[2].rpartition("](")[2]:
            return shown[1]
    if tag := _HTML_IMAGE.search(text):
        return tag[1]
    for match in _BARE_LINK.finditer(text):
        link = match[0].rstrip(".,;:!?")
        path = re.split(r"[?#]", link, maxsplit=1)[0]
        if link == text.strip().strip("<>`") or _IMAGE_PATH.search(path):
            return link
    return None


def _without_image(choice: Any, reply: Reply, cost: float | None) -> Refused:
    finish = word(dig(choice, "native_finish_reason")) or word(dig(choice, "finish_reason"))
    reasons = {str(dig(choice, key)).lower() for key in ("finish_reason", "native_finish_reason")}
    blocked = not reasons.isdisjoint(POLICY_WORDS)
    message = dig(choice, "message")
    content = dig(message, "content")
    said = word(content) or word(_texts(content)) or word(dig(message, "refusal"))
    return refuse(
        reply,
        ErrorClass.POLICY_BLOCKED if blocked else ErrorClass.NO_IMAGE,
        said or f"no image ({finish or 'empty answer'})",
        finish=finish,
        cost_usd=cost,
    )
