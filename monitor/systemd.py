"""
What a daemon tells systemd (sd_notify(3)): a line of text to the socket that it names.

Without systemd nothing is told. The socket is one of its own, so the text is all it ever sees.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


def tell(state: str, environ: Mapping[str, str] = os.environ) -> bool:
    """
    Tell systemd *state*, such as ``READY=1``; return whether there was one to tell.

    A socket that is full or gone is no reason to stop a daemon: False then, too.
    """
    place = environ.get("NOTIFY_SOCKET", "")
    if not place.startswith(("/", "@")):
        return False
    # A name that begins with @ is in the abstract namespace, where it begins with a zero.
    address = "\0" + place[1:] if place.startswith("@") else place
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            sender.connect(address)
            sender.sendall(state.encode())
    except OSError:
        return False
    return True


def tell_reloading(monotonic_s: float) -> bool:
    """
    Tell systemd that a reload has begun; ``READY=1`` ends it.

    *monotonic_s* is CLOCK_MONOTONIC, by which systemd knows an answer from one to a signal before.
    """
    return tell(f"RELOADING=1\nMONOTONIC_USEC={monotonic_s * 1e6:.0f}")


def watchdog_s(environ: Mapping[str, str] = os.environ) -> float | None:
    """
    Return after how many seconds without ``WATCHDOG=1`` systemd restarts this process.

    None where it does not watch, or watches another process (sd_watchdog_enabled(3)).
    """
    text, owner = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not (text.isdecimal() and int(text) > 0) or (owner and owner != str(os.getpid())):
        return None
    return int(text) / 1e6
