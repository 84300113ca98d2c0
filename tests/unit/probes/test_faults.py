"""Fault plans: reading them, and what a player decides."""

from __future__ import annotations

import dataclasses
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.model import ErrorClass
from probes.simulator.faults import (
    AccountPlan,
    Episode,
    Fault,
    FaultKind,
    FaultPlan,
    Latency,
    PlanError,
)
from probes.simulator.plans import calm_plan, demo_plan
from probes.simulator.player import (
    DAY_S,
    FREE_CALL_S,
    QUICK,
    STRIKES_FREE_CALLS,
    Player,
    quota_period,
)


def player(*, scale: float = 1.0, seed: int = 1, **account: object) -> Player:
    """Return a player of a plan with one account, ``a``."""
    return Player(FaultPlan(seed=seed, scale=scale, accounts={"a": AccountPlan(**account)}))


def episode(kind: FaultKind, start: float, end: float, **fault: object) -> Episode:
    """Return an episode of one fault."""
    return Episode(from_s=start, to_s=end, fault=Fault(kind=kind, **fault))


def kinds(play: Player, times: list[float]) -> list[FaultKind | None]:
    """Return what kind of trouble strikes paid requests at *times*."""
    return [play.decide("a", "m", at).kind for at in times]


BROWN = episode(FaultKind.SERVER_ERROR, 0.0, 1e9, share=0.3)


@given(
    seed=st.integers(0, 2**32),
    calls=st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 1e6), st.booleans()), max_size=30),
)
def test_the_same_seed_and_requests_give_the_same_decisions(seed, calls):
    """A plan replays: no decision depends on anything but the plan and the requests so far."""
    account = AccountPlan(per_minute=3, per_day=20, episodes=(BROWN,))
    plan = FaultPlan(seed=seed, accounts={"a": account, "b": account})

    first, second = Player(plan), Player(plan)

    for name, at, paid in sorted(calls, key=lambda call: call[1]):
        expected = first.decide(name, "m", at, paid=paid)
        assert expected == second.decide(name, "m", at, paid=paid)


def test_another_account_draws_differently():
    """Accounts have draws of their own, so that they do not fail in step."""
    play = Player(FaultPlan())

    latencies = {play.decide(name, "m", 0.0).latency_s for name in ("a", "b", "c")}

    assert len({"a", "b", "c"}) == len(latencies)


def test_free_calls_do_not_shift_the_draws_of_paid_ones():
    """The n-th generation is the same however many liveness calls came before it."""
    alone, mixed = player(), player()
    mixed.decide("a", "m", 0.0, paid=False)

    assert alone.decide("a", "m", 0.0) == mixed.decide("a", "m", 0.0)


def test_latencies_have_the_plans_quantiles():
    """Of 5000 draws the median and the 95th percentile are within 10 % of the plan's."""
    latency, rng = Latency(p50_s=5.0, p95_s=9.0), Random(7)

    drawn = sorted(latency.draw(rng) for _ in range(5000))

    assert pytest.approx(5.0, rel=0.10) == drawn[2499]
    assert pytest.approx(9.0, rel=0.10) == drawn[4749]


@given(st.integers(0, 2**32))
def test_latencies_stay_inside_their_bounds(seed):
    """Clamping holds for every draw."""
    latency = Latency(p50_s=5.0, p95_s=50.0, min_s=4.0, max_s=6.0)

    assert 4.0 <= latency.draw(Random(seed)) <= 6.0


def test_scale_divides_latencies_and_plan_times():
    """At scale 10 an episode of second 100 strikes at second 10, and waits are ten times shorter."""
    real, compressed = player(), player(scale=10.0, episodes=(episode(FaultKind.AUTH, 100, 200),))

    expected = real.decide("a", "m", 0.0).latency_s / 10
    assert pytest.approx(expected) == compressed.decide("a", "m", 0.0).latency_s
    strikes = {9.9: None, 10.0: FaultKind.AUTH, 19.9: FaultKind.AUTH, 20.0: None}
    assert list(strikes.values()) == kinds(compressed, list(strikes))


def test_a_share_strikes_that_part_of_the_requests():
    """A brown-out of 30 % hits about 30 % of 2000 requests."""
    play = player(episodes=(BROWN,))

    struck = sum(kind is not None for kind in kinds(play, [0.0] * 2000))

    assert pytest.approx(600, abs=80) == struck


def test_a_fault_of_one_model_spares_the_others():
    """A fault may be addressed to a model."""
    play = player(episodes=(episode(FaultKind.MODEL_GONE, 0, 10, model="old"),))

    assert FaultKind.MODEL_GONE is play.decide("a", "old", 1.0).kind
    assert play.decide("a", "new", 1.0).kind is None


def test_a_slow_fault_multiplies_the_latency_only():
    """Slow answers are good answers."""
    calm, slow = player(), player(episodes=(episode(FaultKind.SLOW, 0, 10, factor=4.0),))

    decision = slow.decide("a", "m", 1.0)

    assert decision.fault is None
    assert pytest.approx(4 * calm.decide("a", "m", 1.0).latency_s) == decision.latency_s


