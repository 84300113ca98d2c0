"""
One picture from whichever route to Gemini is first now: the official ``google-genai`` package.

    GEMINI_API_KEY=... LAOZHANG_API_KEY=... python examples/google_genai.py "A red fox" fox.png

A relay that speaks Gemini's own protocol is called with the same client, at its own address.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from google import genai
from google.genai import types

from monitor.client import AsyncPriorityClient, Attempt, Failover, NoImage

DAEMON = os.environ.get("IMGMON_URL", "http://127.0.0.1:8720")
SERVED = {
    "google-flash": (
        "GEMINI",
        "https://generativelanguage.googleapis.com",
        "gemini-3.1-flash-image",
    ),
    "laozhang-native": ("LAOZHANG", "https://api.laozhang.ai", "gemini-3.1-flash-image"),
}


def client_of(target: str, timeout_s: float) -> genai.Client:
    """Return a client for *target*; it wants its time limit in milliseconds, when it is made."""
    name, base_url, _ = SERVED[target]
    base_url = os.environ.get(f"{name}_BASE_URL", base_url)
    key = os.environ[f"{name}_API_KEY"]
    options = types.HttpOptions(
        base_url=base_url,
        api_version="v1beta",  # The one that relays know too.
        timeout=max(1, int(timeout_s * 1000)),
        headers={"Authorization": f"Bearer {key}"} if name != "GEMINI" else None,
    )
    return genai.Client(api_key=key, http_options=options)


async def main(prompt: str, path: Path) -> None:
    """Write the picture of *prompt* to *path*."""

    async def draw(attempt: Attempt) -> bytes:
        async with client_of(attempt.target, attempt.timeout_s).aio as google:
            answer = await google.models.generate_content(
                model=SERVED[attempt.target][2],
                contents=prompt,
                config=types.GenerateContentConfig(response_modalities=["IMAGE"]),
            )
        for candidate in answer.candidates or []:
            for part in (candidate.content and candidate.content.parts) or []:
                if part.inline_data and part.inline_data.data:
                    return part.inline_data.data
        raise NoImage

    async with AsyncPriorityClient(
        DAEMON, "image", static_order=list(SERVED), token=os.environ.get("IMGMON_TOKEN")
    ) as client:
        await client.wait_live(1)
        picture = await Failover(client, targets=SERVED).acall(draw)
    await asyncio.to_thread(path.write_bytes, picture)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
