"""
The client of a daemon: the order at hand in microseconds, and a failover that follows it.

Imports httpx and the standard library, nothing else of ours.
"""

from monitor.client.background import Settings, Status
from monitor.client.client import AsyncPriorityClient, PriorityClient
from monitor.client.errors import BadImage, ErrorClass, Failure, NoImage, judge
from monitor.client.failover import AllFailed, Attempt, Failover, Tried
from monitor.client.order import Order, Place, Source

__all__ = [
    "AllFailed",
    "AsyncPriorityClient",
    "Attempt",
    "BadImage",
    "ErrorClass",
    "Failover",
    "Failure",
    "NoImage",
    "Order",
    "Place",
    "PriorityClient",
    "Settings",
    "Source",
    "Status",
    "Tried",
    "judge",
]