def test_a_live_fault_comes_before_the_plans():
    """What an operator sets by hand wins over the episodes."""
    play = player(episodes=(episode(FaultKind.OVERLOADED, 0, 10),))
    play.live["a"] = Fault(kind=FaultKind.BLACK)

    assert FaultKind.BLACK is play.decide("a", "m", 1.0).kind


def test_refusals_at_the_door_come_at_once():
    """Refusals do not take the time of a picture; failures of the model do."""
    for kind in (FaultKind.OVERLOADED, FaultKind.SERVER_ERROR):
        play = player(episodes=(episode(kind, 0, 10),), latency=Latency(p50_s=9.0, p95_s=9.0))

        assert (kind in QUICK) == (play.decide("a", "m", 0.0).latency_s <= FREE_CALL_S)


@pytest.mark.parametrize("kind", FaultKind)
def test_free_calls_meet_only_troubles_of_network_and_key(kind):
    """Model troubles leave free calls green; that is why they are no availability."""
    play = player(episodes=(episode(kind, 0, 10),))

    struck = play.decide("a", "m", 0.0, paid=False).kind is not None

    assert (kind in STRIKES_FREE_CALLS) == struck


def test_a_minute_window_slides():
    """The third request within 60 s is refused until the first is 60 s old."""
    play = player(per_minute=2)

    limited = FaultKind.RATE_LIMITED
    assert [None, None, limited, limited, None] == kinds(play, [0.0, 10.0, 20.0, 59.9, 60.0])


def test_a_rate_limited_request_is_told_when_to_come_back():
    """The wait ends when the oldest counted request leaves the window; compressed with the scale."""
    play = player(per_minute=1, scale=10.0)
    play.decide("a", "m", 0.0)

    decision = play.decide("a", "m", 2.0)

    assert (pytest.approx(4.0), 1) == (decision.retry_after_s, decision.limit)
    assert play.decide("a", "m", 2.0 + decision.retry_after_s).kind is None


def test_a_daily_quota_ends_with_its_period():
    """The quota counts from one reset to the next: those of the plan, and every 86 400 s."""
    play = player(per_day=2, quota_resets_s=(100.0,))

    out = FaultKind.QUOTA_EXHAUSTED
    times = [0.0, 1.0, 2.0, 99.0, 100.0, 101.0, 102.0, DAY_S]
    assert [None, None, out, out, None, None, out, None] == kinds(play, times)


def test_others_can_spend_the_quota():
    """A project's other users may use up what is left; the reset brings it back."""
    play = player(per_day=1500, quota_spent_s=(50.0,), quota_resets_s=(110.0,))

    out = FaultKind.QUOTA_EXHAUSTED
    assert [None, out, out, None] == kinds(play, [49.0, 50.0, 109.0, 110.0])
    play = player(per_day=1500, quota_spent_s=(50.0,), quota_resets_s=(110.0,))
    decision = play.decide("a", "m", 60.0)
    assert pytest.approx(50.0) == decision.retry_after_s
    assert pytest.approx(1500) == decision.limit


@given(
    now=st.floats(0, 10 * DAY_S),
    resets=st.lists(st.floats(0, 10 * DAY_S), max_size=5),
)
def test_a_quota_period_holds_the_present(now, resets):
    """A period begins at or before now, ends after it, and lasts a day at most."""
    start, end = quota_period(AccountPlan(quota_resets_s=tuple(resets)), now)

    assert start <= now < end <= start + DAY_S


def test_a_limit_given_as_an_episode_tells_when_it_ends():
    """A scripted exhaustion names the episode's end as the time to come back."""
    play = player(scale=10.0, episodes=(episode(FaultKind.QUOTA_EXHAUSTED, 0, 600),))

    assert pytest.approx(55.0) == play.decide("a", "m", 5.0).retry_after_s


def test_a_live_limit_lasts_a_minute_or_a_day():
    """A limit set by hand has no end of its own: the vendor's period stands in."""
    play = player()
    play.live["a"] = Fault(kind=FaultKind.RATE_LIMITED)

    assert pytest.approx(60.0) == play.decide("a", "m", 5.0).retry_after_s


def test_every_class_that_a_provider_can_cause_is_a_fault():
    """What is missing is done by wire faults, by the picture, or is our own trouble."""
    other = {"timeout", "connection", "protocol", "bad_image", "our_network", "monitor_fault"}

    assert set(ErrorClass) - other == set(FaultKind) & set(ErrorClass)


