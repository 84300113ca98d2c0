"""The shared vocabulary: the blame table row by row, and what values refuse to be."""

from __future__ import annotations

import dataclasses

import pytest

from probes.model import (
    ERROR_TABLE,
    Alive,
    Effect,
    ErrorClass,
    Outcome,
    Phase,
    ProbeResult,
    Refused,
    Reply,
    Send,
    Target,
    Verdict,
)

# Typed from the contract, not from the code: outcome, provider view, user view, effect.
BLAME = {
    "overloaded": ("bad", "fail", "fail", "demote"),
    "server_error": ("bad", "fail", "fail", "demote"),
    "timeout": ("bad", "fail", "fail", "demote"),
    "connection": ("bad", "fail", "fail", "demote"),
    "protocol": ("bad", "fail", "fail", "demote"),
    "no_image": ("bad", "fail", "fail", "demote"),
    "bad_image": ("bad", "fail", "fail", "demote"),
    "expired": ("bad", "fail", "fail", "demote"),
    "policy_blocked": ("void", "excluded", "excluded", "none"),
    "rate_limited": ("unusable", "excluded", "fail", "wait"),
    "quota_exhausted": ("unusable", "excluded", "fail", "wait"),
    "not_entitled": ("unusable", "excluded", "fail", "out"),
    "billing": ("unusable", "excluded", "fail", "out"),
    "auth": ("unusable", "excluded", "fail", "out"),
    "model_gone": ("unusable", "excluded", "fail", "out"),
    "bad_request": ("unusable", "excluded", "fail", "out"),
    "our_network": ("void", "excluded", "excluded", "frozen"),
    "monitor_fault": ("void", "excluded", "excluded", "frozen"),
}


def a_target(**changes):
    """Return a valid target with *changes*."""
    given = {
        "id": "t", "provider": "p", "format": "f", "base_url": "https://api.example.test",
        "model": "m",
    }  # fmt: skip
    return Target(**given | changes)


def a_result(**changes):
    """Return a valid good result with *changes*."""
    given = {
        "probe_id": "1", "target_id": "t", "started_at": 1.0, "duration_s": 2.0, "latency_s": 1.5,
    }  # fmt: skip
    return ProbeResult(**given | changes)


@pytest.mark.parametrize("name", BLAME)
def test_each_error_class_blames_whom_the_contract_says(name):
    """One row of the table: outcome, both availability views, and the effect on the order."""
    row = ErrorClass(name).row

    assert BLAME[name] == (row.outcome, row.provider_view, row.user_view, row.effect)


@pytest.mark.parametrize("name", BLAME)
def test_each_error_class_says_its_signal_and_reaction_in_words(name):
    """`imgmon errors` prints the table, so no cell is empty."""
    row = ErrorClass(name).row

    assert row.signal
    assert row.reaction


def test_the_list_of_error_classes_is_closed():
    """There is no class beyond the contract's, and the table has exactly their rows."""
    assert list(BLAME) == [error.value for error in ErrorClass]
    assert list(BLAME) == [error.value for error in ERROR_TABLE]


def test_the_blame_table_cannot_be_changed():
    """Blame is decided in one place and never at run time."""
    with pytest.raises(TypeError):
        ERROR_TABLE[ErrorClass.AUTH] = ERROR_TABLE[ErrorClass.TIMEOUT]


def test_an_error_class_hands_out_its_outcome_and_effect():
    """The shortcuts read the same row."""
    assert Outcome.UNUSABLE is ErrorClass.AUTH.outcome
    assert Effect.OUT is ErrorClass.AUTH.effect


def test_a_result_without_error_is_good():
    """Good is the absence of an error class, not a second field that could disagree."""
    assert Outcome.GOOD is a_result().outcome


@pytest.mark.parametrize("error", ErrorClass)
def test_a_failed_result_takes_its_outcome_from_the_table(error):
    """The outcome of a result is the table's, for every class."""
    assert error.outcome is a_result(error=error, latency_s=None).outcome


@pytest.mark.parametrize(
    "changes",
    [
        {"error": ErrorClass.TIMEOUT},
        {"latency_s": None},
        {"duration_s": -0.1},
    ],
)
def test_a_failure_cannot_carry_a_latency_nor_a_success_lack_one(changes):
    """So that no failure can ever enter a percentile."""
    with pytest.raises(AssertionError):
        a_result(**changes)


@pytest.mark.parametrize("changes", [{"base_url": "https://a.test/"}, {"deadline_s": 0.0}])
def test_a_target_that_cannot_be_probed_is_refused(changes):
    """URLs are joined by a slash of the format's, and a probe needs time."""
    with pytest.raises(AssertionError):
        a_target(**changes)


def test_keys_and_headers_are_not_in_any_repr():
    """A value that is logged whole shows no credential."""
    send = Send(method="GET", url="https://a.test", headers={"x-key": "sekret"})
    shown = repr((a_target(api_key="sekret"), send, Reply(status=200, headers={"a": "sekret"})))

    assert "sekret" not in shown


def test_a_download_carries_no_headers():
    """A result link points anywhere, so no credential may go along."""
    with pytest.raises(AssertionError):
        Send(method="GET", url="https://a.test", headers={"x-key": "k"}, phase=Phase.DOWNLOAD)


def test_only_the_download_phase_makes_a_download():
    """Polls carry credentials and are no downloads."""
    found = {phase for phase in Phase if Send(method="GET", url="u", phase=phase).is_download}

    assert {Phase.DOWNLOAD} == found


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a": [1]}', {"a": [1]}),
        (b"null", None),
        (b"<html>", None),
        (b"", None),
        (b"\xff\xfe\xfd", None),
        (b"[" * 100_000, None),
    ],
)
def test_a_body_that_is_not_json_reads_as_none(body, expected):
    """Classifying hostile bodies never raises."""
    assert expected == Reply(status=200, body=body).json


@pytest.mark.parametrize(
    "told",
    [
        {"shutdown_on": "soon"},
        {"shutdown_on": "20261201"},
        {"shutdown_on": "2026-12-01T00:00:00"},
        {"balance_usd": float("nan")},
        {"balance_usd": float("inf")},
    ],
)
def test_a_sign_of_life_tells_days_and_amounts_or_nothing(told):
    """A plug-in's odd answer is its own fault, here, and not a broken scrape later."""
    with pytest.raises((AssertionError, ValueError)):
        Alive(**told)


def test_a_refusal_names_its_class_and_carries_its_verdict():
    """The exception's text is the class: provider text stays in the verdict."""
    verdict = Verdict(error=ErrorClass.AUTH, detail="no such key")
    refused = Refused(verdict)

    assert verdict.error.value == str(refused)
    assert verdict is refused.verdict


@pytest.mark.parametrize(
    "value", [a_target(), a_result(), Send(method="GET", url="u"), Verdict(error=ErrorClass.AUTH)]
)
def test_values_are_frozen(value):
    """What crosses a boundary cannot be changed behind it."""
    name = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, name, None)
