"""``imgmon report`` as a person types it, over a month of a real store."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from html import escape
from pathlib import Path

import pytest
from click.testing import CliRunner

from monitor.cli import main
from monitor.clock import SystemClock
from monitor.core.incidents import Failures, Incident, IncidentScope
from monitor.core.journal import Entry, TargetLog
from monitor.report.csv import TABLES
from monitor.store.history import PAGE_MAX
from monitor.store.writer import Writer
from probes.model import ErrorClass
from tests.support.october import HOSTILE, OCTOBER, STORIES, configuration_text, write_month

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()
MONTH = ("--from", "2026-10-01", "--to", "2026-11-01")


@pytest.fixture(scope="module")
def month(tmp_path_factory) -> Path:
    """The configuration of a stored October."""
    folder = tmp_path_factory.mktemp("month")
    write_month(folder / "imgmon.db")
    path = folder / "monitor.toml"
    path.write_text(configuration_text(folder / "imgmon.db"))
    return path


def imgmon(*arguments: object) -> tuple[int, str, str]:
    """Run a command in process: exit code, standard output, standard error."""
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def report(month: Path, *arguments: object) -> str:
    """What a report that succeeds prints."""
    code, out, _ = imgmon("report", "--config", month, *arguments)
    assert 0 == code
    return out


def rows(text: str) -> list[dict[str, str]]:
    """The rows of a CSV by its header."""
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_a_month_as_markdown_tells_every_story(month):
    """Availability with n and interval, what nobody saw, what was left out, verdicts, the method."""
    text = report(month, *MONTH)

    assert "# Service report: all targets" in text
    assert "2026-10-01 00:00:00Z to 2026-11-01 00:00:00Z, the end excluded" in text
    assert "| steady | 99.955 % | 99.83 to 99.99 % | 4,464 | 100.0 % |" in text
    assert (
        "| dead | 0.000 % | 0.00 to 0.09 % | 4,464 | 100.0 % | 0.000 % | unknown | 100.00 % |"
        in text
    )
    assert "| unseen | unknown | unknown | 0 | 0.0 % | unknown | unknown | unknown |" in text
    assert "Partial: measured since 2026-10-20 00:00:" in text
    assert r"| spend\_cap | 1,008 | 168.0 |" in text
    assert "| 2026-10-26 00:00:00Z | 2026-10-26 02:00:00Z | 2.0 |" in text
    assert "3,300 clean canaries prove 99.8 %; 538 more (3.8 days, $21.52) would decide" in text
    assert "Beside the schedule: 72 confirm; they enter no figure." in text
    assert "**Retries and confirmations**: Each canary is sent once." in text
    assert "by imgmon 0.1.0, method 1" in text
    assert "**Measured from**: `frankfurt`" in text


def test_a_sheet_has_a_row_a_target_under_a_header_that_stays(month):
    """Numbers as numbers, unknown as empty cells, never as 0 or 1."""
    text = report(month, *MONTH, "--format", "csv")
    by_target = {row["target"]: row for row in rows(text)}
    unseen, young = by_target["unseen"], by_target["young"]

    assert text.startswith(
        "from,to,figures_until,target,provider,model,measured_since,measured_until,availability,"
        "availability_lower,availability_upper,n,usable,usable_lower,usable_upper,usable_n,coverage,"
    )
    assert list(STORIES) == list(by_target)
    assert ("", "", "", "0") == tuple(
        unseen[key] for key in ("availability", "availability_lower", "p95_s", "n")
    )
    assert ("0.99955", "4464", "178.48") == tuple(
        by_target["steady"][key] for key in ("availability", "n", "spend_usd")
    )
    assert ("0.0", "", "missed") == tuple(
        by_target["dead"][key] for key in ("availability", "p95_s", "p95_verdict")
    )
    assert young["measured_since"].startswith("2026-10-20T00:00:")


def test_an_incident_brings_its_evidence(month):
    """When it began, was confirmed and ended; probes, statuses, and ids to ask the provider about."""
    text = report(month, *MONTH, "--target", "outages")
    first, second, third = rows(
        report(month, *MONTH, "--format", "csv", "--table", "incidents", "--target", "outages")
    )
    evidence = rows(
        report(month, *MONTH, "--format", "csv", "--table", "evidence", "--target", "outages")
    )

    assert "3 in the period; the longest took at most 10h 1m." in text
    assert "2026-10-07 22:40:25Z | outages-1791412825-slot | scheduled | overloaded | 503 |" in text
    assert f"**{third['incident']}: 20 of 120 failed probes**" in text
    assert ("provider", "overloaded", "12") == tuple(
        first[key] for key in ("scope", "class", "failures")
    )
    assert first["started_at"] < first["confirmed_at"] < first["ended_at"] < second["started_at"]
    assert {"'=req-" + row["probe"].split("-")[1] for row in evidence} == {
        row["request_id"] for row in evidence
    }
    assert {HOSTILE} == {row["detail"] for row in evidence}


def test_what_lasts_is_told_to_last(month):
    """A provider that never came back, and a refusal that was our account's, each as what it is."""
    dead = json.loads(report(month, *MONTH, "--format", "json", "--target", "dead"))
    thin = report(month, *MONTH, "--target", "thin")
    (incident,) = dead["targets"][0]["incidents"]

    assert (None, None, 4_464) == tuple(
        incident[key] for key in ("ended_at", "closed_at", "failures")
    )
    assert "the longest took over 30d 23h" in report(month, *MONTH, "--target", "dead")
    assert "| our account's | auth |" in thin
    assert "No incident: no failure of the period was confirmed." in report(
        month, *MONTH, "--target", "steady"
    )


