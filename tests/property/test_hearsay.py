"""Laws of what clients' reports say of a target: who is believed, how much, and for how long."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.hearsay import HORIZON_S, NOTHING, Hearing, answer_due, demoted
from monitor.core.sketch import Sketch
from monitor.core.snapshot import Health, State
from monitor.core.spec import Policy
from monitor.core.tallies import MINUTE_S, Count, Counts, Key, Tally, rolled_up
from probes.model import ErrorClass, Outcome

AT = 1_800_000_000.0  # The start of a minute.
POLICY = Policy()
OVERLOADED, TIMEOUT = ErrorClass.OVERLOADED, ErrorClass.TIMEOUT
BAD = sorted(error for error in ErrorClass if error.outcome is Outcome.BAD)
NOT_BAD = sorted(error for error in ErrorClass if error.outcome not in (Outcome.BAD, Outcome.GOOD))

tellings = st.lists(
    st.tuples(
        st.sampled_from(["shop", "blog", "app", "bot"]),
        st.floats(0, 2 * HORIZON_S),
        st.sampled_from([None, None, OVERLOADED, TIMEOUT, ErrorClass.AUTH]),
    ),
    max_size=60,
)
canaries = st.none() | st.floats(0, 2 * HORIZON_S).map(lambda s: AT + s)


def by_minute(client: str, said: Iterable[tuple[float, ErrorClass | None]]) -> Counts:
    """What *client* said (seconds after a moment, error) by minute, as the store counts it."""
    found: dict[Key, Count] = {}
    for at, error in said:
        key = key_of(client, AT + at, error)
        n, newest_at = found.get(key, Count(0, 0.0))
        found[key] = Count(n + 1, max(newest_at, AT + at))
    return found


def key_of(client: str, at: float, error: ErrorClass | None) -> Key:
    """What a report is counted under."""
    minute = int(at // MINUTE_S) * MINUTE_S
    return Key(MINUTE_S, minute, "alpha", client, error.value if error else "")


def told(*tellings: tuple[str, float, ErrorClass | None], batch: int = 1) -> Hearing:
    """What was heard of *tellings* (client, seconds, error), so many in a body."""
    hearing = Hearing()
    for first in range(0, len(tellings), batch):
        part = tellings[first : first + batch]
        for client in dict.fromkeys(name for name, _, _ in part):
            one = [(at, error) for name, at, error in part if name == client]
            for key, said in by_minute(client, one).items():
                hearing.tell(key, said)
    return hearing


def alone(client: str, *errors: ErrorClass | None, at: float = 0) -> Iterable[tuple]:
    """One request of *client* a second from *at* on."""
    return [(client, at + second, error) for second, error in enumerate(errors)]


@given(tellings, st.randoms(), st.integers(1, 9), canaries, st.floats(0, 2 * HORIZON_S))
def test_the_order_and_the_bodies_in_which_reports_come_change_nothing(
    tellings, rng, batch, good_at, now
):
    """So a restart that reads their sums hears the same; looks in between leave no trace either."""
    one = told(*tellings)
    shuffled = list(tellings)
    rng.shuffle(shuffled)
    other = told(*shuffled[: len(shuffled) // 2], batch=batch)
    other.listen(AT + now, good_at)
    for client, at, error in shuffled[len(shuffled) // 2 :]:
        for key, said in by_minute(client, [(at, error)]).items():
            other.tell(key, said)

    assert one.listen(AT + now, good_at) == other.listen(AT + now, good_at)


@given(tellings, st.floats(0, 2 * HORIZON_S))
def test_a_good_canary_answers_all_that_failed_before_it(tellings, now):
    """Nothing but a later failure accuses again."""
    newest = max((at for _, at, error in tellings if error in BAD), default=0.0)
    heard = told(*tellings).listen(AT + now, AT + newest)

    assert heard.accusation is None


@given(tellings, canaries)
def test_an_accusation_is_of_the_last_hour_and_of_failures_that_no_canary_answered(
    tellings, good_at
):
    """Older ones say nothing of now."""
    now = AT + 2 * HORIZON_S
    accusation = told(*tellings).listen(now, good_at).accusation

    if accusation is not None:
        assert now - HORIZON_S - MINUTE_S < accusation.at <= now
        assert good_at is None or accusation.at > good_at
        assert accusation.since <= accusation.at
        assert 0 < accusation.bad <= accusation.n
        assert accusation.error in BAD


@given(st.lists(st.tuples(st.floats(0, 600), st.sampled_from(NOT_BAD)), max_size=50))
def test_what_concerns_a_client_alone_is_no_evidence(failures):
    """Its key, its quota, its request, its prompt: nobody else meets them."""
    hearing = told(*(("shop", at, error) for at, error in failures))

    assert NOTHING == hearing.listen(AT + 600, None)


@given(st.integers(1, 400), st.integers(2, 5), st.sampled_from(BAD))
def test_a_client_that_fails_while_others_succeed_demotes_nobody(failures, others, error):
    """However much it sends: it has one vote, and is named."""
    fine = [(f"fine-{n}", float(n), None) for n in range(others)]
    hearing = told(*fine, *(("shop", 5 + n / 10, error) for n in range(failures)))

    assert (None, ("shop",)) == _of(hearing.listen(AT + 59, None))


def _of(heard):
    return heard.accusation, heard.alone


@given(st.integers(0, 30))
def test_canaries_that_answer_accusations_become_rare(answered):
    """The first answer comes at once, each further one waits twice as long, up to the back-off."""
    hearing = told(*(("shop", float(MINUTE_S * n), OVERLOADED) for n in range(answered + 1)))
    newest = AT + MINUTE_S * answered
    accusation = hearing.listen(newest, newest - 1).accusation
    due = answer_due(accusation, newest - 1, POLICY)

    assert answered == accusation.answered
    if answered == 0:
        assert newest == due
    else:
        delay_s = min(POLICY.confirm_s * 2 ** (answered - 1), POLICY.backoff_max_s)
        assert due == max(newest, newest - 1 + delay_s)


def test_one_failure_of_the_only_client_accuses_at_once():
    """A monitor that waits for more pictures to fail is no use to this client."""
    accusation = told(*alone("shop", OVERLOADED)).listen(AT + 1, AT - 600).accusation

    assert (("shop",), OVERLOADED, 1, 1) == (
        accusation.clients, accusation.error, accusation.bad, accusation.n,
    )  # fmt: skip
    assert AT == answer_due(accusation, None, POLICY)


def test_one_failure_among_many_pictures_says_nothing():
    """Providers are like that; the error rate is in the figures."""
    hearing = told(*alone("shop", None, None, None, OVERLOADED))

    assert NOTHING == hearing.listen(AT + 10, None)


def test_a_burst_of_failures_outweighs_the_pictures_of_the_minutes_before():
    """Three in one minute, half of it: a busy client must not need minutes to be heard."""
    fine = [("shop", float(n), None) for n in range(100)]
    hearing = told(*fine, *alone("shop", OVERLOADED, TIMEOUT, OVERLOADED, at=180))
    accusation = hearing.listen(AT + 190, None).accusation

    assert (OVERLOADED, 3) == (accusation.error, accusation.bad)


def test_two_of_four_clients_are_enough_and_one_of_two_is_not():
    """Half of those that called it, at least two."""
    four = told(
        ("a", 0, OVERLOADED), ("b", 1, OVERLOADED), ("c", 2, None), ("d", 3, None)
    )  # fmt: skip
    two = told(("a", 0, OVERLOADED), ("c", 2, None))

    assert ("a", "b") == four.listen(AT + 10, None).accusation.clients
    assert (None, ("a",)) == _of(two.listen(AT + 10, None))


def test_who_fails_by_older_requests_alone_accuses_nobody_now():
    """What failed is judged in the minute in which it did."""
    hearing = told(("a", 0, OVERLOADED), ("a", 1, OVERLOADED), ("b", 61, OVERLOADED), ("b", 62, None),
                   ("b", 63, None), ("b", 64, None))  # fmt: skip

    assert AT == hearing.listen(AT + 70, None).accusation.since


def test_failures_that_a_canary_answered_do_not_help_later_ones():
    """Of a minute after it only what failed after it counts."""
    old = alone("shop", *[OVERLOADED] * 20)
    new = alone("shop", OVERLOADED, None, None, None, at=120)

    assert told(*old, *new).listen(AT + 130, None).accusation is not None
    assert NOTHING == told(*old, *new).listen(AT + 130, AT + 30)


def test_an_accusation_lasts_since_the_first_of_its_minutes():
    """A minute without a failure begins another one; one without a report does not."""
    pause = told(*alone("shop", OVERLOADED), *alone("shop", OVERLOADED, at=180))
    calm = told(*alone("shop", OVERLOADED), *alone("shop", None, None, at=60),
                *alone("shop", *[TIMEOUT] * 3, at=180))  # fmt: skip

    assert AT == pause.listen(AT + 200, None).accusation.since
    assert AT + 180 == calm.listen(AT + 200, None).accusation.since


def test_what_is_old_is_forgotten():
    """Two hours on, nothing of it is kept."""
    hearing = told(*alone("shop", OVERLOADED))
    hearing.forget(AT + HORIZON_S)
    assert hearing.listen(AT, None).accusation is not None
    hearing.forget(AT + 3 * HORIZON_S)

    assert NOTHING == hearing.listen(AT, None)


@pytest.mark.parametrize("state", State)
def test_only_a_healthy_target_is_demoted_and_only_to_suspect(state):
    """Of all other states canaries know better; the words say who said so and how often."""
    health = Health(state=state, since=AT - 60)
    one = told(*alone("shop", OVERLOADED, None)).listen(AT + 5, None).accusation
    two = told(("a", 0, TIMEOUT), ("b", 1, TIMEOUT)).listen(AT + 5, None).accusation
    shown = demoted(health, one, AT + 5)

    assert health == demoted(health, None, AT)
    if state is not State.HEALTHY:
        assert health == shown
        return
    assert (State.SUSPECT, OVERLOADED, AT) == (shown.state, shown.error, shown.since)
    assert shown.detail.startswith("1 of 2 requests of client shop failed since ")
    assert demoted(health, two, AT).detail.startswith("2 of 2 requests of 2 clients failed since ")


@given(
    st.lists(
        st.tuples(st.sampled_from(["shop", "blog"]), st.floats(-90_000, 0),
                  st.sampled_from([None, None, TIMEOUT]), st.none() | st.floats(0, 300)),
        max_size=40,
    )
)  # fmt: skip
def test_sums_of_all_spans_are_sums_of_the_same_reports(rows):
    """However they are grouped; of failures no latency is counted."""
    minutes: dict[Key, Tally] = {}
    for client, at, error, latency_s in rows:
        told = [] if error or latency_s is None else [latency_s]
        one = Tally(1, round(sum(told) * 1e6), Sketch(told))
        minutes.setdefault(key_of(client, AT + at, error), Tally()).add(one)
    sums = rolled_up(minutes)
    pictures = [latency_s for _, _, error, latency_s in rows if error is None and latency_s]
    for span_s in (60, 3600, 86_400, 0):
        of = {key: tally for key, tally in sums.items() if key.span_s == span_s}
        assert len(rows) == sum(tally.n for tally in of.values())
        assert all(key.at % span_s == 0 if span_s else key.at == 0 for key in of)
        assert abs(sum(t.latency_us for t in of.values()) - sum(pictures) * 1e6) <= len(rows)
        assert all(tally.latency.n == 0 for key, tally in of.items() if key.error)


def test_a_daemon_that_runs_for_hours_holds_no_more_than_two_of_them():
    """A minute is let go once nothing can be heard of it, however long clients report."""
    hearing = Hearing()
    for minute in range(400):
        at = minute * MINUTE_S
        for key, said in by_minute("shop", [(at, None)]).items():
            hearing.tell(key, said)
        hearing.listen(AT + at, None)

    assert hearing.minutes <= 2 * HORIZON_S / MINUTE_S + 1
