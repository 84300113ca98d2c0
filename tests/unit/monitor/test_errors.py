"""The monitor's errors: one tree, and every problem of a configuration at once."""

from __future__ import annotations

import pytest

from monitor.errors import ConfigError, MonitorError, Problem, StoreError


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("targets[1].id", "is wrong", "mend it"), "targets[1].id: is wrong; mend it"),
        (Problem("targets[1].id", "is wrong"), "targets[1].id: is wrong"),
        (Problem("", "is wrong", "mend it"), "is wrong; mend it"),
        (Problem("", "is wrong"), "is wrong"),
    ],
)
def test_a_problem_says_where_what_and_what_to_do(problem, text):
    """A part that is not there leaves no punctuation behind."""
    assert text == str(problem)


def test_a_configuration_error_has_a_line_for_each_problem():
    """In the order given, whatever they are given as."""
    problems = [Problem("b", "is wrong"), Problem("a", "is missing", "add it")]
    error = ConfigError(iter(problems))

    assert tuple(problems) == error.problems
    assert "b: is wrong\na: is missing; add it" == str(error)


@pytest.mark.parametrize("kind", [ConfigError, StoreError])
def test_one_except_catches_all_that_stops_the_monitor(kind):
    """Commands turn it into an exit code in one place."""
    with pytest.raises(MonitorError):
        raise kind([])