def test_an_incident_belongs_to_every_period_that_it_touches(month):
    """Of a day within it, and of none before it; its evidence is that of the period."""

    def told(since: str, until: str) -> list[dict]:
        asked = ("--from", since, "--to", until, "--target", "outages", "--format", "json")
        return json.loads(report(month, *asked))["targets"][0]["incidents"]

    (within,) = told("2026-10-25T12:00:00Z", "2026-10-25T17:05:00Z")

    assert 120 == within["failures"]
    assert 0 < len(within["evidence"]) < 20
    assert [] == told("2026-10-24", "2026-10-25")
    assert [] == told("2026-10-26", "2026-10-27")


def test_every_incident_of_a_flapping_target_is_told(tmp_path):
    """Also those beyond a page of the store."""
    path = tmp_path / "monitor.toml"
    path.write_text(configuration_text(tmp_path / "imgmon.db"))
    failures = Failures(
        count=2, first_at=OCTOBER, last_at=OCTOBER, errors=((ErrorClass.TIMEOUT, 2),), probes=()
    )
    incidents = tuple(
        Incident(
            id=f"steady-{number}", target="steady", scope=IncidentScope.PROVIDER,
            started_at=OCTOBER + number, confirmed_at=OCTOBER + number, failures=failures,
            ended_at=OCTOBER + number + 1, closed_at=OCTOBER + number + 1,
        )
        for number in range(PAGE_MAX + 5)
    )  # fmt: skip
    writer = Writer(tmp_path / "imgmon.db")
    writer.start()
    writer.submit_entry(
        Entry(
            target="steady", log=TargetLog(), through=None, through_at=OCTOBER,
            incidents=incidents,
        )
    )  # fmt: skip
    writer.flush()
    writer.close()
    told = rows(report(path, *MONTH, "--format", "csv", "--table", "incidents"))

    assert [incident.id for incident in incidents] == [row["incident"] for row in told]


@pytest.mark.parametrize(
    ("table", "count"),
    [
        ("targets", 6),
        ("days", 6 * 31),
        ("errors", 5),
        ("gaps", 2),
        ("incidents", 5),
        ("evidence", 12 + 12 + 20 + 20 + 20),
        ("clients", 1),
    ],
)
def test_each_table_of_a_sheet_is_a_file_of_its_own(month, table, count):
    """One header, one kind of row, the target in each."""
    found = rows(report(month, *MONTH, "--format", "csv", "--table", table))

    assert count == len(found)
    assert all(tuple(row) == TABLES[table][0] for row in found)
    assert {row["target"] for row in found} <= set(STORIES)


