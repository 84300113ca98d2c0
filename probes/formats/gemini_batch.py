"""
Google's Batch Mode: one inline request becomes a job that is looked at until it is over.

A job can end well with a failed item in it, tell its failure outside of what official clients read,
and send its result twice or as a file. Errors inside jobs carry gRPC codes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from probes.batch import BatchJob, BatchState
from probes.classify import classify, classify_error
from probes.complaint import dicts, dig, one_line, word
from probes.formats._answer import answer, entries, off_format, refuse, segment
from probes.formats.gemini import Gemini, credentials, picture_in, request_body, root
from probes.model import (
    Canary,
    ErrorClass,
    Exchange,
    Phase,
    Picture,
    Refused,
    Reply,
    Send,
    Target,
    Verdict,
)
from probes.retry import parse_http_date

_E, _S = ErrorClass, BatchState
# What goes from a reply into a URL: no reply may aim the key elsewhere.
_JOB: Final = re.compile(r"batches/([A-Za-z0-9_-]{1,200})")
_FILE: Final = re.compile(r"files/([A-Za-z0-9_-]{1,200})")
# A list may hold the pictures of other jobs, so a page is short; the newest jobs come first.
_PAGE_SIZE: Final = 20
_PAGES_MAX: Final = 10
_STATES: Final[Mapping[str, BatchState]] = {
    "UNSPECIFIED": _S.PENDING,
    "QUEUED": _S.PENDING,
    "PARTIALLY_SUCCEEDED": _S.SUCCEEDED,
    **{state.name: state for state in BatchState},
}
_GOING_ON: Final = frozenset({_S.PENDING, _S.RUNNING})
_GONE: Final = frozenset({404, 410})
_NO_JOB: Final = "requested entity was not found"
# google.rpc.Code to the HTTP status and word that stand for it elsewhere (google/rpc/code.proto).
_GRPC: Final[Mapping[int, tuple[int, str]]] = {
    1: (499, "CANCELLED"), 2: (500, "UNKNOWN"), 3: (400, "INVALID_ARGUMENT"), 4: (504, "DEADLINE_EXCEEDED"),
    5: (404, "NOT_FOUND"), 6: (409, "ALREADY_EXISTS"), 7: (403, "PERMISSION_DENIED"),
    8: (429, "RESOURCE_EXHAUSTED"), 9: (400, "FAILED_PRECONDITION"), 10: (409, "ABORTED"),
    11: (400, "OUT_OF_RANGE"), 12: (501, "UNIMPLEMENTED"), 13: (500, "INTERNAL"),
    14: (503, "UNAVAILABLE"), 15: (500, "DATA_LOSS"), 16: (401, "UNAUTHENTICATED"),
}  # fmt: skip


class GeminiBatch(Gemini):
    """A job of one picture: created, looked at, found by its label, cancelled, deleted."""

    name = "gemini-batch"

    def exchange(self, target: Target, canary: Canary) -> Exchange:
        """
        Create a job and look at it until it is over.

        For replays, and where a process waits as long as the queue; the job is left behind.
        """
        try:
            job = yield from self.create(target, canary, "canary")
        except Refused as refused:
            verdict = refused.verdict
            if verdict.http_status == 404 and _NO_JOB in verdict.detail.lower():
                # A look's answer, played as the first one; a model that is gone is named.
                raise Refused(_lost(verdict)) from refused
            raise
        while not job.is_over:
            job = yield from _look(target, job.name, after_s=canary.poll_s)
        if job.picture is None:
            assert job.verdict is not None
            raise Refused(job.verdict)
        return job.picture

    def create(
        self, target: Target, canary: Canary, label: str
    ) -> Generator[Send, Reply, BatchJob]:
        """Queue one inline request; the label is the job's display name."""
        item = {"request": request_body(target, canary), "metadata": {"key": f"{label}-1"}}
        batch = {"displayName": label, "inputConfig": {"requests": {"requests": [item]}}}
        url = f"{root(target)}/models/{segment(target.model)}:batchGenerateContent"
        reply = yield Send(
            method="POST", url=url, headers=credentials(target), json={"batch": batch}
        )
        return _shown(_operation(reply, target), reply)

    def look(self, target: Target, name: str) -> Generator[Send, Reply, BatchJob]:
        """Return the job, with its picture or verdict once it is over."""
        return _look(target, name)

    def find(self, target: Target, label: str) -> Generator[Send, Reply, tuple[BatchJob, ...]]:
        """Return the jobs with *label* of the first page that has any, of a bounded number."""
        token = ""
        for _ in range(_PAGES_MAX):
            url = f"{root(target)}/batches?pageSize={_PAGE_SIZE}"
            url += f"&pageToken={segment(token)}" if token else ""
            reply = yield Send(method="GET", url=url, headers=credentials(target))
            doc = answer(reply, target)
            listed = (
                _shown(one, reply) for one in entries(doc, "operations", reply) if _names(one)
            )
            if found := tuple(job for job in listed if job.label == label):
                return found
            more = doc.get("nextPageToken")
            if not isinstance(more, str) or not more:
                break
            token = more
        return ()

    def cancel(self, target: Target, name: str) -> Generator[Send, Reply, bool]:
        """Ask for the job's end; a job that is over stays as it is."""
        return _bid("POST", f"{_url(target, name)}:cancel", target)

    def delete(self, target: Target, name: str) -> Generator[Send, Reply, bool]:
        """Remove the job and its results."""
        return _bid("DELETE", _url(target, name), target)


