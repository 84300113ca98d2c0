"""The job format: what is submitted, whom the key may be sent to, and how a job ends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from probes.model import ErrorClass, Phase
from tests.support.replies import CANARY, PNG, TARGETS, play, reply

TARGET = TARGETS["bfl"]
POLL = "https://eu.bfl.test/v1/get_result?id=7"
READY = {
    "id": "7", "status": "Ready",
    "result": {"sample": "https://cdn.test/s.jpeg", "duration": 0.8},
}  # fmt: skip


def played(submitted, *polled, target=TARGET):
    """How an exchange goes whose submit and polls answer as given."""
    answers = iter([submitted, *polled])
    return play(target, lambda s: reply(200, PNG if s.is_download else next(answers)))


def polled_at(url, **changes):
    """The URL polled when the submit names *url*, or None when the key was not sent there."""
    target = replace(TARGET, **changes)
    sends = played({"id": "7", "polling_url": url}, READY, target=target).sends
    return sends[1].url if len(sends) > 1 else None


def test_the_submit_carries_size_seed_and_settings():
    """Small, unfiltered by taste and reproducible, unless the target says otherwise."""
    send = play(TARGET, lambda _: reply(500)).sends[0]
    options = {"output_format": "png", "safety_tolerance": 0}
    other = play(replace(TARGET, size=(512, 768), options=options), lambda _: reply(500)).sends[0]
    body = {
        "prompt": CANARY.prompt, "width": 256, "height": 256, "output_format": "jpeg",
        "safety_tolerance": 2, "seed": CANARY.seed,
    }  # fmt: skip

    assert ("https://bfl.test/v1/some-flux", {"x-key": "key-5"}) == (send.url, send.headers)
    assert body == send.json
    assert body | options | {"width": 512, "height": 768} == other.json


def test_a_job_is_polled_with_the_key_and_fetched_without():
    """Unknown status words mean the job still runs; the pause between polls is the canary's."""
    submitted = {"id": "7", "polling_url": POLL, "cost": 1.4}
    run = played(submitted, {"status": "Pending"}, {"status": "Queued up"}, READY)
    polls = run.sends[1:4]

    assert {(POLL, Phase.QUEUE, CANARY.poll_s, "key-5")} == {
        (send.url, send.phase, send.after_s, send.headers["x-key"]) for send in polls
    }
    assert ("https://cdn.test/s.jpeg", {}) == (run.sends[4].url, run.sends[4].headers)


def test_the_answer_tells_cost_duration_and_id():
    """Cost is told in credits of a cent, by the submit; the duration by the result."""
    picture = played({"id": "7", "polling_url": POLL, "cost": 2.5}, READY).picture

    assert (PNG, 0.025, 0.8, "7", "Ready") == (
        picture.data, picture.cost_usd, picture.server_s, picture.request_id,
        picture.finish_reason,
    )  # fmt: skip


def test_a_job_without_a_polling_url_is_polled_by_id():
    """The id is quoted into the base URL."""
    run = played({"id": "a/b c"}, READY)

    assert "https://bfl.test/v1/get_result?id=a%2Fb%20c" == run.sends[1].url
    assert run.picture.cost_usd is None
    assert played({"id": "\ud800"}, READY).sends[1].url.endswith("get_result?id=%3F")


@pytest.mark.parametrize(
    "url",
    [
        "https://bfl.test/v1/get_result?id=7",
        "https://BFL.test/x",
        "https://a.b.bfl.test/x",
        "https://eu.bfl.test:443/x",
    ],
)
def test_the_key_goes_to_configured_hosts(url):
    """The base URL's host and the hosts under a configured suffix, by https."""
    assert url == polled_at(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://bfl.test/x", "http://eu.bfl.test/x", "https://evilbfl.test/x",
        "https://bfl.test.evil.test/x", "https://evil.test/bfl.test", "https://evil.test#.bfl.test",
        "https://eu.bfl.test:8443/x", "https://key@eu.bfl.test/x", "https://evil.test\\.bfl.test/",
        "https://eu.bfl.test /x", "ftp://eu.bfl.test/x", "//eu.bfl.test/x", "https://[::1", 7,
    ],
)  # fmt: skip
def test_the_key_goes_nowhere_else(url):
    """Other hosts, ports, schemes and tricks of spelling end the exchange unsent."""
    assert polled_at(url) is None
    refused = played({"id": "7", "polling_url": url}).verdict
    assert ErrorClass.PROTOCOL is refused.error


def test_plain_http_is_for_a_base_url_that_is_plain_itself():
    """A local simulator is polled where it was submitted to, and only there."""
    base = "http://127.0.0.1:8721/bfl"

    assert "http://127.0.0.1:8721/p" == polled_at("http://127.0.0.1:8721/p", base_url=base)
    assert polled_at("http://127.0.0.1:8722/p", base_url=base) is None
    assert polled_at("http://eu.bfl.test/p", base_url=base) is None


def test_without_suffixes_only_the_base_host_is_polled():
    """An empty suffix matches nothing; a base URL that is none trusts nobody."""
    assert polled_at(POLL, poll_hosts=("", ".")) is None
    assert polled_at(POLL, base_url="bfl.test") is None


def test_only_the_submit_names_the_place_to_poll():
    """A later answer cannot aim the key elsewhere."""
    submitted = {"id": "7", "polling_url": POLL}
    run = played(submitted, {"status": "Pending", "polling_url": "https://evil.test/"}, READY)

    assert [POLL, POLL] == [send.url for send in run.sends[1:3]]


@pytest.mark.parametrize(
    ("job", "error", "detail"),
    [
        ({"status": "Request Moderated", "details": {"Reasons": ["x"]}}, ErrorClass.POLICY_BLOCKED,
         'Request Moderated: {"Reasons": ["x"]}'),
        ({"status": "CONTENT_MODERATED"}, ErrorClass.POLICY_BLOCKED,
         "job ended as CONTENT_MODERATED"),
        ({"status": "Failed"}, ErrorClass.SERVER_ERROR, "job ended as Failed"),
        ({"status": "Task not found"}, ErrorClass.SERVER_ERROR, "job ended as Task not found"),
    ],
)  # fmt: skip
def test_a_job_that_ends_badly_keeps_its_word(job, error, detail):
    """The status word is the code and the finish reason; the details are the detail."""
    verdict = played({"id": "7", "polling_url": POLL}, job).verdict

    assert (error, detail) == (verdict.error, verdict.detail)
    assert (job["status"], job["status"]) == (verdict.code, verdict.finish_reason)


def test_a_lost_job_is_not_a_missing_model():
    """The model took the job: a 404 while polling, or one of a task, is the provider's failure."""
    submitted = {"id": "7", "polling_url": POLL}
    empty = play(TARGET, lambda s: reply(200, submitted) if s.method == "POST" else reply(404))

    first = play(TARGET, lambda _: reply(404, {"detail": "Task not found"}))

    assert ErrorClass.SERVER_ERROR is empty.verdict.error
    assert ErrorClass.SERVER_ERROR is first.verdict.error
    assert "job lost: HTTP 404" == empty.verdict.detail
