"""Virtual months of batch jobs through the real engine: late results, days-long windows, states."""

from __future__ import annotations

from random import Random

import pytest

from monitor.core.batch import finished, not_done
from monitor.core.snapshot import State
from monitor.core.spec import Objective, Policy, PoolSpec
from monitor.engine import Engine, Past
from probes.batch import BatchJob, BatchState
from probes.model import ErrorClass, Picture, ProbeKind, ProbeResult
from tests.support.builders import NOW, a_job, a_result, a_spec

DAY = 86_400.0
INTERVAL_S = 21_600.0
SPEC = a_spec(
    "alpha", interval_s=INTERVAL_S, deadline_s=DAY, is_batch=True, price_usd=0.02,
    claim=Objective(latency_p95_s=DAY),
)  # fmt: skip


def engine(policy: Policy | None = None) -> Engine:
    """An engine over one pool of one batch target."""
    pool = PoolSpec(id="p", targets=("alpha",), slo=Objective(availability=0.9, latency_p95_s=DAY))
    return Engine({"alpha": SPEC}, [pool], policy or Policy())


def result(started_at: float, took_s: float, error: ErrorClass | None = None) -> ProbeResult:
    """What came of the job of the slot at *started_at*."""
    job = a_job(
        probe_id=f"p-{started_at}", created_at=started_at, slot_s=INTERVAL_S,
        deadline_at=started_at + DAY,
    )  # fmt: skip
    ended_at = started_at + took_s
    look = a_result(error, ended_at, probe_id="look", duration_s=1.0)
    if took_s > DAY:
        running = BatchJob(name="b", state=BatchState.RUNNING)
        return not_done(job, look, running, started_at + DAY)
    done = BatchJob(
        name="b", state=BatchState.SUCCEEDED, created_at=started_at, ended_at=ended_at,
        picture=Picture(data=b"x"),
    )  # fmt: skip
    return finished(job, look, done, ended_at + 300.0)


def month(seed: int) -> list[ProbeResult]:
    """Four jobs a day that take minutes to days, in the order in which they ended."""
    rng = Random(seed)
    jobs = [result(NOW + slot * INTERVAL_S, rng.lognormvariate(9.0, 1.2)) for slot in range(120)]
    return sorted(jobs, key=lambda job: job.started_at + job.duration_s)


@pytest.mark.parametrize("seed", range(3))
def test_results_that_come_out_of_order_count_at_their_own_time(seed):
    """A job of yesterday that ends today is yesterday's sample; every job counts once."""
    subject, results = engine(), month(seed)
    for one in results:
        subject.accept(one)
        subject.tick(one.started_at + one.duration_s)
    windows = subject.tick(NOW + 31 * DAY).targets["alpha"].windows

    good = [one.latency_s for one in results if one.latency_s is not None]
    assert ["24h", "7d", "30d"] == list(windows)
    recent = [one for one in results if one.started_at > NOW + DAY]
    assert len(recent) == windows["30d"].n
    assert sum(one.error is None for one in recent) == windows["30d"].good
    assert windows["30d"].quantiles[0.95].value in good


@pytest.mark.parametrize("seed", range(2))
def test_a_restart_among_jobs_changes_nothing(seed):
    """Replaying the rows in the order in which they ended gives the same figures and state."""
    results = month(seed)[:90]
    old = engine()
    for one in results:
        old.accept(one)
    now = results[-1].started_at + results[-1].duration_s + 10
    before = old.tick(now)
    new = engine()
    new.restore(results, Past(totals=before.totals, orders=before.orders))
    after = new.tick(now)

    assert before.targets == after.targets
    assert before.orders == after.orders


def test_a_result_that_took_a_day_is_not_stale_when_it_comes():
    """Its sample is dated by its start; the state lasts from what is then known."""
    subject = engine()
    subject.accept(result(NOW, 0.99 * DAY))

    def state(at: float) -> State:
        return subject.health("alpha", at).state

    stale_at = NOW + 3 * INTERVAL_S + DAY
    assert [State.HEALTHY, State.HEALTHY, State.UNKNOWN] == [
        state(NOW + DAY), state(stale_at), state(stale_at + 1),
    ]  # fmt: skip


def test_expired_jobs_are_the_providers_and_bring_no_extra_job():
    """Two in a row are an outage; a job that confirms would tell no sooner than the next slot's."""
    subject = engine()
    for slot in range(2):
        subject.accept(result(NOW + slot * INTERVAL_S, 2 * DAY))
    view = subject.tick(NOW + 2 * DAY).targets["alpha"]

    assert (State.DOWN, ErrorClass.EXPIRED) == (view.health.state, view.health.error)
    assert 0.0 == view.windows["7d"].provider.value
    assert subject.extra_due("alpha", NOW + 3 * DAY) is None


def test_a_batch_target_without_a_window_of_days_has_the_longest():
    """Compressed time has windows of minutes."""
    subject = engine(Policy(windows={"1m": 60.0, "6m": 360.0}))

    assert ["6m"] == list(subject.tick(NOW).targets["alpha"].windows)


def test_probes_that_are_no_jobs_leave_the_record_alone():
    """A free call of a batch target is no sample of its queue."""
    subject = engine()
    subject.accept(a_result(kind=ProbeKind.LIVENESS))

    assert 0 == subject.tick(NOW + 1).targets["alpha"].windows["24h"].n
