"""
``GET /probe?target=``: the last stored result in the vocabulary of blackbox_exporter.

A scrape of blackbox_exporter is a probe; one of this route never sends anything, because a probe
costs money and takes longer than a scrape may. What is not known has no series, and where nothing
fresh is known there is no ``probe_success``, which would be believed for as long as it is scraped.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from fastapi import APIRouter, Header, Query, Response
from prometheus_client.exposition import choose_encoder

from monitor.api.routes import EXPOSITION, NOT_FOUND, Sources, existing, published
from monitor.core.snapshot import LastProbe, LifeSign, State, TargetView
from monitor.exposition import Families, Spec
from probes.model import ErrorClass, Outcome, Phase

SPECS: Final = (
    Spec("probe_success", "Displays whether or not the probe was a success"),
    Spec("probe_duration_seconds", "Returns how long the probe took to complete in seconds"),
    Spec("probe_timeout_seconds", "Deadline of a probe of the target, in seconds"),
    Spec("probe_dns_lookup_time_seconds", "Returns the time taken for probe dns lookup in seconds"),
    Spec(
        "probe_http_duration_seconds",
        "Duration of http request by phase, summed over all requests of the probe",
        ("phase",),
    ),
    Spec("probe_http_status_code", "Response HTTP status code"),
    Spec("probe_http_content_length", "Length of http content response"),
    Spec("probe_http_ssl", "Indicates if SSL was used for the requests"),
    Spec("probe_http_version", "Returns the version of HTTP of the probe response"),
    Spec("probe_failure_info", "Why the probe failed, by imgmon's error class", ("error_class",)),
    Spec("probe_last_run_timestamp_seconds", "When the probe that is shown was sent"),
    Spec("probe_data_available", "1 where a fresh result is shown, 0 where none is stored"),
)
_BY_NAME: Final = {spec.name: spec for spec in SPECS}
# In the order of a request. What the provider does before its answer, queues included, is its
# processing; decoding the picture is our own time.
_PHASES: Final = {
    "resolve": (Phase.DNS,),
    "connect": (Phase.CONNECT,),
    "tls": (Phase.TLS,),
    "processing": (Phase.SEND, Phase.FIRST_BYTE, Phase.QUEUE),
    "transfer": (Phase.BODY, Phase.DOWNLOAD),
}
_VERSIONS: Final = {"HTTP/1.0": 1.0, "HTTP/1.1": 1.1, "HTTP/2": 2.0}


class Module(StrEnum):
    """What is shown: generations, by the name that stock configurations ask for too, or free calls."""

    HTTP_2XX = "http_2xx"
    CANARY = "canary"
    LIVENESS = "liveness"


def build(sources: Sources) -> APIRouter:
    """Return the router over *sources*."""
    router = APIRouter()

    @router.get(
        "/probe",
        responses={200: {"content": EXPOSITION}, **NOT_FOUND},
        response_class=Response,
        tags=["daemon"],
    )
    async def get_probe(
        target: Annotated[str, Query(pattern=r"^[A-Za-z0-9._-]{1,100}$")],
        module: Module = Module.HTTP_2XX,
        accept: Annotated[str, Header(max_length=1000)] = "",
    ) -> Response:
        """The last stored result of a target as blackbox_exporter would show it; sends nothing."""
        current = published(sources)
        view = current.snapshot.targets[existing(current, target)]
        is_current = sources.clock.wall() <= current.snapshot.stale_after
        show = liveness_families if module is Module.LIVENESS else generation_families
        encode, media_type = choose_encoder(accept)
        text = encode(show(view, is_current=is_current))
        return Response(text, headers={"Content-Type": media_type, "Vary": "Accept"})

    return router


def generation_families(view: TargetView, *, is_current: bool) -> Families:
    """
    Return the newest generation of a target, where it still says something.

    It does not where the target's state is unknown (nothing fresh came), where it was void, and
    where the snapshot itself is stale. A target that is unusable by now succeeds no more, whatever
    its last generation came to.
    """
    families, last = Families(_BY_NAME), view.last
    put = families.put
    put("probe_timeout_seconds", (), view.spec.deadline_s)
    is_known = is_current and view.health.state is not State.UNKNOWN
    if last is None or last.outcome is Outcome.VOID or not is_known:
        put("probe_data_available", (), 0)
        put("probe_last_run_timestamp_seconds", (), last.started_at if last else None)
        return families
    put("probe_data_available", (), 1)
    put("probe_last_run_timestamp_seconds", (), last.started_at)
    error = last.error
    if view.health.state is State.UNUSABLE:
        error = error or view.health.error
    _put_verdict(families, error)
    put("probe_duration_seconds", (), last.duration_s)
    _put_http(families, view, last)
    return families


def liveness_families(view: TargetView, *, is_current: bool) -> Families:
    """Return what the newest free call of a target came to; its state is unknown when it is old."""
    families, liveness = Families(_BY_NAME), view.liveness
    is_known = is_current and liveness.state is not LifeSign.UNKNOWN
    families.put("probe_data_available", (), is_known)
    families.put("probe_last_run_timestamp_seconds", (), liveness.at)
    if is_known:
        _put_verdict(families, liveness.error)
    return families


def _put_verdict(families: Families, error: ErrorClass | None) -> None:
    families.put("probe_success", (), error is None)
    if error is not None:
        families.put("probe_failure_info", (error.value,), 1)


def _put_http(families: Families, view: TargetView, last: LastProbe) -> None:
    put = families.put
    put("probe_dns_lookup_time_seconds", (), last.phases.get(Phase.DNS))
    for name, phases in _PHASES.items():
        spent = [last.phases[phase] for phase in phases if phase in last.phases]
        put("probe_http_duration_seconds", (name,), sum(spent) if spent else None)
    if last.http_status is None:  # Nothing answered.
        return
    put("probe_http_status_code", (), last.http_status)
    put("probe_http_content_length", (), last.received_bytes)
    put("probe_http_ssl", (), view.spec.base_url.startswith("https:"))
    put("probe_http_version", (), _VERSIONS.get(last.http_version or ""))
