"""The chat route that relays draw pictures through, in all the places where they put them."""

from __future__ import annotations

import base64
import json
from enum import StrEnum
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from probes.simulator.faults import FaultKind
from probes.simulator.formats import route
from probes.simulator.formats.openai_images import OpenAIDialect
from probes.simulator.picture import PictureOrder
from probes.simulator.wire import json_reply
from probes.simulator.world import Ask, Incoming


class Place(StrEnum):
    """Where the picture is; a model id such as ``gemini-3-pro-image+parts`` asks for one."""

    MARKDOWN = "markdown"
    MARKDOWN_LINK = "link"
    DATA_URI = "data"
    PARTS = "parts"
    IMAGES = "images"


class OpenAIChat(OpenAIDialect):
    """The chat route; it has no size control."""

    def routes(self) -> list[Route]:
        """Return the route."""
        return [
            route(self.world, self.account, "POST", "/v1/chat/completions", self.complete),
        ]

    def refuse(self, ask: Ask, kind: FaultKind) -> Response:
        """Answer a trouble; a model that draws nothing talks."""
        if kind is FaultKind.POLICY_BLOCKED:
            return self._answer(ask, {"content": ""}, "content_filter")
        if kind is FaultKind.NO_IMAGE:
            return self._answer(ask, {"content": None}, "stop")
        if kind is FaultKind.TEXT_ONLY:
            return self._answer(ask, {"content": "I would draw a plain shape for you."}, "stop")
        return super().refuse(ask, kind)

    def deliver(self, ask: Ask, order: PictureOrder, image: bytes) -> Response:
        """Answer with the picture in the place asked for."""
        text = base64.b64encode(image).decode()
        if ask.decision.kind is FaultKind.BAD_BASE64:
            text = f"!{text[:-3]}*"
        uri = f"data:{order.mime};base64,{text}"
        part = {"type": "image_url", "image_url": {"url": uri}}
        place = self._place(ask)
        if place is Place.IMAGES:
            return self._answer(ask, {"content": "", "images": [part]}, "stop")
        if place is Place.PARTS:
            content = [{"type": "text", "text": "Your picture:"}, part]
            return self._answer(ask, {"content": content}, "stop")
        if place is Place.DATA_URI:
            return self._answer(ask, {"content": uri}, "stop")
        if place is Place.MARKDOWN_LINK:
            link = self.world.link(ask, order)
            return self._answer(ask, {"content": f"![image]({link})\n\n[open]({link})"}, "stop")
        return self._answer(ask, {"content": f"![image]({uri})"}, "stop")

    async def complete(self, incoming: Incoming) -> Response:
        """Draw a picture."""
        return await self.world.generate(_read(incoming), self)

    def _place(self, ask: Ask) -> Place:
        wanted = ask.model.partition("+")[2] or self.world.plan.account(self.account).chat_place
        return Place(wanted) if wanted in set(Place) else Place.MARKDOWN

    def _answer(self, ask: Ask, message: dict[str, Any], finish: str) -> Response:
        """Return a completion, as a stream of chunks when asked for."""
        head = {
            "id": f"chatcmpl-{ask.request_id}",
            "created": int(self.world.clock.wall()),
            "model": ask.model,
        }
        if ask.incoming.body.get("stream"):
            return _stream(head, message, finish)
        choice = {
            "index": 0,
            "message": {"role": "assistant", **message},
            "finish_reason": finish,
        }
        asked = len(ask.prompt.split())
        usage = {"prompt_tokens": asked, "completion_tokens": 1120, "total_tokens": asked + 1120}
        body = {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
        return json_reply(body, headers=self.headers(ask))


def _stream(head: dict[str, Any], message: dict[str, Any], finish: str) -> Response:
    """Return the answer as server-sent chunks; a text comes in two halves, as real ones do."""
    content = message.get("content")
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    if isinstance(content, str):
        half = len(content) // 2
        deltas += [{"content": content[:half]}, {"content": content[half:]}]
        message = {name: value for name, value in message.items() if name != "content"}
    deltas.append(message)
    events = []
    for at, delta in enumerate(deltas):
        last = at == len(deltas) - 1
        choice = {"index": 0, "delta": delta, "finish_reason": finish if last else None}
        events.append(json.dumps({**head, "object": "chat.completion.chunk", "choices": [choice]}))
    body = "".join(f"data: {event}\n\n" for event in [*events, "[DONE]"])
    return Response(body, media_type="text/event-stream")


def _read(incoming: Incoming) -> Ask:
    """Read a chat request; the prompt is the text of all user messages."""
    messages = incoming.body.get("messages")
    texts = [
        part
        for message in (messages if isinstance(messages, list) else [])
        if isinstance(message, dict) and message.get("role") == "user"
        for part in _texts(message.get("content"))
    ]
    model = str(incoming.body.get("model", ""))
    return Ask(
        incoming=incoming,
        model=model,
        prompt=" ".join(texts),
        size=(1024, 1024),
        refusal="" if texts and model else "Missing required parameter: 'messages' or 'model'.",
    )


def _texts(content: object) -> list[str]:
    if isinstance(content, str):
        return [content]
    parts = content if isinstance(content, list) else []
    return [str(part["text"]) for part in parts if isinstance(part, dict) and "text" in part]
