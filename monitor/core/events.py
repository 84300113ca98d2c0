"""
What is worth telling once, in words a program can follow: the kinds of event, and one event.

An event is a fact with a time. It is stored before anybody is told of it, under an id that grows and
is never given twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class EventKind(StrEnum):
    """What happened."""

    INCIDENT_OPENED = "incident_opened"  # That is when it is confirmed.
    INCIDENT_CLOSED = "incident_closed"
    INCIDENT_REOPENED = "incident_reopened"
    STATE_CHANGED = "state_changed"
    ORDER_CHANGED = "order_changed"
    SPEND_CAP_NEAR = "spend_cap_near"
    SPEND_CAP_REACHED = "spend_cap_reached"
    MODEL_CHANGED = "model_changed"
    PRICE_CHANGED = "price_changed"
    SHUTDOWN_ANNOUNCED = "shutdown_announced"
    OUTPUT_CHANGED = "output_changed"
    OUR_NETWORK_SUSPECTED = "our_network_suspected"
    OUR_NETWORK_RESTORED = "our_network_restored"
    NOTIFICATION_GIVEN_UP = "notification_given_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """
    One fact. Whom it is about is None where that does not apply.

    Attributes:
        at: Wall time at which it was known, seconds since the epoch.
        data: What a reader needs to know of it, as JSON can hold it.
        probe_id: The probe that showed it. Of one probe there is at most one event of a kind, and
            of an incident's kinds one for each scope.
    """

    kind: EventKind
    at: float
    target: str | None = None
    pool: str | None = None
    provider: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    probe_id: str | None = None
