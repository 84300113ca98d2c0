"""
Free calls that several wire formats make: a model, a list of models, a relay's balance.

None of them touches the serving of pictures: they prove host, key and, at best, that the model's
name is known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any, Final

from probes.classify import request_id
from probes.complaint import complains, dig, one_line
from probes.formats._answer import answer, off_format
from probes.model import Alive, ErrorClass, FreeCall, Refused, Reply, Send, Target, Verdict

# The one-api family counts money in this part of a US dollar.
_QUOTA_PER_USD: Final = 500_000


def keyed_answer(reply: Reply, target: Target) -> dict[str, Any]:
    """
    Return the JSON object that answers a call which names no model; raises Refused.

    A 404 is no word on our model there: the host has no such call, so our request is wrong.
    """
    try:
        return answer(reply, target)
    except Refused as refused:
        verdict = refused.verdict
        if verdict.error is not ErrorClass.MODEL_GONE:
            raise
        detail = one_line(f"the host knows no such free call: {verdict.detail}")
        raise Refused(replace(verdict, error=ErrorClass.BAD_REQUEST, detail=detail)) from refused


def one_model(target: Target, url: str, auth: Mapping[str, str], name: str) -> FreeCall:
    """Ask *url* for the description of the target's model, in which *name* names it."""
    reply = yield Send(method="GET", url=url, headers=auth)
    doc = answer(reply, target)
    if not isinstance(doc.get(name), str):
        raise off_format(reply, f"a model without {name}")
    return Alive(
        detail="the model is known",
        shutdown_on=shutdown_day(doc),
        request_id=request_id(reply),
    )


def all_models(
    target: Target, url: str, auth: Mapping[str, str], *, items: str = "data", name: str = "id"
) -> FreeCall:
    """
    Ask *url* for the list of models, under *items*, each named by *name*.

    That ours is not among them is only said: relays leave out what they serve all the same.
    """
    reply = yield Send(method="GET", url=url, headers=auth)
    listed = keyed_answer(reply, target).get(items)
    if not isinstance(listed, list):
        raise off_format(reply, f"no list of models in {items}")
    names = {str(dig(entry, name)).removeprefix("models/"): entry for entry in listed}
    ours = names.get(target.model.removeprefix("models/"))
    missing = "" if ours else f", {target.model} is not among them"
    return Alive(
        detail=one_line(f"{len(names)} models are listed{missing}"),
        shutdown_on=shutdown_day(ours),
        request_id=request_id(reply),
    )


def with_balance(target: Target, alive: Alive) -> FreeCall:
    """
    Return *alive* with the balance at a relay of the one-api family, if its token is known.

    What goes wrong in telling it says nothing of the target's own key, so it is only said.
    """
    if not target.balance_key:
        return alive
    reply = yield Send(
        method="GET",
        url=f"{target.base_url.removesuffix('/v1')}/api/user/self",
        headers={"authorization": target.balance_key},  # Without Bearer.
    )
    quota = amount(dig(reply.json, "data", "quota"))
    # Only the status is told of a refusal: the body may show the account's token.
    if quota is None or not 200 <= reply.status < 300 or complains(reply.json):
        detail = f"{alive.detail}; the balance is not told: HTTP {reply.status}"
        return replace(alive, detail=detail)
    return replace(alive, balance_usd=quota / _QUOTA_PER_USD)


def shutdown_day(model: Any) -> str | None:
    """Return the ISO day from which a described model will be gone; None when none is told."""
    told = dig(model, "shutdown_date")
    if not isinstance(told, str):
        return None
    try:
        return date.fromisoformat(told[:10]).isoformat()
    except ValueError:
        return None


def amount(value: Any) -> float | None:
    """Return a number of JSON, which may be negative, as a finite float; None when it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # JSON's whole numbers have no bound.
        return None


def no_such_call(*choices: str) -> Refused:
    """Return the refusal of an option ``liveness`` that is none of *choices*."""
    detail = f"option liveness must be one of {', '.join(choices)}"
    return Refused(Verdict(error=ErrorClass.BAD_REQUEST, detail=detail))
