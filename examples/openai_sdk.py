"""
One picture from whichever OpenAI-compatible provider is first now: the official ``openai`` package.

    OPENAI_API_KEY=... LAOZHANG_API_KEY=... python examples/openai_sdk.py "A red fox in the snow" fox.png

Each target that this program can serve has a client of its own: the daemon says which one to call,
never where to send a key.
"""

from __future__ import annotations

import base64
import os
import sys
from pathlib import Path

import httpx
import openai

from monitor.client import Attempt, Failover, NoImage, PriorityClient

DAEMON = os.environ.get("IMGMON_URL", "http://127.0.0.1:8720")
# Target id in imgmon's configuration: who serves it, and under which name.
SERVED = {
    "openai-flare": ("OPENAI", "https://api.openai.com/v1", "gpt-image-2.5-flare"),
    "laozhang-flux": ("LAOZHANG", "https://api.laozhang.ai/v1", "flux-2-pro"),
}


def clients() -> dict[str, openai.OpenAI]:
    """Return a client for each target; no retries: the next provider is the retry."""
    return {
        target: openai.OpenAI(
            api_key=os.environ[f"{name}_API_KEY"],
            base_url=os.environ.get(f"{name}_BASE_URL", base_url),
            max_retries=0,
        )
        for target, (name, base_url, _) in SERVED.items()
    }


def main(prompt: str, path: Path) -> None:
    """Write the picture of *prompt* to *path*."""
    sdks = clients()

    def draw(attempt: Attempt) -> bytes:
        answer = sdks[attempt.target].images.generate(
            model=SERVED[attempt.target][2],
            prompt=prompt,
            size="1024x1024",
            timeout=attempt.timeout_s,
        )
        image = answer.data[0] if answer.data else None
        if image is not None and image.b64_json:
            return base64.b64decode(image.b64_json)
        if image is not None and image.url:
            # A link needs no key, and its host may not be shown one.
            return httpx.get(image.url, timeout=attempt.timeout_s).raise_for_status().content
        raise NoImage

    with PriorityClient(
        DAEMON, "image", static_order=list(SERVED), token=os.environ.get("IMGMON_TOKEN")
    ) as client:
        client.wait_live(1)  # A script asks once; a service would not wait.
        failover = Failover(client, targets=SERVED, deadline_s=180, attempt_deadline_s=90)
        path.write_bytes(failover.call(draw))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
