"""The status page in a real Chromium, served over a real socket."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fastapi import FastAPI

from monitor.api.encode import Encoder
from monitor.api.holds import Holds
from monitor.api.page_routes import build
from monitor.api.server import bind, build_server
from monitor.clock import SystemClock
from monitor.core.spec import Policy
from monitor.engine import Engine
from monitor.publisher import Publisher
from probes.model import ErrorClass
from tests.support.browser import CONTRAST, chromium
from tests.support.builders import a_pool, a_result, a_spec


class Shown:
    """A publisher whose target fails when it is told to."""

    def __init__(self) -> None:
        """Publish a target that was good an hour long."""
        self.clock = SystemClock()
        self.publisher = Publisher(Encoder())
        self.engine = Engine({"alpha": a_spec()}, [a_pool("alpha")], Policy())
        for age in range(6, 0, -1):
            self.probe(None, age)

    def probe(self, error: ErrorClass | None, age: int = 0) -> None:
        """Take one canary of *age* slots ago, and publish."""
        at = self.clock.wall() - 600.0 * age
        self.engine.accept(a_result(error, at, probe_id=f"probe-{at}"))
        self.publisher.publish(self.engine.tick(self.clock.wall()))


@contextmanager
def serving(shown: Shown) -> Iterator[tuple[str, threading.Event]]:
    """The page's address, and what stops its server when it is set."""
    app = FastAPI()
    app.state.holds = Holds()
    app.include_router(build(shown))  # type: ignore[arg-type]
    server, stop = build_server(app), threading.Event()
    listener = bind("127.0.0.1", 0)

    async def serve() -> None:
        task = asyncio.create_task(server.serve(sockets=[listener]))
        await asyncio.to_thread(stop.wait)
        server.stop()
        await task

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/", stop
    finally:
        stop.set()
        thread.join()
        listener.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """What is shown, the open page, its address, and what stops the server."""
    shown = Shown()
    with serving(shown) as (url, stop), chromium(tmp_path_factory.mktemp("profile")) as page:
        page.open(url)
        yield shown, page, url, stop


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_its_window_and_can_be_read(place, width, scheme):
    """No scrolling to the side, and contrast of at least 4.5 (WCAG 2.2, 1.4.3), in both schemes."""
    _, page, *_ = place
    page.look(width, scheme=scheme)

    assert page.ask("document.documentElement.scrollWidth <= innerWidth")
    assert page.ask(
        "[...document.querySelectorAll('.scroll')].every(e => e.scrollWidth <= e.clientWidth)"
    )
    assert page.ask(CONTRAST) >= 4.5


def test_the_page_renews_itself_and_then_says_that_nobody_answers(place):
    """An outage shows without a click, what was unfolded stays so, and a dead daemon is no green page."""
    shown, page, url, stop = place
    assert "1 healthy" in page.ask("document.title")
    page.ask("document.querySelector('main').insertAdjacentHTML('beforeend', "
             "'<details id=profiles-pool open></details>')")  # fmt: skip

    for _ in range(3):
        shown.probe(ErrorClass.OVERLOADED)
    page.ask("renew()")
    assert "1 down" in page.ask("document.title")
    assert "overloaded" in page.ask("document.querySelector('main').textContent")
    assert not page.ask("document.getElementById('lost').checkVisibility()")
    assert [] == page.errors
    assert {url} == {asked for asked in page.asked if not asked.startswith("data:")}

    stop.set()
    page.ask(
        "new Promise(done => { const ask = () => fetch('/').then(ask, done); ask(); }).then(() => 1)"
    )
    page.ask("renew()")
    assert page.ask("document.getElementById('lost').checkVisibility()")
    assert "1 down" in page.ask("document.title")
