"""Gemini's batch queue as a server: create, look, list, cancel, delete, download."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from starlette.responses import Response
from starlette.routing import Route

from probes.simulator.faults import FaultKind
from probes.simulator.formats import route
from probes.simulator.formats.gemini import (
    Gemini,
    bare_ask,
    empty_answer,
    error,
    page,
    picture_answer,
    read_ask,
)
from probes.simulator.picture import paint
from probes.simulator.player import FREE_CALL_S
from probes.simulator.wire import json_reply
from probes.simulator.world import EMPTY, Ask, Incoming, World

JOBS_MAX: Final = 1_000
ITEMS_MAX: Final = 100
_PROTO: Final = "type.googleapis.com/google.ai.generativelanguage.v1main."
# What a job that did not succeed tells at its top, with a code of gRPC.
_ERRORS: Final[Mapping[str, dict[str, Any]]] = {
    "CANCELLED": {"code": 1, "message": "Batch was cancelled."},
    "EXPIRED": {"code": 4, "message": "Batch expired."},
    "FAILED": {"code": 13, "message": "Internal error encountered."},
}
_ITEM_ERROR: Final = {
    "code": 8, "message": "Resource has been exhausted (e.g. check quota).", "details": [],
}  # fmt: skip
_ENDS: Final = {FaultKind.EXPIRED: "EXPIRED", FaultKind.JOB_FAILED: "FAILED"}


@dataclass(slots=True, kw_only=True)
class Job:
    """One batch job; *created* and *ended* are wall times, *at* and *lasts_s* real monotonic."""

    name: str
    ask: Ask
    label: str
    items: tuple[tuple[Any, Ask], ...]  # (metadata, what it asks)
    by_file: bool
    created: float
    at: float
    lasts_s: float
    cancelled_at: float | None = None
    results: list[dict[str, Any]] = field(default_factory=list)
    is_billed: bool = False


class GeminiBatch:
    """The batch routes of one account; keys and errors are those of *gemini*."""

    def __init__(self, world: World, gemini: Gemini) -> None:
        """Serve the queue of *gemini*'s account."""
        self.world, self.gemini = world, gemini
        self.jobs: OrderedDict[str, Job] = OrderedDict()

    def routes(self) -> list[Route]:
        """Return the routes."""
        table = [
            ("POST", "models/{model}:batchGenerateContent", self.create),
            ("GET", "batches", self.list_jobs),
            ("GET", "batches/{id}", self.get),
            ("POST", "batches/{id}:cancel", self.cancel),
            ("DELETE", "batches/{id}", self.delete),
            ("GET", "files/{id}:download", self.download),
        ]
        return [
            route(self.world, self.gemini.account, method, f"/{version}/{path}", handler)
            for version in ("v1", "v1beta")
            for method, path, handler in table
        ]

    async def create(self, incoming: Incoming) -> Response:
        """Queue a job; the plan's refusals come now, its empty answers in the items."""
        config = _mapping(_mapping(incoming.body.get("batch")).get("inputConfig"))
        items = _items(incoming, config)
        if 1 <= len(items) <= ITEMS_MAX:
            ask = items[0][1]
        else:
            ask = replace(bare_ask(incoming), refusal=f"Give 1 to {ITEMS_MAX} requests.")
        refused = self.world.admit(ask, self.gemini)
        if refused is not None:
            return refused
        ask = self.world.decided(ask)
        kind, scale = ask.decision.kind, self.world.plan.scale
        broken = await self.world.interrupted(
            replace(ask.decision, latency_s=min(ask.decision.latency_s, FREE_CALL_S / scale))
        )
        if broken is not None:
            return broken
        if kind in _AT_CREATE:
            assert kind is not None
            return self.gemini.refuse(ask, kind)
        name = f"batches/{ask.request_id.replace('-', '')}"
        job = Job(
            name=name,
            ask=ask,
            label=str(_mapping(incoming.body.get("batch")).get("displayName", "")),
            items=tuple(
                (metadata, replace(item, decision=ask.decision)) for metadata, item in items
            ),
            by_file="fileName" in config,
            created=self.world.clock.wall(),
            at=self.world.clock.monotonic(),
            lasts_s=self.world.plan.account(ask.account).batch_s * ask.decision.slower / scale,
        )
        self.jobs[name] = job
        while len(self.jobs) > JOBS_MAX:
            self.jobs.popitem(last=False)
        return self.world.mangled(json_reply(await self._operation(job)), ask.decision)

    async def get(self, incoming: Incoming) -> Response:
        """Show a job."""
        job = self._job(incoming.params["id"])
        answer = _not_found() if job is None else json_reply(await self._operation(job))
        return await self.world.free(bare_ask(incoming), self.gemini, answer)

    async def list_jobs(self, incoming: Incoming) -> Response:
        """List the jobs, newest first, in pages."""
        self._bill()
        listed, token = page([*reversed(self.jobs.values())], incoming.query)
        operations = [await self._operation(job) for job in listed]
        answer = json_reply({"operations": operations, **token})
        return await self.world.free(bare_ask(incoming), self.gemini, answer)

    async def cancel(self, incoming: Incoming) -> Response:
        """Cancel a job that is not done; a done one stays as it is."""
        job = self._job(incoming.params["id"])
        if job is not None and self._state(job) in {"PENDING", "RUNNING"}:
            job.cancelled_at = self.world.clock.monotonic()
        answer = _not_found() if job is None else json_reply({})
        return await self.world.free(bare_ask(incoming), self.gemini, answer)

    async def delete(self, incoming: Incoming) -> Response:
        """Forget a job."""
        job = self._job(incoming.params["id"])
        if job is not None:
            del self.jobs[job.name]
        answer = _not_found() if job is None else json_reply({})
        return await self.world.free(bare_ask(incoming), self.gemini, answer)

    async def download(self, incoming: Incoming) -> Response:
        """Send the results of a job that was created from a file, one JSON object a line."""
        job = self._job(incoming.params["id"].removeprefix("batch-"))
        if job is None or not job.by_file or self._state(job) != "SUCCEEDED":
            return await self.world.free(bare_ask(incoming), self.gemini, _not_found())
        lines = [
            json.dumps(
                {
                    "key": _mapping(result["metadata"]).get("key"),
                    **{part: result[part] for part in ("response", "error") if part in result},
                }
            )
            for result in await self._results(job)
        ]
        answer = Response("\n".join([*lines, ""]), media_type="application/octet-stream")
        return await self.world.free(bare_ask(incoming), self.gemini, answer)

    def _job(self, job_id: str) -> Job | None:
        self._bill()
        return self.jobs.get(f"batches/{job_id}")

    def _bill(self) -> None:
        """Charge the pictures of jobs that have ended since the last call; nobody need look."""
        for job in self.jobs.values():
            kind = job.ask.decision.kind
            is_drawn = kind not in EMPTY and kind is not FaultKind.ITEM_ERROR
            if self._state(job) == "SUCCEEDED" and is_drawn and not job.is_billed:
                job.is_billed = True
                for _ in job.items:
                    self.world.bill(job.ask.account, job.ask.model)

    def _state(self, job: Job) -> str:
        """Return the state without its prefix, from the clock alone."""
        if job.cancelled_at is not None:
            return "CANCELLED"
        age = self.world.clock.monotonic() - job.at
        if age < job.lasts_s:
            return "PENDING" if age < job.lasts_s / 4 else "RUNNING"
        kind = job.ask.decision.kind
        return "SUCCEEDED" if kind is None else _ENDS.get(kind, "SUCCEEDED")

    async def _operation(self, job: Job) -> dict[str, Any]:
        """Return the job as Google shows it."""
        state, age = self._state(job), self.world.clock.monotonic() - job.at
        done = state not in {"PENDING", "RUNNING"}
        count = str(len(job.items))
        field_name = "pendingRequestCount"
        if state == "SUCCEEDED":
            has_failed = job.ask.decision.kind is FaultKind.ITEM_ERROR
            field_name = "failedRequestCount" if has_failed else "successfulRequestCount"
        metadata: dict[str, Any] = {
            "@type": f"{_PROTO}GenerateContentBatch",
            "name": job.name,
            "model": f"models/{job.ask.model}",
            "displayName": job.label,
            "createTime": _stamp(job.created),
            "updateTime": _stamp(job.created + min(age, job.lasts_s)),
            "batchStats": {"requestCount": count, field_name: count},
            "state": f"BATCH_STATE_{state}",
        }
        operation: dict[str, Any] = {"name": job.name, "metadata": metadata}
        if done:
            took = job.lasts_s if job.cancelled_at is None else job.cancelled_at - job.at
            metadata["endTime"] = _stamp(job.created + took)
            operation["done"] = True
        if state == "SUCCEEDED":
            output = await self._output(job)
            metadata["output"] = output
            operation["response"] = {"@type": f"{_PROTO}GenerateContentBatchOutput", **output}
        elif done:
            operation["error"] = _ERRORS[state]
        return operation

    async def _output(self, job: Job) -> dict[str, Any]:
        if job.by_file:
            return {"responsesFile": f"files/batch-{job.name.removeprefix('batches/')}"}
        return {"inlinedResponses": {"inlinedResponses": await self._results(job)}}

    async def _results(self, job: Job) -> list[dict[str, Any]]:
        """Draw the pictures when they are first asked for, and keep them as long as the job."""
        if job.results:
            return job.results
        results = []
        for at, (metadata, ask) in enumerate(job.items):
            kind = ask.decision.kind
            if kind is FaultKind.ITEM_ERROR:
                results.append({"metadata": metadata, "error": _ITEM_ERROR})
                continue
            body = None if kind is None else empty_answer(ask, kind)
            if body is None:
                order = self.world.order(ask)
                order = replace(order, seed=f"{order.seed}/{at}")
                body = picture_answer(ask, order, await asyncio.to_thread(paint, order))
            results.append({"metadata": metadata, "response": body})
        job.results = job.results or results  # Another caller may have drawn them while we did.
        return job.results


_AT_CREATE: Final = frozenset({
    FaultKind.OVERLOADED, FaultKind.SERVER_ERROR, FaultKind.RATE_LIMITED,
    FaultKind.QUOTA_EXHAUSTED, FaultKind.NOT_ENTITLED, FaultKind.BILLING, FaultKind.AUTH,
    FaultKind.MODEL_GONE, FaultKind.BAD_REQUEST,
})  # fmt: skip


def _items(incoming: Incoming, config: Mapping[str, Any]) -> list[tuple[Any, Ask]]:
    """Return metadata and ask of each request of a job."""
    if "fileName" in config:
        # There is no upload route: the file's content is imagined, one request for a picture.
        contents = {"contents": [{"parts": [{"text": "A plain red square."}]}]}
        return [({"key": "request-1"}, read_ask(incoming, contents))]
    listed = _mapping(config.get("requests")).get("requests")
    entries = [_mapping(entry) for entry in listed] if isinstance(listed, list) else []
    return [
        (entry.get("metadata", {}), read_ask(incoming, _mapping(entry.get("request"))))
        for entry in entries
    ]


def _stamp(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def _not_found() -> Response:
    return error(404, "NOT_FOUND", "Requested entity was not found.")


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
