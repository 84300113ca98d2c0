"""Batch Mode: what each short call asks for, and what it makes of a job."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from probes.batch import BatchFormat, BatchJob, BatchState
from probes.model import ErrorClass, Phase, Picture, Refused
from probes.registry import formats, load
from tests.support.replies import CANARY, ITEM, JOB_DONE, PNG, TARGETS, play, reply

TARGET = TARGETS["gemini-batch"]
FORMAT = load("gemini-batch")
NAME = "batches/job-1"
KEY = {"x-goog-api-key": "key-6"}
FILE_JOB = {
    "name": NAME,
    "metadata": {"state": "BATCH_STATE_SUCCEEDED", "output": {"responsesFile": "files/batch-1"}},
}


def called(call, *answers):
    """The sends of a call that is given *answers*, and what it returns."""
    sends = []
    try:
        for answered in (None, *answers):
            send = call.send(answered)
            sends.append(send)
    except StopIteration as done:
        return sends, done.value
    pytest.fail("it wants more answers")


def looked(*answers):
    """The job that a look finds."""
    return called(FORMAT.look(TARGET, NAME), *answers)[1]


def shown(state="BATCH_STATE_RUNNING", **more):
    """A job's document."""
    return {"name": NAME, "metadata": {"state": state, **more}}


def test_it_is_the_only_built_in_batch_format():
    """The protocol tells batch formats from the others."""
    assert ["gemini-batch"] == [n for n in formats() if isinstance(load(n), BatchFormat)]


def test_a_job_is_created_in_one_send_under_its_label():
    """One inline request; the reply names the job and when its server made it."""
    answered = reply(200, shown("BATCH_STATE_PENDING", displayName="p-1",
                                createTime="2026-11-22T07:00:00.123456789Z"))  # fmt: skip
    (send,), job = called(FORMAT.create(TARGET, CANARY, "p-1"), answered)

    assert ("POST", f"{TARGET.base_url}/v1/models/some-image-model:batchGenerateContent") == (
        send.method, send.url,
    )  # fmt: skip
    assert (KEY, Phase.FIRST_BYTE) == (send.headers, send.phase)
    (item,) = send.json["batch"]["inputConfig"]["requests"]["requests"]
    assert ("p-1", {"key": "p-1-1"}) == (send.json["batch"]["displayName"], item["metadata"])
    assert CANARY.prompt == item["request"]["contents"][0]["parts"][0]["text"]
    assert BatchJob(
        name=NAME, state=BatchState.PENDING, label="p-1", created_at=1_795_330_800.123456
    ) == job  # fmt: skip


def test_the_version_of_the_api_is_an_option():
    """Both versions serve the queue."""
    call = FORMAT.look(replace(TARGET, options={"api_version": "v1beta"}), NAME)

    assert f"{TARGET.base_url}/v1beta/{NAME}" == next(call).url


@pytest.mark.parametrize(
    ("spelled", "state"),
    [
        ("BATCH_STATE_UNSPECIFIED", BatchState.PENDING),
        ("BATCH_STATE_PENDING", BatchState.PENDING),
        ("JOB_STATE_QUEUED", BatchState.PENDING),
        ("BATCH_STATE_RUNNING", BatchState.RUNNING),
        ("BATCH_STATE_UNHEARD_OF", BatchState.RUNNING),
        (None, BatchState.RUNNING),
    ],
)
def test_a_job_that_is_not_done_goes_on(spelled, state):
    """Words nobody knows yet mean that it still runs."""
    job = looked(reply(200, shown(spelled)))

    assert (state, False) == (job.state, job.is_over)


def test_turnaround_is_by_the_servers_clock():
    """From creation to end, not to the look that saw it."""
    times = {"createTime": "2026-11-22T07:00:00Z", "endTime": "2026-11-22T07:10:30.5Z"}
    job = looked(
        reply(200, JOB_DONE | {"metadata": shown("BATCH_STATE_SUCCEEDED", **times)["metadata"]})
    )

    assert (PNG, 630.5) == (job.picture.data, job.turnaround_s)


def test_how_old_a_job_is_is_told_by_the_servers_clock_too():
    """The reply's date against the job's creation."""
    document = shown(createTime="2026-11-22T07:00:00Z")
    dated = reply(200, document, {"Date": "Sun, 22 Nov 2026 07:10:00 GMT"})

    assert (600.0, None) == (looked(dated).age_s, looked(reply(200, document)).age_s)


@pytest.mark.parametrize(
    "times",
    [
        {},
        {"createTime": "2026-11-22T07:00:00Z"},
        {"createTime": "2026-11-22T07:00:00Z", "endTime": "soon"},
        {"createTime": "2026-11-22T07:00:00Z", "endTime": 7},
        {"createTime": "2026-11-22T07:00:00Z", "endTime": "2026-11-22T08:00:00"},
        {"createTime": "2026-11-22T07:00:00Z", "endTime": "0001-01-01T00:00:00+23:59"},
        {"createTime": "2026-11-22T07:00:00Z", "endTime": "2026-11-22T06:59:59Z"},
    ],
)
def test_odd_times_are_no_times(times):
    """Nothing is measured by a clock that is silent, wrong or runs back."""
    assert looked(reply(200, shown(**times))).turnaround_s is None


def test_results_in_a_file_are_fetched_with_the_key():
    """The file's first line is the item."""
    lines = f"not JSON\n7\n{json.dumps(ITEM)}\n"
    sends, job = called(FORMAT.look(TARGET, NAME), reply(200, FILE_JOB), reply(200, lines))

    assert f"{TARGET.base_url}/v1/files/batch-1:download?alt=media" == sends[1].url
    assert ("GET", KEY, Phase.BODY) == (sends[1].method, sends[1].headers, sends[1].phase)
    assert PNG == job.picture.data


