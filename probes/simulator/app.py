"""
The simulator as an ASGI application: every provider under its own prefix, and a control route.

The prefix is the account: fault plans speak of accounts.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Final

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from probes.simulator.faults import Fault, FaultPlan, PlanError
from probes.simulator.formats import route
from probes.simulator.formats.bfl import Bfl
from probes.simulator.formats.gemini import Gemini
from probes.simulator.formats.gemini_batch import GeminiBatch
from probes.simulator.formats.imagen import Imagen
from probes.simulator.formats.openai_chat import OpenAIChat
from probes.simulator.formats.openai_images import OpenAIImages
from probes.simulator.picture import paint
from probes.simulator.wire import html_page
from probes.simulator.world import Clock, Incoming, World

CONTROL_BYTES_MAX: Final = 64 * 1024


def _google(world: World, account: str) -> list[Route]:
    gemini = Gemini(world, account, free_tier=account == "gemini-free")
    return [*GeminiBatch(world, gemini).routes(), *gemini.routes()]


def _openai(world: World, account: str) -> list[Route]:
    return [*OpenAIImages(world, account).routes(), *OpenAIChat(world, account).routes()]


def _relay(world: World, account: str) -> list[Route]:
    return [
        *OpenAIImages(world, account, relay=True).routes(),
        *OpenAIChat(world, account, relay=True).routes(),
        *Gemini(world, account, relay=True).routes(),
    ]


ACCOUNTS: Final[Mapping[str, Callable[[World, str], list[Route]]]] = MappingProxyType(
    {
        "gemini": _google,
        "gemini-free": _google,
        "imagen": lambda world, account: Imagen(world, account).routes(),
        "openai": _openai,
        "laozhang": _relay,
        "laozhang-vip": _relay,
        "laozhang-2": _relay,
        "bfl": lambda world, account: Bfl(world, account).routes(),
    }
)


class Simulator(Starlette):
    """
    All providers in one application.

    Attributes:
        world: What was asked, drawn and billed so far; the plan and the live faults.
    """

    def __init__(self, plan: FaultPlan, clock: Clock) -> None:
        """Begin *plan* now; raises PlanError when it names an account that does not exist."""
        for account in plan.accounts:
            if account not in ACCOUNTS:
                known = ", ".join(ACCOUNTS)
                raise PlanError(f"accounts.{account}: unknown account; known are {known}")
        self.world = World(plan, clock)
        mounts = [
            Mount(f"/{account}", routes=make(self.world, account))
            for account, make in ACCOUNTS.items()
        ]
        extra = [
            route(self.world, "delivery", "GET", "/delivery/{name}", self._deliver),
            route(self.world, "redirected", "GET", "/redirected", _redirected),
            route(self.world, "redirected", "POST", "/redirected", _redirected),
            Route("/inbox", _taken, methods=["POST"]),
            Route("/_control/faults/{account}", self._fault, methods=["POST", "DELETE"]),
            Route("/_control/requests", self._requests),
            Route("/_control/plan", self._plan),
        ]
        super().__init__(routes=[*extra, *mounts], exception_handlers={ClientDisconnect: _gone})

    async def _deliver(self, incoming: Incoming) -> Response:
        """Send the picture behind a result link, unless it is dead or keys were sent along."""
        if incoming.headers.keys() & {"x-key", "authorization", "x-goog-api-key"}:
            return Response("InvalidAuthenticationInfo", 400)
        link = self.world.links.get(incoming.params["name"])
        if link is None:
            return Response("BlobNotFound", 404)
        if self.world.clock.monotonic() >= link.dies_at:
            return Response("AuthenticationFailed: signature not valid in this time frame", 403)
        image = await asyncio.to_thread(paint, link.order)
        return Response(
            image[: len(image) // 2] if link.corrupt else image, 200, {}, link.order.mime
        )

    async def _fault(self, request: Request) -> Response:
        """Replace or clear an account's live fault."""
        account = request.path_params["account"]
        if not _is_local(request):
            return _problem(403, "only from this machine")
        if account not in ACCOUNTS:
            return _problem(404, f"no account {account!r}; there are {', '.join(ACCOUNTS)}")
        if request.method == "DELETE":
            self.world.player.live.pop(account, None)
            return Response(status_code=204)
        raw = bytearray()
        async for chunk in request.stream():
            raw += chunk
            if len(raw) > CONTROL_BYTES_MAX:
                return _problem(413, "request too large")
        try:
            fault = Fault.from_dict(json.loads(raw))
        except (ValueError, RecursionError) as error:  # PlanError is a ValueError.
            return _problem(400, str(error))
        self.world.player.live[account] = fault
        return Response(status_code=204)

    async def _requests(self, request: Request) -> Response:
        """Tell what each account was asked and has billed."""
        if not _is_local(request):
            return _problem(403, "only from this machine")
        return JSONResponse({name: asdict(meter) for name, meter in self.world.meters.items()})

    async def _plan(self, request: Request) -> Response:
        """Tell the plan, the live faults and how far the plan is, in its own seconds."""
        if not _is_local(request):
            return _problem(403, "only from this machine")
        plan, live = self.world.plan, self.world.player.live
        return JSONResponse(
            {
                "plan": asdict(plan),
                "live": {account: asdict(fault) for account, fault in live.items()},
                "plan_s": self.world.elapsed_s * plan.scale,
            }
        )


async def _gone(_: Request, __: Exception) -> Response:
    """End a request whose client died within its body: no fault that a log needs to trace."""
    return Response(status_code=400)


async def _taken(_: Request) -> Response:
    """Take what a notification route posts; nobody reads it."""
    return Response(status_code=204)


async def _redirected(incoming: Incoming) -> Response:
    """Show who follows a redirect, in the record of requests."""
    del incoming
    return html_page(200)


def _problem(status: int, detail: str) -> Response:
    return JSONResponse({"error": detail}, status)


def _is_local(request: Request) -> bool:
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
