"""
Who may ask for what.

Reading asks for no token where the daemon listens on this machine alone, or where the owner says
so. What decides is the address that is listened on, not the peer's: behind a proxy on the same host
every peer is this machine. Nothing that writes or pays works without a token, anywhere.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final

from fastapi import HTTPException, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from monitor.api.problems import problem
from monitor.config import Config
from monitor.config.values import LOOPBACK
from monitor.tokens import Scope, TokenBook

# What a container's health check asks for tells nothing of anybody.
_ALWAYS_OPEN: Final = frozenset({"/livez", "/readyz"})
_REALM: Final = 'realm="imgmon"'
_bearer: Final = HTTPBearer(
    auto_error=False, scheme_name="token", description="Made by `imgmon token new`."
)


class Access:
    """The rules of one server."""

    def __init__(
        self, tokens: TokenBook, *, is_reading_open: bool, hosts: frozenset[str] | None = None
    ) -> None:
        """
        Let in who holds one of *tokens*.

        Args:
            tokens: Those that are known.
            is_reading_open: Reading asks for no token.
            hosts: Names by which the server may be called, in lower case and without a port; None
                for any. On loopback this keeps web pages out that have their own name resolve to
                this machine (DNS rebinding).
        """
        self._tokens = tokens
        self._hosts = hosts
        self.is_reading_open = is_reading_open

    def caller(self, authorization: str | None, scope: Scope) -> str:
        """
        Return the name of the token in an Authorization header, if it allows *scope*.

        Raises:
            HTTPException: 401 without a valid token, 403 where it lacks the scope.
        """
        text = _token_in(authorization, scope)
        if text is None:
            raise _refusal(401, f"This asks for a token with the scope {scope.value!r}.", "")
        token = self._tokens.find(text)
        if token is None:
            detail = "The token is unknown, revoked or expired."
            raise _refusal(401, detail, 'error="invalid_token"')
        if scope not in token.scopes:
            detail = f"The token {token.name!r} lacks the scope {scope.value!r}."
            raise _refusal(403, detail, f'error="insufficient_scope", scope="{scope.value}"')
        return token.name

    def check_host(self, host: str) -> None:
        """
        Raise an HTTPException unless the server may be called *host* (with or without a port).

        Raises:
            HTTPException: 421.
        """
        name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
        name = name.strip("[]").rstrip(".").lower()
        # Browsers always send one; simple health checks do not.
        if name and self._hosts is not None and name not in self._hosts:
            raise HTTPException(
                421,
                f"This daemon is not called {name!r}; add the name to [server] hosts if it is.",
            )

    def check_reading(self, authorization: str | None) -> None:
        """
        Raise an HTTPException where reading asks for a token that the header lacks.

        Raises:
            HTTPException: As of :meth:`caller`.
        """
        if not self.is_reading_open:
            self.caller(authorization, Scope.READ)


def _token_in(authorization: str | None, scope: Scope) -> str | None:
    """Return the token of a header: a bearer's, or for reading the password a browser asks for."""
    kind, _, rest = (authorization or "").partition(" ")
    rest = rest.strip()
    if kind.lower() == "bearer" and rest:
        return rest
    # A browser sends a password along with what other pages make it send: good for reading only.
    if kind.lower() == "basic" and scope is Scope.READ:
        try:
            return base64.b64decode(rest, validate=True).decode().partition(":")[2] or None
        except (binascii.Error, UnicodeDecodeError):
            return None
    return None


def _refusal(status: int, detail: str, error: str) -> HTTPException:
    challenge = f"Bearer {_REALM}" + (f", {error}" if error else "")
    if status == 401 and not error:
        challenge += f", Basic {_REALM}"
    return HTTPException(status, detail, {"WWW-Authenticate": challenge})


def needs(access: Access, scope: Scope) -> Callable[..., Coroutine[Any, Any, str]]:
    """Return a dependency that gives the caller's name, or refuses whoever lacks *scope*."""

    async def caller(
        credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    ) -> str:
        header = None if credentials is None else f"Bearer {credentials.credentials}"
        return access.caller(header, scope)

    return caller


def access_of(config: Config, tokens: TokenBook) -> Access:
    """Return the rules that *config* sets."""
    is_local = config.listen[0] in LOOPBACK
    return Access(
        tokens,
        is_reading_open=is_local or config.public_read,
        hosts=frozenset(map(str.lower, config.hosts)) | LOOPBACK if is_local else None,
    )


class Gate:
    """Checks the host and, for what only reads, the token, before anything is routed."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        """Stand before *app*."""
        self._app = app
        self._access = access

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer with a problem."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            try:
                self._access.check_host(headers.get("Host", ""))
                if scope["method"] in ("GET", "HEAD") and scope["path"] not in _ALWAYS_OPEN:
                    self._access.check_reading(headers.get("Authorization"))
            except HTTPException as error:
                answer = problem(error.status_code, error.detail, headers=dict(error.headers or {}))
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)