def _bid(method: str, url: str, target: Target) -> Generator[Send, Reply, bool]:
    reply = yield Send(method=method, url=url, headers=credentials(target))
    if reply.status == 404:
        return False
    answer(reply, target)
    return True


def _look(target: Target, name: str, after_s: float = 0.0) -> Generator[Send, Reply, BatchJob]:
    reply = yield Send(
        method="GET",
        url=_url(target, name),
        headers=credentials(target),
        after_s=after_s,
        phase=Phase.QUEUE,
    )
    if reply.status == 404:
        verdict = _lost(classify(reply, relay=target.relay))
        return BatchJob(name=name, state=_S.FAILED, verdict=verdict)
    doc = _operation(reply, target)
    job = _shown(doc, reply)
    if job.state in _GOING_ON:
        return job
    if job.state is not _S.SUCCEEDED:
        return _ended(job, verdict=_why(job.state, doc, reply, target))
    item = next(filter(None, map(_inlined, _outputs(doc))), None)
    files = (_FILE.fullmatch(str(dig(output, "responsesFile"))) for output in _outputs(doc))
    if item is None and (file := next(filter(None, files), None)):
        url = f"{root(target)}/files/{segment(file[1])}:download?alt=media"
        reply = yield Send(method="GET", url=url, headers=credentials(target), phase=Phase.BODY)
        if reply.status in _GONE:
            gone = refuse(reply, _E.EXPIRED, f"its results answered HTTP {reply.status}")
            return _ended(job, verdict=gone.verdict)
        if not 200 <= reply.status < 300:
            raise Refused(classify(reply, relay=target.relay))
        item = next(_lines(reply), None)
        if item is None and reply.body.strip():
            raise off_format(reply, "a file of results without a JSON object on a line")
    try:
        return _ended(job, picture=_drawn(item, reply, target))
    except Refused as refused:
        return _ended(job, verdict=refused.verdict)


def _lost(verdict: Verdict) -> Verdict:
    """Return the verdict on a job that was taken and is lost; its model is there."""
    detail = one_line(f"job lost: {verdict.detail}")
    return replace(verdict, error=_E.SERVER_ERROR, detail=detail, retry_at=None)


def _ended(
    job: BatchJob, *, picture: Picture | None = None, verdict: Verdict | None = None
) -> BatchJob:
    return replace(job, picture=picture, verdict=verdict)


