"""OpenAI's ``/images/generations`` and everything that answers like it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from probes.classify import request_id
from probes.complaint import dig
from probes.formats._answer import (
    answer,
    entries,
    image_bytes,
    off_format,
    picture_at,
    refuse,
    segment,
    server_seconds,
)
from probes.formats._free import all_models, no_such_call, one_model, with_balance
from probes.model import Canary, ErrorClass, Exchange, FreeCall, Picture, Send, Target
from probes.ratelimits import header_limits
from probes.retry import parse_number

_PASSED_ON: Final[Mapping[str, str]] = {
    "output_format": "png, jpeg or webp; GPT image models only",
    "moderation": "low or auto; GPT image models only",
    "output_compression": "0 to 100, for jpeg and webp",
    "response_format": "b64_json or url; GPT image models refuse it",
    "background": "opaque, transparent or auto",
}


class OpenAIImages:
    """One call, one item in ``data``: base64 or a link."""

    name = "openai-images"
    options: Mapping[str, str] = {
        **_PASSED_ON,
        "liveness": "free call: get_model (default, tells the shutdown day) or list_models "
        "(default of relays)",
    }

    def exchange(self, target: Target, canary: Canary) -> Exchange:
        """Ask for the picture, fetch it where the answer is a link, and return it."""
        reply = yield Send(
            method="POST",
            url=f"{target.base_url}/images/generations",
            headers=_auth(target),
            json=_body(target, canary),
        )
        doc = answer(reply, target)
        cost = parse_number(dig(doc, "usage", "cost"))
        if dig(doc, "task_id") or dig(doc, "data", "task_id"):
            raise off_format(reply, "an asynchronous task instead of an image")
        item = dig(entries(doc, "data", reply), 0)
        encoded, link = dig(item, "b64_json"), dig(item, "url")
        if isinstance(encoded, str) and encoded:
            data = image_bytes(encoded, reply)
        elif isinstance(link, str) and link:
            data = yield from picture_at(link, reply)
        elif dig(item, "task_id"):
            raise off_format(reply, "an asynchronous task instead of an image")
        else:
            raise refuse(
                reply, ErrorClass.NO_IMAGE, "data holds no image" if item else "data is empty",
                cost_usd=cost,
            )  # fmt: skip
        return Picture(
            data=data,
            cost_usd=cost,
            request_id=request_id(reply),
            server_s=server_seconds(reply),
            limits=header_limits(reply, relay=target.relay),
        )

    def liveness(self, target: Target) -> FreeCall:
        """Ask for the model's description, or for the list of models where it is a relay's."""
        models, auth = f"{target.base_url}/models", _auth(target)
        match target.options.get("liveness", "list_models" if target.relay else "get_model"):
            case "get_model":
                alive = yield from one_model(
                    target, f"{models}/{segment(target.model)}", auth, "id"
                )
            case "list_models":
                alive = yield from all_models(target, models, auth)
            case _:
                raise no_such_call("get_model", "list_models")
        return (yield from with_balance(target, alive))


def _auth(target: Target) -> dict[str, str]:
    return {"authorization": f"Bearer {target.api_key}"}


def _body(target: Target, canary: Canary) -> dict[str, Any]:
    body: dict[str, Any] = {"model": target.model, "prompt": canary.prompt, "n": 1}
    if target.size:
        body["size"] = f"{target.size[0]}x{target.size[1]}"
    if target.quality:
        body["quality"] = target.quality
    return body | {key: target.options[key] for key in _PASSED_ON if key in target.options}