def test_a_plan_is_read_from_toml(tmp_path):
    """Every key of a plan can be written in a file."""
    path = tmp_path / "plan.toml"
    path.write_text("""
        seed = 7
        scale = 10
        [accounts.gemini]
        latency = { p50_s = 4, p95_s = 8, min_s = 3, max_s = 11 }
        per_minute = 10
        per_day = 1500
        quota_resets_s = [1100]
        quota_spent_s = [500]
        prices_usd = { "*" = 0.04 }
        bills_empty = true
        chat_place = "parts"
        batch_s = 30
        [[accounts.gemini.episodes]]
        from_s = 350
        to_s = 650
        fault = { kind = "html", share = 0.5, status = 502, model = "m", factor = 2, drip_s = 3 }
    """)

    plan = FaultPlan.load(path)

    fault = Fault(kind=FaultKind.HTML, share=0.5, status=502, model="m", factor=2.0, drip_s=3.0)
    expected = AccountPlan(
        latency=Latency(p50_s=4.0, p95_s=8.0, min_s=3.0, max_s=11.0),
        per_minute=10,
        per_day=1500,
        quota_resets_s=(1100.0,),
        quota_spent_s=(500.0,),
        episodes=(Episode(from_s=350.0, to_s=650.0, fault=fault),),
        prices_usd={"*": 0.04},
        bills_empty=True,
        chat_place="parts",
        batch_s=30.0,
    )
    assert FaultPlan(seed=7, scale=10.0, accounts={"gemini": expected}) == plan
    assert pytest.approx(0.04) == plan.account("gemini").price_usd("m")
    assert pytest.approx(0.0) == plan.account("other").price_usd("m")


@pytest.mark.parametrize("plan", [demo_plan(), calm_plan()])
def test_the_shipped_plans_survive_being_written_down(plan):
    """A plan as plain tables is the plan."""
    assert plan == FaultPlan.from_dict(dataclasses.asdict(plan))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ([], "plan: must be a table"),
        ({"sed": 1}, "plan.sed: unknown key; known are seed, scale, accounts"),
        ({"scale": 0}, "plan.scale: must be from 0.001"),
        ({"seed": "x"}, "plan.seed: must be a finite number, got 'x'"),
        ({"seed": True}, "plan.seed: must be a finite number"),
        ({"accounts": []}, "plan.accounts: must be a table"),
        ({"accounts": {"a": 1}}, "accounts.a: must be a table"),
        ({"accounts": {"a": {"latency": {"p50_s": 1}}}}, "accounts.a.latency.p95_s: is missing"),
        ({"accounts": {"a": {"per_day": -1}}}, "accounts.a.per_day: must be from 0"),
        ({"accounts": {"a": {"prices_usd": 1}}}, "accounts.a.prices_usd: must be a table"),
        ({"accounts": {"a": {"bills_empty": 1}}}, "accounts.a.bills_empty: must be true or false"),
        ({"accounts": {"a": {"chat_place": 1}}}, "accounts.a.chat_place: must be a string"),
        ({"accounts": {"a": {"episodes": {}}}}, "accounts.a.episodes: must be a list"),
        ({"accounts": {"a": {"quota_spent_s": ["x"]}}}, "accounts.a.quota_spent_s.0: must be"),
        (
            {"accounts": {"a": {"episodes": [{"from_s": 2, "to_s": 1, "fault": {}}]}}},
            "accounts.a.episodes[0].to_s: must be after from_s = 2, got 1",
        ),
        (
            {"accounts": {"a": {"episodes": [{"from_s": 1, "to_s": 2, "fault": {"kind": "x"}}]}}},
            "accounts.a.episodes[0].fault.kind: unknown fault 'x'; known are overloaded,",
        ),
    ],
)
def test_a_bad_plan_is_refused_with_the_path_of_the_mistake(raw, message):
    """Each mistake names where it is and what is allowed."""
    with pytest.raises(PlanError) as caught:
        FaultPlan.from_dict(raw)

    assert str(caught.value).startswith(message)


def test_a_file_that_is_no_toml_is_refused_by_name(tmp_path):
    """The message names the file."""
    path = tmp_path / "plan.toml"
    path.write_text("seed =")

    with pytest.raises(PlanError, match=r"^plan\.toml: "):
        FaultPlan.load(path)


def test_the_demo_plan_lands_at_its_seconds():
    """At scale 10: outage 35-65, exhausted quota 50-110, slow gateway 70-95; all but the quota again."""
    play = Player(demo_plan())
    over, out = FaultKind.OVERLOADED, FaultKind.QUOTA_EXHAUSTED

    paid = [play.decide("gemini", "m", at).kind for at in (34.9, 35.0, 64.9, 65.0)]
    again = [play.decide("gemini", "m", 3600 + at).kind for at in (34.9, 35.0, 64.9, 65.0)]
    free = [play.decide("gemini-free", "m", at).kind for at in (49.9, 50.0, 109.9, 110.0)]
    slow = [play.decide("laozhang", "m", at).latency_s for at in (69.9, 70.0, 94.9, 95.0)]

    assert [None, over, over, None] == paid == again
    assert [None, out, out, None] == free
    assert max(slow[0], slow[3]) < 1.3 < min(slow[1], slow[2])
    assert FaultKind.RATE_LIMITED not in free


def test_the_demo_plan_keeps_its_latency_promises():
    """The paid API has a p95 under 12 s, every account keeps inside its range."""
    ranges = {"gemini": (3, 12), "gemini-free": (5, 30), "laozhang": (4, 12), "bfl": (2, 6)}
    plan = demo_plan()

    for name, (low, high) in ranges.items():
        latency, rng = plan.account(name).latency, Random(3)
        drawn = sorted(latency.draw(rng) for _ in range(1000))
        assert low <= drawn[0]
        assert drawn[949] < high