def reported(month: Path, since: str, until: str) -> dict:
    """What the report of a period says of the clients of ``outages``."""
    asked = ("--from", since, "--to", until, "--target", "outages", "--format", "json")
    return json.loads(report(month, *asked))["targets"][0]["reported"]


def test_what_clients_saw_is_told_beside_the_canaries_and_never_with_them(month):
    """Both views, n, clients and latencies in every format, with its method; none where nobody told."""
    text = report(month, *MONTH, "--target", "outages")
    bad_day = ("--from", "2026-10-25", "--to", "2026-10-26")
    (row,) = rows(report(month, *bad_day, "--format", "csv", "--table", "clients"))
    whole = reported(month, "2026-10-01", "2026-11-01")

    assert "**As clients saw it: 562 reports of 3 clients, in no figure above**" in text
    assert "| Provider's own record | 75.000 % | 70.83 to 78.75 % | 420 | 140 | 560 |" in text
    assert "| Usable to the clients | 74.537 % | 70.36 to 78.30 % | 420 | 142 | 562 |" in text
    assert "| Provider's own record | 98.387 % |" in text  # Of the canaries, as without reports.
    assert "3.99 s (p50) and 3.99 s (p95), within 1 %, over 420 of them; timeouts: 0.00 %." in text
    assert "- **As clients saw it**: What clients reported of their own requests" in text
    assert "As clients saw it: 281 reports" in report(month, *bad_day, "--format", "html")
    # The shop's 200 weigh as much as the 81 of the others: (100 * 81 / 200 + 40) / 162.
    assert ("outages", "3", "281", "0.5", "280", "0.49691", "3.9847", "") == tuple(
        row[key]
        for key in (
            "target", "clients", "reports", "availability", "n", "usable", "p95_s", "left_out_days",
        )
    )  # fmt: skip
    assert (3, 562, 420, []) == tuple(
        whole[key] for key in ("clients", "reports", "good", "left_out_days")
    )
    assert "clients saw" not in report(month, *bad_day, "--target", "steady")
    assert None is reported(month, "2026-10-24", "2026-10-25")


@pytest.mark.parametrize(
    "cut", ["2026-10-25T00:00:00Z", "2026-10-25T14:00:00Z", "2026-10-26T03:17:05Z"]
)
def test_adjacent_periods_share_no_report_and_lose_none(month, cut):
    """Days that are cut are counted by the hour; an hour is in the period that it begins in."""
    asked = (("2026-10-24T23:30:00Z", cut), (cut, "2026-10-27T00:00:00Z"))
    parts = [reported(month, *period) or {"reports": 0} for period in asked]

    assert 562 == sum(part["reports"] for part in parts)


def test_reports_of_a_cut_day_are_left_out_once_their_hours_are_pruned(month, tmp_path):
    """It says which; what is whole is counted for good, without a row of any report."""
    later = tmp_path / "monitor.toml"
    later.write_text(configuration_text(tmp_path / "imgmon.db"))
    shutil.copy(month.parent / "imgmon.db", tmp_path / "imgmon.db")
    with closing(sqlite3.connect(tmp_path / "imgmon.db", isolation_level=None)) as raw:
        raw.execute("DELETE FROM rollups WHERE span_s IN (60, 3600)")
        raw.execute("DELETE FROM reports")
    cut = ("2026-10-25", "2026-10-26T12:00:00Z")
    text = report(later, "--from", cut[0], "--to", cut[1], "--target", "outages")

    assert reported(month, *MONTH[1::2]) == reported(later, *MONTH[1::2])
    assert (281, ["2026-10-26"]) == tuple(
        reported(later, *cut)[key] for key in ("reports", "left_out_days")
    )
    assert "Not counted are reports of 2026-10-26: only a part of that is in the period" in text
    nothing = report(
        later, "--from", "2026-10-26T01:00:00Z", "--to", "2026-10-26T02:00:00Z",
        "--target", "outages",
    )  # fmt: skip
    assert "0 reports of 0 clients" in nothing
    assert "No report says how long a picture took; timeouts: unknown." in nothing


