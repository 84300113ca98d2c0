"""The demo's market: the providers people buy pictures from, ten times faster than in life."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from monitor.config import Config, parse

# Caps are those of a day and a month at the pace of the demo: an hour of it comes nowhere near them.
# Prices and speeds as a buyer's guide of December 2025 gave them; latencies and the value of a
# second are scaled by ten, so that an afternoon of outages fits into two minutes.
_TEXT: Final = """
[server]
listen = "127.0.0.1:{port}"

[store]
path = "{store}"

[windows]
1m = "1m"
6m = "6m"
24h = "24h"

# The simulator is all there is to reach.
[network]
reference_hosts = ["http://127.0.0.1:{sim}/"]

[spend_cap]
usd_per_month = 250000.0

[judging]
dwell = "5s"
confirm = "500ms"
backoff_max = "10s"
relapse = "1m"

[[providers]]
id = "google"
preset = "google-gemini"
base_url = "http://127.0.0.1:{sim}/gemini"
api_key = {{ env = "IMGMON_DEMO_KEY" }}
liveness = "3s"
spend_cap = {{ usd_per_day = 2500.0 }}

[[providers]]
id = "google-free"
preset = "google-gemini-free"
base_url = "http://127.0.0.1:{sim}/gemini-free"
api_key = {{ env = "IMGMON_DEMO_KEY" }}
liveness = "3s"

[[providers]]
id = "laozhang"
preset = "laozhang"
base_url = "http://127.0.0.1:{sim}/laozhang/v1"
balance_key = {{ env = "IMGMON_DEMO_KEY" }}
api_key = {{ env = "IMGMON_DEMO_KEY" }}
liveness = "3s"
spend_cap = {{ usd_per_day = 2500.0 }}

[[providers]]
id = "openai"
preset = "openai"
base_url = "http://127.0.0.1:{sim}/openai/v1"
api_key = {{ env = "IMGMON_DEMO_KEY" }}
liveness = "3s"
spend_cap = {{ usd_per_day = 2500.0 }}

[[providers]]
id = "bfl"
preset = "bfl"
base_url = "http://127.0.0.1:{sim}/bfl"
api_key = {{ env = "IMGMON_DEMO_KEY" }}
liveness = "3s"
allow_private_downloads = true
spend_cap = {{ usd_per_day = 2500.0 }}

[[targets]]
id = "google-flash"
provider = "google"
model = "gemini-2.5-flash-image"
size = "1024x1024"
price_usd = 0.039
interval = "2500ms"
deadline = "2s"
pools = ["image"]
claim = {{ availability = 0.999, latency_p95 = "1200ms" }}

[[targets]]
id = "google-free"
provider = "google-free"
model = "gemini-2.5-flash-image"
size = "1024x1024"
price_usd = 0.0
interval = "4s"
deadline = "3500ms"
pools = ["image"]

[[targets]]
id = "laozhang-flash"
provider = "laozhang"
model = "gemini-2.5-flash-image"
price_usd = 0.05
interval = "4s"
deadline = "3500ms"
pools = ["image"]
claim = {{ availability = 0.995 }}

[[targets]]
id = "openai-flare"
provider = "openai"
model = "gpt-image-2.5-flare"
size = "1024x1024"
quality = "medium"
price_usd = 0.0132
interval = "4s"
deadline = "3500ms"
pools = ["image"]
claim = {{ availability = 0.99 }}

[[targets]]
id = "flux-max"
provider = "bfl"
model = "flux-2-max"
size = "1024x1024"
price_usd = 0.07
interval = "4s"
deadline = "3500ms"
pools = ["image"]
claim = {{ availability = 0.99, latency_p95 = "700ms" }}

[[routes]]
id = "inbox"
webhook = {{ env = "IMGMON_DEMO_INBOX" }}
group_wait = "2s"

[[pools]]
id = "image"
profile = "fast"
slo = {{ latency_p95 = "1500ms" }}
profiles = [
  {{ name = "cheap", usd_per_second = 0.005 }},
  {{ name = "balanced", usd_per_second = 0.02 }},
  {{ name = "fast", usd_per_second = 0.1 }},
]
"""


def read(port: int, simulator_port: int, store: Path) -> Config:
    """Return the demo's configuration."""
    text = _TEXT.format(port=port, sim=simulator_port, store=store)
    environ = {
        "IMGMON_DEMO_KEY": "demo-key-of-the-simulator",
        "IMGMON_DEMO_INBOX": f"http://127.0.0.1:{simulator_port}/inbox",
    }
    return parse(text, environ, "the demo")


def welcome(port: int, simulator_port: int, log: str) -> str:
    """Return what the demo says before the table."""
    base = f"http://127.0.0.1:{port}"
    return (
        f"daemon      {base}/docs\n"
        f"order       {base}/v1/pools/image/priority\n"
        f"metrics     {base}/metrics\n"
        f"simulator   http://127.0.0.1:{simulator_port} (scripted: outage 35-65 s, slow 70-95 s, again every 300 s)\n"
        f"log         {log}\n"
        "Times run ten times faster than in life. Ctrl-C stops everything.\n"
    )
