"""Fault plans that ship with the program: the market of the demo, and a calm one for tests."""

from __future__ import annotations

from probes.simulator.faults import AccountPlan, Episode, Fault, FaultKind, FaultPlan, Latency

# List prices a picture in USD, read 2026-11-22 at the vendors' price pages; the demo's bills only.
_GOOGLE_USD = {"*": 0.039, "gemini-3-pro-image": 0.134, "gemini-3.1-flash-lite-image": 0.0336}
_GATEWAY_USD = {"*": 0.05, "gemini-3-pro-image": 0.09, "gemini-3.1-flash-lite-image": 0.025}


# The demo's outage and slow period begin anew after so many plan seconds, for a day of demo at a
# scale of 10: who opens a dashboard an hour later sees them too.
_AGAIN_S = 3_000
_TIMES = 288


def demo_plan(scale: float = 10.0, seed: int = 1) -> FaultPlan:
    """
    Return the market a newcomer sees: one outage, one slow period, one exhausted quota.

    Times are plan seconds: at a *scale* of 10 the outage runs from second 35 to 65 of the demo,
    the slow period from 70 to 95, and again every 300 seconds; the free tier has no quota from 50
    to 110.
    """
    paid = Latency(p50_s=5.0, p95_s=7.8, min_s=3.0, max_s=11.5)
    gateway = AccountPlan(
        latency=Latency(p50_s=6.3, p95_s=9.4, min_s=4.0, max_s=12.0),
        prices_usd=_GATEWAY_USD,
        bills_empty=True,
        episodes=_episodes(700, 950, Fault(kind=FaultKind.SLOW, factor=4.0)),
    )
    return FaultPlan(
        seed=seed,
        scale=scale,
        accounts={
            "gemini": AccountPlan(
                latency=paid,
                per_minute=100,
                prices_usd=_GOOGLE_USD,
                episodes=_episodes(350, 650, Fault(kind=FaultKind.OVERLOADED)),
            ),
            "gemini-free": AccountPlan(
                latency=Latency(p50_s=12.0, p95_s=26.0, min_s=5.0, max_s=30.0),
                per_minute=10,
                per_day=1_500,
                quota_spent_s=(500.0,),
                quota_resets_s=(1_100.0,),
            ),
            "imagen": AccountPlan(latency=paid, prices_usd={"*": 0.02}),
            "openai": AccountPlan(
                latency=Latency(p50_s=9.8, p95_s=11.7, min_s=8.0, max_s=14.0),
                prices_usd={"*": 0.0059},
            ),
            "laozhang": gateway,
            "laozhang-vip": gateway,
            "laozhang-2": gateway,
            "bfl": AccountPlan(
                latency=Latency(p50_s=3.1, p95_s=4.7, min_s=2.0, max_s=6.0),
                prices_usd={"*": 0.03, "flux-2-klein-4b": 0.014},
            ),
        },
    )


def calm_plan(seed: int = 1) -> FaultPlan:
    """Return a plan without trouble in which answers take a millisecond."""
    quick = AccountPlan(latency=Latency(p50_s=0.001, p95_s=0.001), batch_s=0.001)
    names = (
        "gemini", "gemini-free", "imagen", "openai", "laozhang", "laozhang-vip", "laozhang-2", "bfl",
    )  # fmt: skip
    return FaultPlan(seed=seed, accounts=dict.fromkeys(names, quick))


def _episodes(from_s: float, to_s: float, fault: Fault) -> tuple[Episode, ...]:
    begins = (turn * _AGAIN_S for turn in range(_TIMES))
    return tuple(Episode(from_s=at + from_s, to_s=at + to_s, fault=fault) for at in begins)
