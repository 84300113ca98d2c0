"""An order is taken whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.client.disk import Disk
from monitor.client.held import Held, Told
from monitor.client.order import Decision, OrderError, Place, Source, read_order, static_places
from monitor.clock import ManualClock
from tests.support.orders import a_place, an_order

PATHS = [
    *[(key,) for key in ("schema", "pool", "profile", "version", "valid_until", "targets")],
    *[
        ("targets", 0, key)
        for key in ("target", "provider", "model", "base_url", "state", "usable", "retry_at")
    ],
]


def read(document: object) -> Decision:
    """What the client makes of *document*."""
    return read_order(json.dumps(document).encode(), "image", None)


def told(clock: ManualClock, **changes: object) -> Told:
    """An order that a daemon confirmed just now, whose clock is right."""
    body = json.dumps(an_order("alpha", "beta", **changes)).encode()
    ahead_s = clock.wall() - clock.monotonic()
    return Told(
        decision=read_order(body, "image", None),
        body=body,
        etag='"tag"',
        confirmed_at=clock.monotonic(),
        server_ahead_s=ahead_s,
    )


def test_a_good_order_is_read_in_full():
    """Ids, addresses, states, figures and reasons; what is unknown to this version is ignored."""
    decision = read(an_order("alpha", "beta", version=7, new_key={"deep": [1]}))

    assert (7, "balanced", False) == (decision.version, decision.profile, decision.all_degraded)
    first = decision.places[0]
    assert ("alpha", "alpha-model", "https://alpha.example") == (
        first.target, first.model, first.base_url,
    )  # fmt: skip
    assert (True, 0.04, 8.9, "cheap") == (
        first.usable, first.price_usd, first.latency_p95_s, first.reason,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schema": 2}, "schema 2"),
        ({"pool": "other"}, "pool 'other'"),
        ({"targets": []}, "no list of 1 to 2000"),
        ({"targets": [a_place()] * 2}, "listed twice"),
        ({"targets": [a_place()] * 2001}, "no list of 1 to 2000"),
        ({"targets": [a_place(), {}]}, "usable of target None"),
        ({"targets": ["alpha"]}, "no JSON object"),
        ({"targets": [a_place("../etc")]}, "letters, digits"),
        ({"targets": [a_place(usable=1)]}, "not true or false"),
        ({"targets": [a_place(model="m" * 2001)]}, "not a text"),
        ({"targets": [a_place(retry_at="soon")]}, "not an order"),
        ({"targets": [a_place(retry_at="2026-11-25T00:00:00")]}, "no zone"),
        ({"targets": [a_place(price_usd="free")]}, "not a number"),
        ({"targets": [a_place(price_usd=float("nan"))]}, "NaN is no JSON"),
        ({"version": True}, "not a whole number"),
        ({"valid_until": 17}, "not a text"),
    ],
)
def test_an_order_that_is_wrong_anywhere_is_refused_with_what_is_wrong(changes, words):
    """One bad field of one place is enough: half an order would be one that nobody decided."""
    with pytest.raises(OrderError, match=words.replace("'", ".")):
        read(an_order(**changes))


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>gone</html>", b'{"schema":1', b"[]", b"null", b"\xff\xfe", b"[" * 100_000,
     b'{"schema":1,"pool":"image"}', json.dumps(an_order()).encode()[:-30]],
)  # fmt: skip
def test_what_is_no_order_at_all_is_refused(body):
    """HTML, cut and empty bodies, other JSON, and JSON too deep to read."""
    with pytest.raises(OrderError):
        read_order(body, "image", None)


def test_another_profile_than_asked_is_refused():
    """A cache on the way must not mix two questions."""
    with pytest.raises(OrderError, match="asked was 'fast'"):
        read_order(json.dumps(an_order()).encode(), "image", "fast")


@given(
    st.sampled_from(PATHS),
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.lists(st.integers())),
)
def test_a_field_of_any_value_is_read_or_refused_as_an_order(path, value):
    """Whatever stands anywhere, nothing but OrderError comes out, and ids are always ids."""
    document = an_order("alpha", "beta")
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    try:
        decision = read(document)
    except OrderError:
        return
    assert decision.places
    assert all(isinstance(place.target, str) and place.target for place in decision.places)


@given(st.binary(max_size=300))
def test_no_bytes_but_an_order_are_taken(body):
    """Noise is refused."""
    with pytest.raises(OrderError):
        read_order(body, "image", None)


def test_a_static_order_takes_ids_and_places_and_refuses_what_could_never_be_called():
    """Each target once, the first mention counts."""
    beta = Place(target="beta", model="m")

    assert ("alpha", "beta") == tuple(p.target for p in static_places(["alpha", beta, "alpha"]))
    assert "m" == static_places([beta])[0].model
    for wrong in ([], "alpha", ["no spaces"], [7]):
        with pytest.raises(ValueError, match=r"static_order|letters"):
            static_places(wrong)


def test_the_order_says_where_it_comes_from_and_how_old_it_is():
    """Static, live, memory when it is not answered or overdue, each with its age."""
    clock = ManualClock()
    held = Held("image", static_places(["beta"]), clock, overdue_s=40.0)
    assert (Source.STATIC, None, ("beta",)) == (
        held.order().source, held.order().age_s, held.order().targets,
    )  # fmt: skip

    held.confirm(told(clock))
    clock.advance(30)
    assert (Source.LIVE, 30.0) == (held.order().source, held.order().age_s)
    clock.advance(20)
    assert Source.MEMORY is held.order().source
    held.renew(at=clock.monotonic(), server_ahead_s=0.0, valid_until=None)
    assert (Source.LIVE, 0.0) == (held.order().source, held.order().age_s)
    held.is_answered = False
    assert Source.MEMORY is held.order().source


def test_a_stale_or_expired_order_is_used_and_says_so():
    """The daemon's own word, or its clock past ``valid_until``; a 304 may move that."""
    clock = ManualClock()
    held = Held("image", static_places(["beta"]), clock, overdue_s=40.0)
    held.confirm(told(clock, stale=True))
    assert (True, ("alpha", "beta")) == (held.order().is_stale, held.order().targets)

    held.confirm(told(clock, valid_until="2026-01-01T00:00:00.000Z"))
    assert held.order().is_stale
    ahead_s = clock.wall() - clock.monotonic()
    held.renew(at=0.0, server_ahead_s=ahead_s, valid_until=clock.wall() + 10)
    assert not held.order().is_stale
    clock.advance(11)
    assert held.order().is_stale


