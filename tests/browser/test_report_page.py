"""The HTML report in a real Chromium: narrow and wide, light, dark and on paper."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from monitor.cli import main
from tests.support.browser import CONTRAST, Page, chromium
from tests.support.october import configuration_text, write_month


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """The page of an October with every kind of story."""
    folder = tmp_path_factory.mktemp("page")
    write_month(folder / "imgmon.db")
    (folder / "monitor.toml").write_text(configuration_text(folder / "imgmon.db"))
    arguments = ["--from", "2026-10-01", "--to", "2026-11-01", "--output", str(folder / "r.html")]
    command = ["report", "--config", str(folder / "monitor.toml"), *arguments]
    assert 0 == CliRunner().invoke(main, command).exit_code
    return folder / "r.html"


@pytest.fixture(scope="module")
def page(report, tmp_path_factory) -> Page:
    """The page, opened."""
    with chromium(tmp_path_factory.mktemp("profile")) as page:
        page.open(report.as_uri())
        yield page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_its_window_and_can_be_read(page, width, scheme):
    """No scrolling to the side, and contrast of at least 4.5 (WCAG 2.2, 1.4.3), in both schemes."""
    page.look(width, scheme=scheme)
    ground = page.ask("getComputedStyle(document.body).backgroundColor")

    assert page.ask("document.documentElement.scrollWidth <= innerWidth")
    assert (scheme == "dark") == (ground != "rgb(255, 255, 255)")
    assert page.ask(CONTRAST) >= 4.5


def test_paper_is_white_and_shows_what_is_folded(page):
    """Whatever the screen prefers; a table by day is printed although it is folded away."""
    page.look(800, scheme="dark", media="print")

    assert "rgb(255, 255, 255)" == page.ask("getComputedStyle(document.body).backgroundColor")
    assert page.ask("document.querySelector('details table').getBoundingClientRect().height > 100")


def test_the_page_says_nothing_to_the_console_and_asks_for_nothing(page, report):
    """One file: its own address is the only one that is ever asked for."""
    assert [] == page.errors
    assert {report.as_uri()} == {url for url in page.asked if not url.startswith("data:")}
    assert 0 == page.ask("document.scripts.length")


def test_a_day_that_was_not_measured_is_not_green(page):
    """Every column of the strip is hatched first; green covers it as far as samples speak."""
    young = "document.querySelector('[aria-labelledby=target-young] svg.strip')"

    assert 31 == page.ask(f"{young}.querySelectorAll('rect.unmeasured').length")
    assert 12 == page.ask(f"{young}.querySelectorAll('rect.good').length")
    assert page.ask(f"getComputedStyle({young}.querySelector('.unmeasured')).fill").startswith(
        "url"
    )


def test_readers_of_the_screen_get_tables_headings_and_words(page):
    """Headers have a scope, tables a caption, charts a description, sections their heading."""
    ids = page.ask("[...document.querySelectorAll('[id]')].map(e => e.id)")

    assert len(ids) == len(set(ids))
    assert page.ask("[...document.querySelectorAll('th')].every(th => th.scope)")
    assert page.ask("[...document.querySelectorAll('table')].every(t => t.caption.textContent)")
    assert page.ask("[...document.querySelectorAll('svg[role=img]')].every(s => s.ariaLabel)")
    assert 1 == page.ask("document.querySelectorAll('h1').length")
    assert "en" == page.ask("document.documentElement.lang")
