"""
Where commands that only look get what is published: the running daemon, else its store.

Both answer with the documents of the HTTP API, so what is shown cannot differ. The store is read as
a daemon would at its start, without its lock; nothing is sent or written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar
from urllib.error import HTTPError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import ProxyHandler, build_opener

from pydantic import BaseModel, ValidationError

from monitor.api import encode
from monitor.api.schemas import (
    LivenessOut,
    PoolsOut,
    PriorityOut,
    TargetDetailOut,
    TargetsOut,
)
from monitor.cli.common import ConfigProblem, NothingToRead, read_config
from monitor.clock import SystemClock
from monitor.config import Config
from monitor.config.values import LOOPBACK
from monitor.core.snapshot import Snapshot
from monitor.core.words import span
from monitor.engine import Engine
from monitor.errors import MonitorError, StoreError
from monitor.past import restore
from monitor.steps import at_once
from monitor.store.reader import Reader

_TIMEOUT_S: Final = 5.0
# The largest fleet's list of targets is about 4 MB.
_ANSWER_BYTES_MAX: Final = 32 * 1024 * 1024
_ANY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - listened on, not asked

Document = TypeVar("Document", bound=BaseModel)


class UnreachableError(MonitorError):
    """No daemon answers; the text says where, and what happened instead."""


class Source(Protocol):
    """
    The published documents, of one moment or of successive ones.

    Attributes:
        said: Where they come from, a sentence for people; empty for the daemon that was asked.
        origin: The same for programs.
    """

    said: str
    origin: Mapping[str, Any]

    def pools(self) -> PoolsOut:
        """Return every pool."""
        ...

    def order(self, pool: str, profile: str) -> PriorityOut:
        """Return the order of a pool that there is."""
        ...

    def targets(self) -> TargetsOut:
        """Return every target without its windows."""
        ...

    def target(self, target: str) -> TargetDetailOut:
        """Return a target that there is."""
        ...


class Remote:
    """The daemon that answers at *url*; every method raises UnreachableError when it does not."""

    said = ""

    def __init__(self, url: str) -> None:
        """Ask at *url*, without a trailing slash."""
        self._url = url
        self.origin: Mapping[str, Any] = {"kind": "daemon", "url": url}
        # A proxy of the environment cannot reach what listens on this machine alone.
        direct = urlsplit(url).hostname in LOOPBACK
        self._opener = build_opener(ProxyHandler({}) if direct else ProxyHandler())
        token = os.environ.get("IMGMON_TOKEN")
        if token:
            self._opener.addheaders.append(("Authorization", f"Bearer {token}"))

    def pools(self) -> PoolsOut:
        """Return every pool."""
        return self._get("/v1/pools", PoolsOut)

    def order(self, pool: str, profile: str) -> PriorityOut:
        """Return the order of a pool that there is."""
        query = urlencode({"profile": profile})
        return self._get(f"/v1/pools/{quote(pool)}/priority?{query}", PriorityOut)

    def targets(self) -> TargetsOut:
        """Return every target without its windows."""
        return self._get("/v1/targets", TargetsOut)

    def target(self, target: str) -> TargetDetailOut:
        """Return a target that there is."""
        return self._get(f"/v1/targets/{quote(target)}", TargetDetailOut)

    def _get(self, path: str, kind: type[Document]) -> Document:
        url = f"{self._url}{path}"
        try:
            with self._opener.open(url, timeout=_TIMEOUT_S) as answer:
                body = answer.read(_ANSWER_BYTES_MAX)
        except HTTPError as error:
            hint = "; put a token into IMGMON_TOKEN" if error.code in (401, 403) else ""
            with error:
                raise UnreachableError(
                    f"{url} answers {error.code} {error.reason}{hint}"
                ) from error
        except (OSError, HTTPException) as error:
            why = getattr(error, "reason", error)
            raise UnreachableError(f"no daemon answers at {self._url}: {why}") from error
        try:
            return kind.model_validate_json(body)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the body"
            raise UnreachableError(
                f"what answers at {url} is no imgmon of this version: {where}: {first['msg']}"
            ) from error


class Stored:
    """What a daemon would publish of the store at this moment."""

    def __init__(self, snapshot: Snapshot, said: str, origin: Mapping[str, Any]) -> None:
        """Answer from *snapshot*."""
        self._bodies = at_once(encode.Encoder()(snapshot))
        self.said = said
        self.origin = origin

    def pools(self) -> PoolsOut:
        """Return every pool."""
        return self._get(encode.POOLS_KEY, PoolsOut)

    def order(self, pool: str, profile: str) -> PriorityOut:
        """Return the order of a pool that there is."""
        return self._get(encode.priority_key(pool, profile, "full"), PriorityOut)

    def targets(self) -> TargetsOut:
        """Return every target without its windows."""
        return self._get(encode.TARGETS_KEY, TargetsOut)

    def target(self, target: str) -> TargetDetailOut:
        """Return a target that there is."""
        return self._get(encode.target_key(target), TargetDetailOut)

    def _get(self, key: str, kind: type[Document]) -> Document:
        return kind.model_validate_json(self._bodies[key].data)


def order_out(snapshot: Snapshot, pool: str, profile: str) -> PriorityOut:
    """Return an order of *snapshot* as the API gives it."""
    document = encode.order_document(snapshot.orders[pool, profile], snapshot)
    return PriorityOut.model_validate(document)


def liveness_out(snapshot: Snapshot) -> dict[str, LivenessOut]:
    """Return what the free calls of each target in *snapshot* say, as the API gives it."""
    return {
        target: LivenessOut.model_validate(
            encode.liveness_document(view.liveness, view.spec.liveness_s)
        )
        for target, view in snapshot.targets.items()
    }


@dataclass(frozen=True, slots=True)
class Asked:
    """Where to ask: a configuration file, and the address to use instead of the one in it."""

    path: Path
    url: str | None

    def remote(self) -> Remote:
        """Return the daemon, whether it answers or not."""
        return Remote(self.url.rstrip("/") if self.url else listening_url(read_config(self.path)))

    def source(self) -> Source:
        """
        Return the daemon if it answers, else its store.

        Raises:
            NothingToRead: There is neither; exit code 3.
            ConfigProblem: The configuration or the store cannot be used; exit code 2.
        """
        remote = self.remote()
        try:
            remote.pools()
        except UnreachableError as error:
            if self.url is not None and not self.path.exists():
                # Another machine's daemon can be asked without any file of it.
                missing = f"{error}; and there is no {self.path} that names a store"
                raise NothingToRead(missing) from error
            return stored(read_config(self.path), str(error))
        return remote


def listening_url(config: Config) -> str:
    """Return where the daemon of *config* is asked from this machine."""
    host, port = config.listen
    host = _ANY_ADDRESS.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def stored(config: Config, why: str) -> Stored:
    """Return what the store of *config* holds; *why* says what made us read it."""
    now = SystemClock().wall()
    path = config.store_path
    if not path.exists():
        raise NothingToRead(f"{why}; and there is no store at {path}")
    engine = Engine(config.specs, config.pools, config.policy, config.providers)
    try:
        with closing(Reader(path)) as reader:
            restore(engine, reader, config, now)
            newest = reader.newest()
    except StoreError as error:
        raise ConfigProblem(f"{why}; and {error}") from error
    if newest is None:
        raise NothingToRead(f"{why}; and the store at {path} holds no probe yet")
    age = span(max(0.0, now - newest))
    return Stored(
        engine.tick(now),
        f"{why}. This is what its store {path} says; its newest row is {age} old.",
        {
            "kind": "store",
            "path": str(path),
            "newest_row_at": encode.timestamp(newest),
            "daemon_error": why,
        },
    )


def dump(document: BaseModel) -> Any:
    """Return *document* as plain JSON values, under the names that the API uses."""
    return json.loads(document.model_dump_json(by_alias=True))