def test_retry_times_hold_by_the_daemons_clock_whatever_ours_says():
    """Our wall clock is an hour wrong and steps meanwhile: what is left of the wait is right."""
    clock = ManualClock(wall=0.0)  # 1970.
    retry_at = "2026-11-25T12:01:00.000Z"
    order = told(clock, targets=[a_place("alpha", retry_at=retry_at)])
    noon = 1_795_608_000.0
    held = Held("image", static_places(["beta"]), clock, overdue_s=40.0)
    held.confirm(order)
    held.renew(at=0.0, server_ahead_s=noon - clock.monotonic(), valid_until=None)
    clock.step(9e8)
    clock.advance(20)

    order = held.order()
    assert 40.0 == order.wait_s(order.places[0])
    clock.advance(41)
    assert 0.0 == held.order().wait_s(order.places[0])


def disk(folder: Path, **changes: str) -> Disk:
    """The file of pool image."""
    return Disk(folder, changes.get("url", "http://a"), "image", changes.get("profile"))


def test_the_next_process_reads_what_this_one_was_told(tmp_path):
    """With its true age and the daemon's clock; the file is ours alone to read."""
    first, second = ManualClock(wall=1000.0, monotonic=50.0), ManualClock(1300.0, monotonic=7.0)
    order = told(first)
    disk(tmp_path / "new" / "folder").save(order, first)

    again = disk(tmp_path / "new" / "folder").load(second)
    held = Held("image", static_places(["beta"]), second, overdue_s=40.0)
    held.told = again
    assert (Source.DISK, 300.0) == (held.order().source, held.order().age_s)
    assert (order.decision, order.etag) == (again.decision, again.etag)
    assert 1300.0 == held.order().at
    (file,) = (tmp_path / "new" / "folder").iterdir()
    assert 0o600 == file.stat().st_mode & 0o777


def test_a_clock_set_back_makes_no_negative_age(tmp_path):
    """Across processes there is only the wall clock."""
    disk(tmp_path).save(told(ManualClock(wall=5000.0)), ManualClock(wall=5000.0))

    loaded = disk(tmp_path).load(ManualClock(wall=100.0))

    assert 0.0 == loaded.confirmed_at


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'{"schema":1', b"\x00" * 50, b"[" * 99_999])
def test_a_file_that_is_damaged_is_none(tmp_path, data):
    """Cut by a power failure, written by something else, or too deep."""
    file = disk(tmp_path)
    file.save(told(ManualClock()), ManualClock())
    file.path.write_bytes(data)

    assert file.load(ManualClock()) is None


def test_a_file_with_a_wrong_field_is_none(tmp_path):
    """Each field of the file is checked, the order in it too."""
    file = disk(tmp_path)
    file.save(told(ManualClock()), ManualClock())
    good = json.loads(file.path.read_text())
    for key, value in (
        ("schema", 9), ("body", "{}"), ("body", 5), ("confirmed_at", "NaN"),
        ("confirmed_at", None), ("server_minus_wall_s", "x"),
    ):  # fmt: skip
        file.path.write_text(json.dumps(good | {key: value}))
        assert file.load(ManualClock()) is None


def test_two_questions_share_no_file(tmp_path):
    """Another daemon or profile is another order."""
    names = {disk(tmp_path, **one).path for one in ({}, {"url": "http://b"}, {"profile": "fast"})}

    assert 3 == len(names)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    """A folder that is a file cannot be written into; the error is told once to the caller."""
    (tmp_path / "plain").write_text("")
    with pytest.raises(OSError, match="plain"):
        Disk(tmp_path / "plain", "http://a", "image", None).save(told(ManualClock()), ManualClock())