@pytest.mark.parametrize(
    ("answered", "error"),
    [
        (reply(404), ErrorClass.EXPIRED),
        (reply(410), ErrorClass.EXPIRED),
        (reply(200), ErrorClass.NO_IMAGE),
        (reply(200, '{"key":"1","error":{"code":8,"message":"used up"}}'), ErrorClass.RATE_LIMITED),
    ],
)
def test_what_a_file_of_results_says_is_the_jobs_verdict(answered, error):
    """Gone, empty, or with an error in its line."""
    assert error is looked(reply(200, FILE_JOB), answered).verdict.error


@pytest.mark.parametrize(
    ("answered", "error"),
    [(reply(503), ErrorClass.OVERLOADED), (reply(200, "<html>"), ErrorClass.PROTOCOL)],
)
def test_a_fetch_that_fails_says_nothing_of_the_job(answered, error):
    """The call is refused: the next look may fetch it."""
    with pytest.raises(Refused) as refused:
        looked(reply(200, FILE_JOB), answered)

    assert error is refused.value.verdict.error


def test_a_file_elsewhere_is_not_fetched():
    """No reply may aim the key elsewhere."""
    job = looked(
        reply(200, shown("BATCH_STATE_SUCCEEDED", output={"responsesFile": "files/../models"}))
    )

    assert "succeeded without a result" == job.verdict.detail


def test_a_failed_job_tells_what_official_clients_drop():
    """Its error stands at the top of the operation, with a code of gRPC."""
    verdict = looked(
        reply(
            200, shown("BATCH_STATE_FAILED") | {"done": True, "error": {"code": 13, "message": "x"}}
        )
    ).verdict

    assert (ErrorClass.SERVER_ERROR, "INTERNAL", "x") == (
        verdict.error, verdict.code, verdict.detail,
    )  # fmt: skip


def listing(*labels, token=None):
    """A page of jobs."""
    jobs = [{"name": f"batches/{label}", "metadata": {"displayName": label}} for label in labels]
    return reply(200, {"operations": [*jobs, {"name": "other/1"}], "nextPageToken": token})


def test_a_job_is_found_by_its_label_on_any_page():
    """Pages are asked for until one has it."""
    sends, found = called(
        FORMAT.find(TARGET, "b"), listing("x", token="a/b"), listing("y", "b", token="c")
    )

    assert ["batches/b"] == [job.name for job in found]
    assert [
        f"{TARGET.base_url}/v1/batches?pageSize=20",
        f"{TARGET.base_url}/v1/batches?pageSize=20&pageToken=a%2Fb",
    ] == [send.url for send in sends]


@pytest.mark.parametrize(
    "pages", [[listing("x")], [listing("x", token="t")] * 10, [reply(200, {})]]
)
def test_a_job_that_is_not_listed_is_not_found(pages):
    """At the end of the list, or of the pages that are looked at."""
    sends, found = called(FORMAT.find(TARGET, "b"), *pages)

    assert ((), len(pages)) == (found, len(sends))


@pytest.mark.parametrize(
    ("make", "method", "url"),
    [
        (FORMAT.cancel, "POST", f"{TARGET.base_url}/v1/{NAME}:cancel"),
        (FORMAT.delete, "DELETE", f"{TARGET.base_url}/v1/{NAME}"),
    ],
)
def test_a_job_is_cancelled_and_deleted_by_name(make, method, url):
    """Without a body; a job that is gone is told, any other refusal is one."""
    (send,), was_there = called(make(TARGET, NAME), reply(200, {}))

    assert (method, url, None, KEY) == (send.method, send.url, send.json, send.headers)
    assert was_there is True
    assert called(make(TARGET, NAME), reply(404))[1] is False
    with pytest.raises(Refused):
        called(make(TARGET, NAME), reply(403))


def test_the_whole_exchange_waits_between_looks():
    """For replays: create, look until it is over, return the picture."""
    answers = iter([shown("BATCH_STATE_PENDING"), shown(), JOB_DONE])
    played = play(TARGET, lambda _: reply(200, next(answers)))

    assert isinstance(played.picture, Picture)
    assert [0.0, CANARY.poll_s, CANARY.poll_s] == [send.after_s for send in played.sends]
    assert [Phase.FIRST_BYTE, Phase.QUEUE, Phase.QUEUE] == [send.phase for send in played.sends]


@pytest.mark.parametrize(
    ("name", "make"), [("list", None), ("get_running", FORMAT.look), ("cancel", FORMAT.cancel),
                       ("delete", FORMAT.delete)],
)  # fmt: skip
def test_a_short_call_equals_the_recorded_one(shared, name, make):
    """Method, path, key and body are the official client's, and it understands the answer."""
    for path in sorted((shared / "recordings").glob(f"gemini_batch_{name}*.json")):
        one = json.loads(path.read_text(encoding="utf-8"))
        request, response = one["request"], one["response"]
        version, _, rest = request["path"].strip("/").partition("/")
        key = request["headers"]["x-goog-api-key"]
        target = replace(TARGET, api_key=key, options={"api_version": version})
        name_of_job = rest.removesuffix(":cancel")
        call = make(target, name_of_job) if make else FORMAT.find(target, "canary")
        (send,), _ = called(call, reply(response["status"], response["body"]))

        assert request["method"] == send.method
        assert f"{target.base_url}{request['path']}" == send.url.partition("?")[0]
        assert request["body"] == send.json
        assert send.headers.items() <= request["headers"].items()
