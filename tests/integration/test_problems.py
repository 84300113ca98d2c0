"""Refusals point at what is wrong, whatever part of a request it is in."""

from __future__ import annotations

import socket

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, Field

from monitor.api import problems
from monitor.api.holds import Holds
from tests.support.serving import served

pytestmark = pytest.mark.anyio


class Row(BaseModel):
    """A field whose name needs both escapes."""

    number: int = Field(alias="a/b~")


class Rows(BaseModel):
    """A list of them."""

    rows: list[Row]


@pytest.fixture
def app() -> FastAPI:
    """One route that takes a body."""
    app = FastAPI()
    app.state.holds = Holds()
    problems.install(app)

    @app.post("/rows")
    async def post_rows(rows: Rows) -> None:
        """Take *rows*."""

    return app


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'{"rows": [{"a/b~": 1}, {"a/b~": "x"}]}', "/rows/1/a~1b~0"),
        (b'{"rows": 1}', "/rows"),
        (b"[]", ""),
        (b'{"rows": ', ""),
    ],
)
async def test_a_field_of_a_body_is_pointed_at_as_rfc_6901_says(app, body, pointer):
    """Names are escaped, places in lists count from 0, the whole body is the empty pointer."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        headers = {"Content-Type": "application/json"}
        answer = await http.post("/rows", content=body, headers=headers)

    assert (422, [pointer]) == (answer.status_code, [e["pointer"] for e in answer.json()["errors"]])


async def test_a_connection_that_is_kept_sends_without_delay(app):
    """Nagle's algorithm would hold back each answer until its headers are acknowledged."""
    async with served(app) as (server, base), httpx.AsyncClient(base_url=base) as http:
        await http.get("/rows")
        (connection,) = server.server_state.connections
        kept = connection.transport.get_extra_info("socket")

        assert 0 != kept.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_a_path_names_all_of_its_methods_and_bytes_that_are_no_text_are_a_problem(app):
    """The router knows the first route of a path alone, and FastAPI has a 400 of its own."""

    @app.delete("/rows")
    async def delete_rows() -> None:
        """Take none."""

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        other = await http.put("/rows")
        noise = await http.post(
            "/rows", content=b"v\x84{", headers={"Content-Type": "application/json"}
        )

    assert (405, "DELETE, POST") == (other.status_code, other.headers["Allow"])
    assert (422, "This is no JSON.") == (noise.status_code, noise.json()["errors"][0]["detail"])