def test_json_gives_all_of_it(month):
    """The figures as the API gives those of windows, of the period and of each day."""
    document = json.loads(report(month, *MONTH, "--format", "json", "--target", "thin"))
    (thin,) = document["targets"]
    days = {day["from"][:10]: day["figures"] for day in thin["days"]}

    assert (1, 1, "frankfurt") == tuple(document[key] for key in ("schema", "method", "vantage"))
    assert {"from": "2026-10-26T00:00:00.000Z", "to": "2026-10-26T02:00:00.000Z"} in (
        thin["maintenance"]
    )
    assert 7_200.0 == thin["figures"]["maintenance_s"]
    assert [("spend_cap", 1_008), ("maintenance", 12)] == [
        (gap["reason"], gap["slots"]) for gap in thin["gaps"]
    ]
    assert 31 == len(days)
    assert (None, 0) == (
        days["2026-10-10"]["availability"]["provider"]["value"], days["2026-10-10"]["samples"],
    )  # fmt: skip
    assert (None, 0.0) == tuple(
        days["2026-10-21"]["availability"][view]["value"] for view in ("provider", "user")
    )


def test_a_pool_and_targets_can_be_chosen(month):
    """In the order of the file; a pool and a target in it narrow each other down."""
    pool = rows(report(month, *MONTH, "--format", "csv", "--pool", "good"))
    two = rows(report(month, *MONTH, "--format", "csv", "--target", "thin", "--target", "steady"))
    both = report(month, *MONTH, "--pool", "good", "--target", "outages")

    assert ["steady", "outages"] == [row["target"] for row in pool]
    assert ["steady", "thin"] == [row["target"] for row in two]
    assert "# Service report: pool good, outages" in both
    assert "## steady" not in both


def test_a_period_may_begin_and_end_at_any_moment(month):
    """Moments with a zone, cut days at both ends; a period that still runs says so."""
    day = rows(
        report(
            month, "--from", "2026-10-05T22:00:00+02:00", "--to", "2026-10-06T06:00:00Z",
            "--format", "csv", "--target", "steady", "--table", "days",
        )
    )  # fmt: skip
    tomorrow = datetime.fromtimestamp(SystemClock().wall() + 86_400, UTC).date().isoformat()
    running = report(month, "--from", "2026-10-01", "--to", tomorrow, "--target", "steady")

    assert [("2026-10-05", "24"), ("2026-10-06", "36")] == [(r["day"], r["n"]) for r in day]
    assert "it has not ended: figures are of what passed until" in running
    assert "Partial: the last canary of the period was sent 2026-10-31" in running


def test_the_last_full_calendar_month_is_the_default(month):
    """From its first midnight to that of this month, in UTC."""
    (row,) = rows(report(month, "--format", "csv", "--target", "steady"))
    this = datetime.fromtimestamp(SystemClock().wall(), UTC)
    since, until = datetime.fromisoformat(row["from"]), datetime.fromisoformat(row["to"])

    assert (1, 0, 0) == (since.day, since.hour, since.minute)
    assert (this.year, this.month, 1) == (until.year, until.month, until.day)
    assert 28 <= (until - since).days <= 31


def test_the_name_of_the_file_decides_the_format(month, tmp_path):
    """.html is HTML; what was written is said on standard error, and the page is whole."""
    page = tmp_path / "october.html"
    code, out, said = imgmon("report", "--config", month, *MONTH, "--output", page)
    text = page.read_text(encoding="utf-8")

    assert (0, "") == (code, out)
    assert "october.html: 6 targets" in said
    assert text.startswith("<!doctype html>")
    assert text.rstrip().endswith("</html>")


