"""Google's ``:predict`` for Imagen; shut down at Google in August 2026, alive behind gateways."""

from __future__ import annotations

from collections.abc import Mapping

from probes.complaint import dicts, word
from probes.formats._answer import (
    answer,
    aspect_ratio,
    entries,
    image_bytes,
    refuse,
    segment,
    server_seconds,
)
from probes.formats._free import one_model
from probes.model import Canary, ErrorClass, Exchange, FreeCall, Picture, Send, Target
from probes.ratelimits import header_limits


class Imagen:
    """One predict call, one prediction in the answer."""

    name = "imagen"
    options: Mapping[str, str] = {"api_version": "path prefix, v1beta (default) or v1"}

    def exchange(self, target: Target, canary: Canary) -> Exchange:
        """Ask for the picture and return the first prediction that holds one."""
        reply = yield Send(
            method="POST",
            url=f"{_model_url(target)}:predict",
            headers={"x-goog-api-key": target.api_key},
            json={
                "instances": [{"prompt": canary.prompt}],
                "parameters": {
                    "sampleCount": 1,
                    "aspectRatio": aspect_ratio(target.size),
                    # Without it a filtered picture is a bare {} that nobody can tell from a fault.
                    "includeRaiReason": True,
                },
            },
        )
        predictions = dicts(entries(answer(reply, target), "predictions", reply))
        for prediction in predictions:
            encoded = prediction.get("bytesBase64Encoded")
            if isinstance(encoded, str) and encoded:
                data = image_bytes(encoded, reply)
                return Picture(
                    data=data,
                    server_s=server_seconds(reply),
                    limits=header_limits(reply, relay=target.relay),
                )
        reasons = [word(prediction.get("raiFilteredReason")) for prediction in predictions]
        if reason := next(filter(None, reasons), None):
            raise refuse(reply, ErrorClass.POLICY_BLOCKED, reason, finish="raiFilteredReason")
        raise refuse(reply, ErrorClass.NO_IMAGE, "no prediction holds an image")

    def liveness(self, target: Target) -> FreeCall:
        """Ask for the model's description."""
        auth = {"x-goog-api-key": target.api_key}
        return (yield from one_model(target, _model_url(target), auth, "name"))


def _model_url(target: Target) -> str:
    version = segment(str(target.options.get("api_version", "v1beta")))
    return f"{target.base_url}/{version}/models/{segment(target.model)}"
