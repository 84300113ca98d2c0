"""Black Forest Labs as a server: submit, poll, fetch a signed link that soon dies."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any, Final

from starlette.responses import Response
from starlette.routing import Route

from probes.simulator.faults import FaultKind
from probes.simulator.formats import route
from probes.simulator.picture import MIME, PictureOrder
from probes.simulator.player import FREE_CALL_S
from probes.simulator.wire import json_reply
from probes.simulator.world import EMPTY, Ask, Incoming, World

TASKS_MAX: Final = 10_000
_SIDE_MIN, _SIDE_MAX, _STEP, _AREA_MAX = 64, 4096, 16, 4_194_304
_DETAILS: Final[dict[FaultKind, tuple[int, str]]] = {
    FaultKind.OVERLOADED: (503, "Service Unavailable"),
    FaultKind.SERVER_ERROR: (500, "Internal Server Error"),
    FaultKind.RATE_LIMITED: (429, "Rate limit exceeded: too many active tasks (max 24)"),
    FaultKind.QUOTA_EXHAUSTED: (429, "Daily quota of this organization exceeded"),
    FaultKind.NOT_ENTITLED: (403, "This organization has no access to this model"),
    FaultKind.BILLING: (402, "Insufficient credits"),
    FaultKind.AUTH: (401, "Not authenticated - invalid key"),
    FaultKind.MODEL_GONE: (404, "Not Found"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A job: what it asks, and when it is ready (monotonic seconds)."""

    ask: Ask
    order: PictureOrder
    started: float
    ready_at: float


class Bfl:
    """The dialect and its routes for one account."""

    def __init__(self, world: World, account: str) -> None:
        """Speak for *account*."""
        self.world, self.account = world, account
        self.tasks: OrderedDict[str, Task] = OrderedDict()

    def routes(self) -> list[Route]:
        """Return the routes; any other path under ``/v1`` is a model."""
        table = [
            ("GET", "/v1/get_result", self.get_result),
            ("GET", "/v1/credits", self.credits),
            ("POST", "/v1/{model}", self.submit),
        ]
        return [
            route(self.world, self.account, method, path, handler)
            for method, path, handler in table
        ]

    def key(self, incoming: Incoming) -> str | None:
        """Return the key from its header."""
        return incoming.headers.get("x-key")

    def no_key(self, ask: Ask) -> Response:
        """Answer a caller without a key."""
        del ask
        return json_reply({"detail": "Not authenticated"}, 403)

    def refuse(self, ask: Ask, kind: FaultKind) -> Response:
        """Answer a trouble at the door."""
        if kind is FaultKind.BAD_REQUEST:
            message = ask.refusal or "Input should be valid"
            detail = [{"loc": ["body"], "msg": message, "type": "value_error"}]
            return json_reply({"detail": detail}, 422)
        status, words = _DETAILS[kind]
        wait = ask.decision.retry_after_s
        headers = {} if wait is None else {"retry-after": f"{wait:.3f}"}
        return json_reply({"detail": words}, status, headers)

    async def submit(self, incoming: Incoming) -> Response:
        """Take a job."""
        ask = _read(incoming)
        refused = self.world.admit(ask, self)
        if refused is not None:
            return refused
        ask = self.world.decided(ask)
        decision, kind = ask.decision, ask.decision.kind
        at_door = min(decision.latency_s, FREE_CALL_S / self.world.plan.scale)
        broken = await self.world.interrupted(replace(decision, latency_s=at_door))
        if broken is not None:
            return broken
        if kind in _DETAILS or kind is FaultKind.BAD_REQUEST:
            assert kind is not None
            return self.refuse(ask, kind)
        now = self.world.clock.monotonic()
        self.tasks[ask.request_id] = Task(
            ask=ask,
            order=self.world.order(ask),
            started=now,
            ready_at=now + decision.latency_s,
        )
        while len(self.tasks) > TASKS_MAX:
            self.tasks.popitem(last=False)
        self.world.bill(self.account, ask.model)
        megapixels = ask.size[0] * ask.size[1] / 1e6
        answer = json_reply(
            {
                "id": ask.request_id,
                "polling_url": f"{incoming.base}/v1/get_result?id={ask.request_id}",
                "cost": round(self.world.plan.account(self.account).price_usd(ask.model) * 100, 4),
                "input_mp": 0.0,
                "output_mp": round(megapixels, 2),
            }
        )
        return self.world.mangled(answer, decision)

    async def get_result(self, incoming: Incoming) -> Response:
        """Show a job; a ready one carries the link."""
        task = self.tasks.get(incoming.query.get("id", ""))
        ask = Ask(incoming=incoming, model="", prompt="", size=(1024, 1024))
        body = {"status": "Task not found"} if task is None else self._status(task, incoming)
        shown = {"result": None, "progress": None, "details": None, "preview": None}
        answer = json_reply({"id": incoming.query.get("id", ""), **shown, **body})
        return await self.world.free(ask, self, answer)

    async def credits(self, incoming: Incoming) -> Response:
        """Tell the credits left; one is a cent."""
        left = 5_000.0 - self.world.meter(self.account).billed_usd * 100
        ask = Ask(incoming=incoming, model="", prompt="", size=(1024, 1024))
        return await self.world.free(ask, self, json_reply({"credits": round(left, 4)}))

    def _status(self, task: Task, incoming: Incoming) -> dict[str, Any]:
        now = self.world.clock.monotonic()
        took = task.ready_at - task.started
        if now < task.ready_at:
            return {"status": "Pending", "progress": round((now - task.started) / took, 2)}
        kind, sample = task.ask.decision.kind, None
        if kind is FaultKind.POLICY_BLOCKED:
            details = {"Moderation Reasons": ["Safety Filter"]}
            return {"status": "Content Moderated", "details": details}
        if kind not in EMPTY:
            # The caller may reach us by another name when it polls than when it submitted.
            ask = replace(task.ask, incoming=replace(task.ask.incoming, origin=incoming.origin))
            sample = self.world.link(ask, task.order, task.ready_at)
        end = self.world.clock.wall() - (now - task.ready_at)
        result = {
            "sample": sample,
            "prompt": task.ask.prompt,
            "seed": task.ask.incoming.body.get("seed", 0),
            "start_time": end - took,
            "end_time": end,
            "duration": took,
        }
        return {"status": "Ready", "result": result}


def _read(incoming: Incoming) -> Ask:
    """Read a submit; what is wrong with it ends in ``refusal``."""
    body = incoming.body
    width, height = body.get("width", 1024), body.get("height", 1024)
    form = str(body.get("output_format", "jpeg"))
    sides_fit = all(
        isinstance(side, int) and _SIDE_MIN <= side <= _SIDE_MAX and side % _STEP == 0
        for side in (width, height)
    )
    refusal = ""
    if not isinstance(body.get("prompt"), str) or not body.get("prompt"):
        refusal = "prompt: Field required"
    elif not sides_fit or width * height > _AREA_MAX:
        refusal = "width, height: multiples of 16 from 64, at most 4 megapixels together"
    elif form not in MIME:
        refusal = f"output_format: Input should be one of {', '.join(MIME)}"
    return Ask(
        incoming=incoming,
        model=incoming.params["model"],
        prompt=str(body.get("prompt", "")),
        size=(width, height) if sides_fit else (1024, 1024),
        format=form if form in MIME else "jpeg",
        refusal=refusal,
    )
