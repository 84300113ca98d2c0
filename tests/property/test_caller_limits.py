"""Laws of an order within a caller's limits, and of waiting for it to change."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.api.encode import Encoder, priority_key
from monitor.api.holds import Seats
from monitor.api.limits import Limits, limited, limited_body
from monitor.api.polling import changed
from monitor.api.schemas import IdsOut, PriorityOut
from monitor.core.snapshot import Snapshot, Totals
from monitor.core.spec import PROFILES, Policy
from monitor.core.spend import Spending
from monitor.publisher import Published, Publisher
from monitor.steps import at_once
from tests.support.builders import NOW, a_pool, a_spec, a_view, an_order
from tests.support.strategies import views

NAMES = ("a", "b", "c", "d")
NUMBER = r"(\d+(?:\.\d+)?)"


def snapshot_of(fleet, order, version=1):
    """What is published of one order."""
    return Snapshot(
        version=version,
        made_at=NOW,
        stale_after=NOW + 30,
        targets=fleet,
        orders={("pool", order.profile.name): order},
        totals=Totals(),
        spending=Spending(),
    )


@st.composite
def asked(draw):
    """(published, order, limits): an order of up to four targets, and anything asked of it."""
    names = NAMES[: draw(st.integers(1, 4))]
    fleet = {name: draw(views(name)) for name in names}
    profile = draw(st.sampled_from(PROFILES))
    order = an_order(a_pool(*names), profile, fleet, None, NOW, Policy())
    limits = Limits(
        max_price_usd=draw(st.none() | st.floats(0, 0.3)),
        max_p95_s=draw(st.none() | st.floats(0, 40)),
        exclude=draw(st.frozensets(st.sampled_from([*NAMES, "acme", "nobody"]), max_size=3)),
    )
    snapshot = snapshot_of(fleet, order)
    return Published(snapshot, at_once(Encoder()(snapshot))), order, limits


def is_within(place, limits):
    """Whether a place is within the limits, told a second way."""
    return not (
        {place.target, "acme"} & limits.exclude
        or (limits.max_price_usd is not None and place.price_usd > limits.max_price_usd)
        or (
            limits.max_p95_s is not None
            and (place.latency_p95_s is None or place.latency_p95_s > limits.max_p95_s)
        )
    )


@settings(max_examples=100)
@given(drawn=asked())
def test_limits_leave_out_and_never_reorder_nor_leave_nobody(drawn):
    """Those within, in the order they had and ranked from 1; without any, somebody all the same."""
    current, order, limits = drawn
    found = limited(current, order, limits)
    within = [place.target for place in order.places if is_within(place, limits)]
    wanted = [place.target for place in order.places]
    listed = [place.target for place in found.order.places]

    assert listed
    assert list(range(1, len(listed) + 1)) == [place.rank for place in found.order.places]
    assert bool(within) == found.are_met
    assert listed == [target for target in wanted if target not in found.left_out]
    if found.are_met:
        assert within == listed
    elif not found.left_out:
        assert listed == wanted
    else:
        assert not {"acme", *listed} & limits.exclude
    assert (order.version, order.changed_at) == (found.order.version, found.order.changed_at)


@settings(max_examples=100)
@given(drawn=asked())
def test_why_a_target_is_left_out_is_true(drawn):
    """The numbers of a sentence compare as it says, and are those of the target or the caller."""
    current, order, limits = drawn
    places = {place.target: place for place in order.places}
    for target, reason in limited(current, order, limits).left_out.items():
        found = re.search(rf"{NUMBER}(?: s)? > \$?{NUMBER}", reason.text)
        if found is not None:
            assert float(found[1]) > float(found[2])
        if reason.code == "max_price":
            assert limits.max_price_usd == float(found[2])
            assert places[target].price_usd == float(found[1])
        elif reason.code == "max_p95" and found is not None:
            assert limits.max_p95_s == float(found[2])
        elif reason.code == "max_p95":
            assert places[target].latency_p95_s is None
        else:
            assert {target, "acme"} & limits.exclude


@settings(max_examples=50)
@given(drawn=asked())
def test_a_limited_answer_is_the_published_one_but_for_what_is_listed(drawn):
    """Both views fit the schema, say the same, and differ from the published bytes in nothing else."""
    current, order, limits = drawn
    full, ids = (json.loads(limited_body(current, order, limits, v).data) for v in ("full", "ids"))
    key = priority_key("pool", order.profile.name, "full")
    published = json.loads(current.bodies[key].data)
    apart = {"targets", "all_degraded", "limits", "limits_met", "left_out"}

    assert full == PriorityOut.model_validate(full, extra="forbid").model_dump(by_alias=True)
    assert ids == IdsOut.model_validate(ids, extra="forbid").model_dump(by_alias=True)
    assert [place["target"] for place in full["targets"]] == ids["targets"]
    assert full["limits_met"] == ids["limits_met"]
    assert {k: v for k, v in published.items() if k not in apart} == {
        k: v for k, v in full.items() if k not in apart
    }


async def deaf():
    """A client that never hangs up."""
    await asyncio.Event().wait()


@settings(max_examples=50)
@given(
    steps=st.lists(st.sampled_from(["wait", "publish", "same", "turn"]), min_size=1, max_size=20)
)
def test_no_change_is_missed_however_waiting_and_publishing_interleave(steps):
    """Whoever waits on a version that is not the last one is woken; a tick without a change wakes none."""
    fleet = {"a": a_view(a_spec("a"))}
    order = an_order(a_pool("a"), PROFILES[1], fleet, None, NOW, Policy())
    key = ("pool", order.profile.name)

    async def play():
        publisher, seats = Publisher(Encoder()), Seats(100)
        publisher.publish(snapshot_of(fleet, order))
        version, waiters = order.version, []
        for step in steps:
            if step == "wait":
                waiting = changed(
                    publisher, key, version, seats=seats, receive=deaf, seconds=3_600.0
                )
                waiters.append((version, asyncio.create_task(waiting)))
            elif step == "turn":
                await asyncio.sleep(0)
            else:
                version += step == "publish"
                publisher.publish(snapshot_of(fleet, replace(order, version=version)))
        late = [task for waited_on, task in waiters if waited_on == version]
        woken = [task for waited_on, task in waiters if waited_on != version]
        # The limit only turns a hang into a failure.
        results = await asyncio.wait_for(asyncio.gather(*woken), 20)
        for _ in range(3):
            await asyncio.sleep(0)
        still = [task.done() for task in late]
        seats.close()
        await asyncio.gather(*late)
        return results, still, seats.taken

    results, still, taken = asyncio.run(play())

    assert all(results)
    assert not any(still)
    assert 0 == taken


@pytest.mark.anyio
async def test_a_full_house_does_not_wait():
    """Beyond the seats a waiter is told so at once, and a seat that is left is there again."""
    publisher, seats = Publisher(Encoder()), Seats(1)
    with seats.seat() as first:
        refused = await changed(
            publisher, ("pool", "fast"), 1, seats=seats, receive=deaf, seconds=3_600.0
        )
    again = await changed(publisher, ("pool", "fast"), 1, seats=seats, receive=deaf, seconds=0.0)

    assert first is not None
    assert (False, True) == (refused, again)
