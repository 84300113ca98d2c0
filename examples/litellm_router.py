"""
A LiteLLM Router that follows the live order: a custom routing strategy. Run with litellm 1.110.2.

    OPENAI_API_KEY=... LAOZHANG_API_KEY=... python examples/litellm_router.py "A red fox" fox.png

Each deployment carries the id of its target as ``model_info.id``. A retry of the router asks again and
is given the next target of the order. LiteLLM judges errors by itself, and nothing is reported.
"""

from __future__ import annotations

import base64
import os
import sys
from pathlib import Path

import httpx
from litellm import Router
from litellm.types.router import CustomRoutingStrategyBase

from monitor.client import PriorityClient

DAEMON = os.environ.get("IMGMON_URL", "http://127.0.0.1:8720")
SERVED = {
    "openai-flare": ("OPENAI", "https://api.openai.com/v1", "openai/gpt-image-2.5-flare"),
    "laozhang-flux": ("LAOZHANG", "https://api.laozhang.ai/v1", "openai/flux-2-pro"),
}


class ByOrder(CustomRoutingStrategyBase):
    """Picks the first target of the order that this request has not tried and that need not wait."""

    def __init__(self, router: Router, client: PriorityClient) -> None:
        """Pick from the deployments of *router*."""
        self.router = router
        self.client = client

    def get_available_deployment(
        self, model, messages=None, input=None, specific_deployment=False, request_kwargs=None
    ):
        """Return a deployment of *model*."""
        del messages, input, specific_deployment
        of_target = {one["model_info"]["id"]: one for one in self.router.get_model_list(model)}
        # The router keeps one dictionary for a request and its retries.
        tried = (request_kwargs or {}).setdefault("metadata", {}).setdefault("imgmon_tried", [])
        order = self.client.order()
        places = [place for place in order.places if place.target in of_target]
        free = [p.target for p in places if p.target not in tried and not order.wait_s(p)]
        target = next(iter(free or [place.target for place in places] or of_target))
        tried.append(target)
        return of_target[target]

    async def async_get_available_deployment(
        self, model, messages=None, input=None, specific_deployment=False, request_kwargs=None
    ):
        """Return a deployment of *model*; nothing here waits."""
        return self.get_available_deployment(
            model, messages, input, specific_deployment, request_kwargs
        )


def router_of(client: PriorityClient) -> Router:
    """Return a router over all served targets that asks *client* whom to call."""
    router = Router(
        model_list=[
            {
                "model_name": "image",
                "litellm_params": {
                    "model": model,
                    "api_key": os.environ[f"{name}_API_KEY"],
                    "api_base": os.environ.get(f"{name}_BASE_URL", base_url),
                    "max_retries": 0,
                },
                "model_info": {"id": target},
            }
            for target, (name, base_url, model) in SERVED.items()
        ],
        num_retries=len(SERVED) - 1,
        retry_after=0,
        disable_cooldowns=True,  # The order knows.
    )
    # Later versions call it register_plugin.
    register = getattr(router, "register_plugin", None) or router.set_custom_routing_strategy
    register(ByOrder(router, client))
    return router


def main(prompt: str, path: Path) -> None:
    """Write the picture of *prompt* to *path*."""
    with PriorityClient(DAEMON, "image", static_order=list(SERVED)) as client:
        client.wait_live(1)
        answer = router_of(client).image_generation(prompt=prompt, model="image")
    image = answer.data[0]
    if image.b64_json:
        path.write_bytes(base64.b64decode(image.b64_json))
    else:
        path.write_bytes(httpx.get(image.url, timeout=60).raise_for_status().content)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
