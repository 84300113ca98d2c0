"""Black Forest Labs: submit a job, poll it on the host it names, fetch the result link."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from probes.classify import request_id
from probes.complaint import BODY_HEAD_CHARS, body_head, dig, word
from probes.formats._answer import (
    answer,
    off_format,
    picture_at,
    refuse,
    segment,
    split_url,
)
from probes.formats._free import amount, keyed_answer
from probes.model import (
    Alive,
    Canary,
    ErrorClass,
    Exchange,
    FreeCall,
    Phase,
    Picture,
    Refused,
    Reply,
    Send,
    Target,
)
from probes.ratelimits import header_limits
from probes.retry import parse_number

_SIZE_DEFAULT: Final = (256, 256)  # The smallest every model takes.
_USD_PER_CREDIT: Final = 0.01
_FAILED: Final = frozenset({"error", "failed", "task not found"})
_NO_JOB: Final = "00000000-0000-0000-0000-000000000000"
_UNKNOWN_JOB: Final = frozenset({200, 404})
_NO_TASK: Final = b"task not found"
_HTTPS_PORTS: Final = frozenset({None, 443})


class Bfl:
    """A job and its polls; unknown status words mean that it still runs."""

    name = "bfl"
    options: Mapping[str, str] = {
        "output_format": "jpeg (default), png or webp",
        "safety_tolerance": "0 (strict) to 6; default 2",
    }

    def exchange(self, target: Target, canary: Canary) -> Exchange:
        """Submit, poll until a final status, fetch the sample and return it."""
        auth = {"x-key": target.api_key}
        reply = yield Send(
            method="POST",
            url=f"{target.base_url}/v1/{segment(target.model)}",
            headers=auth,
            json=_body(target, canary),
        )
        if reply.status == 404 and _has_no_task(reply):
            raise _lost(reply)  # A poll's answer, played as the first one.
        job = answer(reply, target)
        credits_billed = parse_number(job.get("cost"))
        request = word(job.get("id"))
        limits = header_limits(reply, relay=target.relay)  # Of the submit: polls are no pictures.
        url: str | None = None
        while (status := _status(job, reply)) != "ready":
            # The first answer names the place; no later one may aim the key elsewhere.
            url = url or _poll_url(job, reply, target)
            reply = yield Send(
                method="GET", url=url, headers=auth, after_s=canary.poll_s, phase=Phase.QUEUE
            )
            if reply.status == 404:
                raise _lost(reply)
            job = answer(reply, target)
            if not isinstance(job.get("status"), str):
                raise off_format(reply, "a poll answer without a status")
        sample = dig(job, "result", "sample")
        if not isinstance(sample, str) or not sample:
            raise refuse(reply, ErrorClass.NO_IMAGE, "ready without a sample", finish=status)
        data = yield from picture_at(sample, reply)
        return Picture(
            data=data,
            cost_usd=None if credits_billed is None else credits_billed * _USD_PER_CREDIT,
            finish_reason=word(job.get("status")),
            request_id=request,
            server_s=parse_number(dig(job, "result", "duration")),
            limits=limits,
        )

    def liveness(self, target: Target) -> FreeCall:
        """Ask for the credits; where they are not told, for a job that cannot be."""
        auth = {"x-key": target.api_key}
        reply = yield Send(method="GET", url=f"{target.base_url}/v1/credits", headers=auth)
        if reply.status == 404:
            url = f"{target.base_url}/v1/get_result?id={_NO_JOB}"
            reply = yield Send(method="GET", url=url, headers=auth)
            # Whoever has no key is not told that the job is unknown.
            if reply.status in _UNKNOWN_JOB and _has_no_task(reply):
                return Alive(detail="the key is known; credits are not told")
        left = amount(keyed_answer(reply, target).get("credits"))
        if left is None:
            raise off_format(reply, "an answer without credits")
        return Alive(
            detail=f"{left:g} credits are left",
            balance_usd=left * _USD_PER_CREDIT,
            request_id=request_id(reply),
        )


def _has_no_task(reply: Reply) -> bool:
    return _NO_TASK in reply.body[:BODY_HEAD_CHARS].lower()


def _lost(reply: Reply) -> Refused:
    """Return the refusal of a job that was taken and is lost; its model is there."""
    detail = body_head(reply) or f"HTTP {reply.status}"
    return refuse(reply, ErrorClass.SERVER_ERROR, f"job lost: {detail}")


def _body(target: Target, canary: Canary) -> dict[str, Any]:
    width, height = target.size or _SIZE_DEFAULT
    return {
        "prompt": canary.prompt,
        "width": width,
        "height": height,
        "output_format": target.options.get("output_format", "jpeg"),
        "safety_tolerance": target.options.get("safety_tolerance", 2),
        "seed": canary.seed,
    }


def _status(job: dict[str, Any], reply: Reply) -> str:
    """Return the job's status in lower case, empty when it has none; raises Refused if it failed."""
    shown = word(job.get("status"))
    status = (shown or "").lower().replace("_", " ")
    if status.endswith("moderated"):
        error = ErrorClass.POLICY_BLOCKED
    elif status in _FAILED:
        error = ErrorClass.SERVER_ERROR
    else:
        return status
    raise _ended(job, reply, error, shown)


def _ended(job: dict[str, Any], reply: Reply, error: ErrorClass, shown: str | None) -> Refused:
    details = job.get("details")
    said = f"{shown}: {json.dumps(details)}" if details else f"job ended as {shown}"
    return refuse(reply, error, said, code=shown, finish=shown)


def _poll_url(job: dict[str, Any], reply: Reply, target: Target) -> str:
    named, job_id = job.get("polling_url"), job.get("id")
    if named:
        if isinstance(named, str) and _may_be_sent_the_key(named, target):
            return named
        raise off_format(reply, "polling_url is not on a configured host")
    if isinstance(job_id, str) and job_id:
        return f"{target.base_url}/v1/get_result?id={segment(job_id)}"
    raise off_format(reply, "neither polling_url nor id")


def _may_be_sent_the_key(url: str, target: Target) -> bool:
    there, home = split_url(url), split_url(target.base_url)
    if there is None or home is None:
        return False
    if (there.scheme, there.netloc.lower()) == (home.scheme, home.netloc.lower()):
        return True
    suffixes = [suffix.lower().strip(".") for suffix in target.poll_hosts]
    host = there.hostname or ""
    known = host == home.hostname or any(
        host == suffix or host.endswith(f".{suffix}") for suffix in suffixes if suffix
    )
    return known and there.scheme == "https" and there.port in _HTTPS_PORTS