def test_the_page_asks_nobody_for_anything_and_repeats_no_markup(month):
    """No script, no address but its own anchors, every chart with words, hostile text escaped."""
    text = report(month, *MONTH, "--format", "html")

    assert [] == re.findall(r"<script|javascript:|https?://", text.replace(escape(HOSTILE), ""))
    assert set(re.findall(r'(?:href|src)="([^"]*)"', text)) <= {
        "data:,", "#summary", "#method", *(f"#target-{name}" for name in STORIES),
    }  # fmt: skip
    assert len(re.findall(r"<svg class=\"(?!defs)", text)) == len(
        re.findall(r'role="img" aria-label="[^"]{30,}"', text)
    )
    assert HOSTILE not in text
    assert '<rect class="good"' not in text.partition('id="target-dead"')[2].partition("<h2")[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--from", "October"), "write 2026-10-01 or 2026-10-01T06:00:00Z"),
        (("--from", "2026-10-01T06:00:00"), "no moment with a zone"),
        (("--from", "2026-10-02", "--to", "2026-10-01"), "--from must be before --to"),
        (("--from", "2999-01-01", "--to", "2999-02-01"), "still to come"),
        (("--to", "2026-10-01"), "--to needs --from"),
        (("--from", "2020-01-01"), "at most 400 days"),
        (("--pool", "best"), "No pool best; there are: good, rest."),
        (("--pool", "good", "--target", "thin"), "No target thin; there are: steady, outages."),
        (("--target", "x"), "No target x; there are: steady, outages, dead, young, thin, unseen."),
        (("--output", "report.pdf"), "No format is called 'pdf'; give --format"),
        (("--output", "no/such/folder/r.md"), "cannot write no/such/folder/r.md"),
    ],
)
def test_bad_input_says_what_would_be_good(month, arguments, words):
    """Exit code 2, and nothing is written."""
    code, out, said = imgmon("report", "--config", month, *arguments)

    assert (2, "") == (code, out)
    assert words in " ".join(said.split())


def test_without_a_store_there_is_nothing_to_report(tmp_path):
    """Exit code 3 where none is yet, 2 where it is none."""
    path = tmp_path / "monitor.toml"
    path.write_text(configuration_text(tmp_path / "imgmon.db"))
    missing, _, said = imgmon("report", "--config", path)
    (tmp_path / "imgmon.db").write_bytes(b"no database" * 100)
    broken, _, other = imgmon("report", "--config", path)

    assert (3, 2) == (missing, broken)
    assert "no store at" in said
    assert "cannot read" in other


def test_a_store_of_an_older_version_says_who_upgrades_it(tmp_path):
    """A command that only reads changes no file; it names what does."""
    path = tmp_path / "monitor.toml"
    path.write_text(configuration_text(tmp_path / "imgmon.db"))
    writer = Writer(tmp_path / "imgmon.db")
    writer.start()
    writer.close()
    with closing(sqlite3.connect(tmp_path / "imgmon.db")) as file:
        file.execute("DROP TABLE incidents")
    code, _, said = imgmon("report", "--config", path)

    assert 2 == code
    assert "no such table: incidents" in " ".join(said.split())
    assert "`imgmon run` upgrades it" in " ".join(said.split())


def test_a_store_without_a_row_is_unknown_and_no_error(tmp_path):
    """A daemon that has just begun can be asked for its report."""
    path = tmp_path / "monitor.toml"
    path.write_text(configuration_text(tmp_path / "imgmon.db"))
    writer = Writer(tmp_path / "imgmon.db")
    writer.start()
    writer.close()
    text = report(path, "--target", "steady")

    assert "Nothing was measured in this period: availability and latency are unknown." in text
    assert "100.000 %" not in text


def test_the_readme_shows_what_a_report_is(month):
    """The rows of its table are those of the summary, as far as they go."""
    section = README.split("## Reports\n", 1)[1].split("\n## ", 1)[0]
    shown = [line.removesuffix(" |") for line in section.splitlines() if line.startswith("| ")]
    summary = report(month, *MONTH, "--pool", "good").splitlines()

    assert 4 == len(shown)
    assert all(any(line.startswith(row) for line in summary) for row in shown)
    assert all(f"`{table}`" in section for table in TABLES)
