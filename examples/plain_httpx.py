"""
One picture without an SDK: httpx, and the address and model that the daemon publishes.

    OPENAI_API_KEY=... LAOZHANG_API_KEY=... python examples/plain_httpx.py "A red fox" fox.png

A key goes only to the host it belongs to: an address that the order names and this program does not
know is not called.
"""

from __future__ import annotations

import base64
import os
import sys
from pathlib import Path

import httpx

from monitor.client import AllFailed, Attempt, Failover, NoImage, PriorityClient

DAEMON = os.environ.get("IMGMON_URL", "http://127.0.0.1:8720")
SERVED = {"openai-flare": "OPENAI", "laozhang-flux": "LAOZHANG"}
HOSTS = {"OPENAI": "https://api.openai.com/", "LAOZHANG": "https://api.laozhang.ai/"}


def main(prompt: str, path: Path) -> int:
    """Write the picture of *prompt* to *path*; return 0, or 1 when nobody drew it."""
    with (
        httpx.Client(trust_env=False) as http,
        PriorityClient(
            DAEMON, "image", static_order=list(SERVED), token=os.environ.get("IMGMON_TOKEN")
        ) as client,
    ):

        def draw(attempt: Attempt) -> bytes:
            name = SERVED[attempt.target]
            own = os.environ.get(f"{name}_BASE_URL", HOSTS[name])
            assert attempt.base_url.startswith(own), f"{attempt.base_url} is not for this key"
            answer = http.post(
                f"{attempt.base_url.rstrip('/')}/images/generations",
                headers={"Authorization": f"Bearer {os.environ[f'{name}_API_KEY']}"},
                json={"model": attempt.model, "prompt": prompt, "size": "1024x1024"},
                timeout=attempt.timeout_s,
            )
            answer.raise_for_status()
            for image in answer.json().get("data") or []:
                if image.get("b64_json"):
                    return base64.b64decode(image["b64_json"])
                if image.get("url"):
                    return (
                        http.get(image["url"], timeout=attempt.timeout_s).raise_for_status().content
                    )
            raise NoImage

        client.wait_live(1)
        try:
            path.write_bytes(Failover(client, targets=SERVED).call(draw))
        except AllFailed as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], Path(sys.argv[2])))
