"""Google's older ``:predict`` route for the Imagen models as a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response
from starlette.routing import Route

from probes.simulator.faults import FaultKind
from probes.simulator.formats import route
from probes.simulator.formats.gemini import Gemini, encoded, headers
from probes.simulator.picture import PictureOrder
from probes.simulator.wire import json_reply
from probes.simulator.world import Ask, Incoming

_RATIOS: Final[Mapping[str, tuple[int, int]]] = {
    "1:1": (1024, 1024), "3:4": (896, 1280), "4:3": (1280, 896), "9:16": (768, 1408),
    "16:9": (1408, 768),
}  # fmt: skip


class Imagen(Gemini):
    """Imagen beside the Gemini routes of the same host: same keys, same errors."""

    def routes(self) -> list[Route]:
        """Return Gemini's routes and ``:predict``."""
        predict = [
            route(
                self.world,
                self.account,
                "POST",
                f"/{version}/models/{{model}}:predict",
                self.predict,
            )
            for version in ("v1", "v1beta")
        ]
        return predict + super().routes()

    async def predict(self, incoming: Incoming) -> Response:
        """Draw a picture."""
        return await self.world.generate(_read(incoming), _Predict(self.world, self.account))


class _Predict(Gemini):
    """The answers of ``:predict``; errors are Google's."""

    def refuse(self, ask: Ask, kind: FaultKind) -> Response:
        """Answer a trouble; a block says why only when asked to."""
        if kind is FaultKind.POLICY_BLOCKED:
            parameters = ask.incoming.body.get("parameters")
            if not (isinstance(parameters, dict) and parameters.get("includeRaiReason")):
                return json_reply({}, headers=headers(ask))
            reason = "All images were filtered out. Support codes: 11111111"
            return json_reply({"predictions": [{"raiFilteredReason": reason}]})
        if kind in {FaultKind.NO_IMAGE, FaultKind.TEXT_ONLY}:
            return json_reply({"predictions": []}, headers=headers(ask))
        return super().refuse(ask, kind)

    def deliver(self, ask: Ask, order: PictureOrder, image: bytes) -> Response:
        """Answer with the picture and nothing else."""
        prediction = {"mimeType": order.mime, "bytesBase64Encoded": encoded(ask, image)}
        return json_reply({"predictions": [prediction]}, headers=headers(ask))


def _read(incoming: Incoming) -> Ask:
    """Read a predict request."""
    instances: Any = incoming.body.get("instances")
    parameters: Any = incoming.body.get("parameters") or {}
    first = instances[0] if isinstance(instances, list) and instances else {}
    prompt = first.get("prompt", "") if isinstance(first, dict) else ""
    ratio = parameters.get("aspectRatio", "1:1") if isinstance(parameters, dict) else ""
    refusal = "" if prompt and ratio in _RATIOS else "Invalid instances or parameters."
    return Ask(
        incoming=incoming,
        model=incoming.params["model"],
        prompt=str(prompt),
        size=_RATIOS.get(ratio, (1024, 1024)),
        refusal=refusal,
    )
