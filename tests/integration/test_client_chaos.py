"""Ten thousand calls of an application whose daemon is killed, hangs and lies."""

from __future__ import annotations

from tests.support.chaos import TROUBLES, trouble

CALLS = 1_050  # In each of ten troubles.


def test_ten_thousand_calls_never_raise_and_always_have_an_order(tmp_path):
    """
    The order is served throughout, from the source that the trouble leaves.

    A real daemon in a process of its own, killed and started anew; between them a server that hangs,
    drips, resets, answers garbage and 500; and the client's disk full and its clock a day, then a
    century wrong. How long a call takes is the benchmark's to say (bench_client.py): that none does
    I/O or waits for a lock over it is held in test_client.py.
    """
    with trouble(tmp_path, CALLS) as met:
        told = list(met)

    assert [name for name, _, _ in TROUBLES] == [one["trouble"] for one in told]
    assert [] == [one["raised"] for one in told if one["raised"]]
    assert sum(one["calls"] for one in told) >= 10_000
    for (name, source, _), one in zip(TROUBLES, told, strict=True):
        assert source in one["sources"], name
        assert one["waiting"] <= 1_500  # The queue and the batch on its way.
    # Once there was an order it never falls back to the static one.
    assert not any("static" in one["sources"] for one in told[1:])