def _operation(reply: Reply, target: Target) -> dict[str, Any]:
    """Return the job that a reply shows, failed ones too; raises Refused for anything else."""
    doc = reply.json
    if 200 <= reply.status < 300 and _names(doc):
        found: dict[str, Any] = doc
        return found
    answer(reply, target)
    raise off_format(reply, "not a batch job")


def _names(doc: Any) -> bool:
    """Whether a document is a job: the error of a failed one stands beside its name."""
    name = dig(doc, "name")
    return isinstance(name, str) and _JOB.fullmatch(name) is not None


def _shown(doc: dict[str, Any], reply: Reply) -> BatchJob:
    """Return what a job's document says of it, without its result."""
    metadata = doc.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        raise off_format(reply, "a batch job whose metadata are no object")
    return BatchJob(
        name=doc["name"],
        state=_state(doc),
        label=one_line(dig(metadata, "displayName")),
        created_at=_time(dig(metadata, "createTime")),
        ended_at=_time(dig(metadata, "endTime")),
        shown_at=parse_http_date(reply.headers.get("date", "")),
    )


def _state(doc: dict[str, Any]) -> BatchState:
    spelled = str(dig(doc, "metadata", "state") or "").rpartition("STATE_")[2]
    state = _STATES.get(spelled, _S.RUNNING)
    if doc.get("done") is not True or state not in _GOING_ON:
        return state
    # Done, in a word that is not known: its error or its result tell how.
    return _S.FAILED if doc.get("error") else _S.SUCCEEDED


def _time(stamp: Any) -> float | None:
    """Return an RFC 3339 time as seconds since the epoch; None when it is none."""
    try:
        moment = datetime.fromisoformat(stamp) if isinstance(stamp, str) else None
        return moment.timestamp() if moment and moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _why(state: BatchState, doc: dict[str, Any], reply: Reply, target: Target) -> Verdict:
    """Return why a job ended without a result."""
    error = doc.get("error")
    said = word(dig(error, "message"))
    if state is _S.EXPIRED:
        return refuse(reply, _E.EXPIRED, said or "the job expired", code=state.name).verdict
    if state is _S.CANCELLED:
        detail = f"cancelled, not by us: {said or 'no reason given'}"
        return refuse(reply, _E.SERVER_ERROR, detail, code=state.name).verdict
    if isinstance(error, dict):
        return classify_error(_as_http(error), reply, relay=target.relay)
    return refuse(reply, _E.SERVER_ERROR, "the job failed", code=state.name).verdict


def _outputs(doc: dict[str, Any]) -> tuple[Any, Any]:
    """Return both places of a result: it is sent twice, and either may be left out."""
    return dig(doc, "metadata", "output"), doc.get("response")


def _inlined(output: Any) -> dict[str, Any] | None:
    return next(iter(dicts(dig(output, "inlinedResponses", "inlinedResponses"))), None)


def _lines(reply: Reply) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file with one on each line."""
    for line in reply.body.splitlines():
        try:
            item = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(item, dict):
            yield item


def _drawn(item: dict[str, Any] | None, reply: Reply, target: Target) -> Picture:
    """Return the picture of a job's one item; raises Refused."""
    if item is None:
        raise refuse(reply, _E.NO_IMAGE, "succeeded without a result")
    if isinstance(error := item.get("error"), dict):
        raise Refused(classify_error(_as_http(error), reply, relay=target.relay))
    response = item.get("response")
    if not isinstance(response, dict):
        raise off_format(reply, "an item without response or error")
    return picture_in(response, reply)


def _as_http(error: dict[str, Any]) -> dict[str, Any]:
    """Return an error of gRPC as the HTTP API would put it, which the classifier reads."""
    code = error.get("code")
    known = _GRPC.get(code) if isinstance(code, int) else None
    if known is None:  # An HTTP status, or nothing that is known.
        return {"error": error}
    return {"error": {**error, "code": known[0], "status": known[1]}}


def _url(target: Target, name: str) -> str:
    found = _JOB.fullmatch(name)
    assert found is not None, "a job's name was checked when it came"
    return f"{root(target)}/batches/{segment(found[1])}"
