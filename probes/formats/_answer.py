"""
What all wire formats need of an answer: the object in it, the bytes, the links, the extras.

Every refusal leaves through here, so that each carries the reply's status and request id.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Generator
from dataclasses import replace
from math import gcd
from typing import Any, Final
from urllib.parse import SplitResult, quote, urlsplit

from probes.classify import classify, request_id
from probes.complaint import body_head, complains, one_line
from probes.model import ErrorClass, Outcome, Phase, Refused, Reply, Send, Target, Verdict
from probes.retry import parse_number

_URL_CHARS_MAX: Final = 8192  # Signed links are about 500; longer ones are no links.
_SERVER_TIMING: Final = re.compile(r"\bdur=([0-9.]{1,20})")
# What storage hosts say of a link whose time is over.
_LINK_DEAD: Final = frozenset({403, 404, 410})


def answer(reply: Reply, target: Target) -> dict[str, Any]:
    """Return the JSON object of a good reply; raises Refused for an error or another body."""
    doc = reply.json
    if not 200 <= reply.status < 300 or not isinstance(doc, dict) or complains(doc):
        raise Refused(classify(reply, relay=target.relay))
    return doc


def entries(doc: dict[str, Any], key: str, reply: Reply) -> list[Any]:
    """Return the list under *key*, empty when absent; raises Refused when it is no list."""
    value = doc.get(key)
    if value is not None and not isinstance(value, list):
        raise off_format(reply, f"{key} is no list")
    return value or []


def refuse(
    reply: Reply,
    error: ErrorClass,
    detail: str,
    *,
    code: str | None = None,
    finish: str | None = None,
    cost_usd: float | None = None,
) -> Refused:
    """Return the refusal of an answer that is the format but holds no usable picture."""
    return Refused(
        Verdict(
            error=error,
            detail=one_line(detail),
            code=code,
            finish_reason=finish,
            http_status=reply.status,
            request_id=request_id(reply),
            cost_usd=cost_usd,
        )
    )


def off_format(reply: Reply, detail: str) -> Refused:
    """Return the refusal of a 2xx that is not the format, with the head of its body."""
    verdict = Verdict(
        error=ErrorClass.PROTOCOL,
        detail=one_line(detail),
        http_status=reply.status,
        body_head=body_head(reply),
        request_id=request_id(reply),
    )
    return Refused(verdict)


def image_bytes(encoded: str, reply: Reply) -> bytes:
    """
    Return the bytes in *encoded*: base64, maybe wrapped in lines or in a ``data:`` URI.

    Raises:
        Refused: ``no_image`` when it is empty, ``bad_image`` when it is not base64.
    """
    encoded = encoded.lstrip()
    if encoded[:5].lower() == "data:":
        encoded = encoded.partition(",")[2]
    try:
        data = b64decode("".join(encoded.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise refuse(reply, ErrorClass.BAD_IMAGE, f"image is not base64: {error}") from error
    if not data:
        raise refuse(reply, ErrorClass.NO_IMAGE, "the image is empty")
    return data


def picture_at(url: str, reply: Reply) -> Generator[Send, Reply, bytes]:
    """Return the bytes behind a ``data:`` URI or a result link, which is fetched without keys."""
    if url.lstrip()[:5].lower() == "data:":
        return image_bytes(url, reply)
    if split_url(url) is None:
        raise off_format(reply, "the result link is not an http URL")
    link = yield Send(method="GET", url=url, phase=Phase.DOWNLOAD)
    if link.status in _LINK_DEAD:
        raise refuse(link, ErrorClass.EXPIRED, f"result link answered HTTP {link.status}")
    if not 200 <= link.status < 300:
        # The link's host was sent no key and no request of ours: what it refuses is not our fault.
        verdict = classify(link, relay=True)
        is_theirs = verdict.error.outcome is Outcome.BAD
        raise Refused(verdict if is_theirs else replace(verdict, error=ErrorClass.SERVER_ERROR))
    if not link.body:
        raise refuse(link, ErrorClass.NO_IMAGE, "the result link is empty")
    return link.body


def split_url(url: str) -> SplitResult | None:
    """Return the parts of an absolute http(s) URL in plain ASCII; None when it is anything else."""
    # URL parsers differ on blanks, backslashes and user names: refuse what they could disagree on.
    if len(url) > _URL_CHARS_MAX or not all("!" <= c <= "~" and c != "\\" for c in url):
        return None
    try:
        parts = urlsplit(url)
        ours = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if ours and "@" not in parts.netloc else None


def segment(text: str) -> str:
    """Return *text* as one path segment of a URL."""
    # Ids come out of replies, where JSON escapes can spell what UTF-8 cannot.
    return quote(text, safe="", errors="replace")


def aspect_ratio(size: tuple[int, int] | None) -> str:
    """Return a size in lowest terms, ``4:3``; a square where none is asked for."""
    width, height = size or (1, 1)
    common = gcd(width, height)
    return f"{width // common}:{height // common}"


def server_seconds(reply: Reply) -> float | None:
    """Return the seconds the provider says it worked, from OpenAI's or Google's header."""
    timing = _SERVER_TIMING.search(reply.headers.get("server-timing", "")[:1000])
    spelled = reply.headers.get("openai-processing-ms") or (timing[1] if timing else None)
    millis = parse_number(spelled)
    return None if millis is None else millis / 1000
