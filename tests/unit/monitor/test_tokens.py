"""The file of tokens: what is kept, what survives damage, and who is known."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from monitor import tokens
from monitor.clock import ManualClock
from monitor.tokens import Scope, TokenBook, TokenError


def test_a_token_is_kept_as_a_hash_in_a_file_of_its_owner(tmp_path):
    """Whoever reads the file learns no token, and nobody else reads it."""
    path = tmp_path / "a.tokens.json"
    text = tokens.create(path, "shop", [Scope.READ, Scope.REPORT], now=1.0)

    assert text.startswith("imgmon_")
    assert len(text) >= len("imgmon_") + 43  # 256 bits in base64.
    assert text not in path.read_text()
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert [path] == list(tmp_path.iterdir())
    assert [("shop", (Scope.READ, Scope.REPORT))] == [(t.name, t.scopes) for t in tokens.read(path)]


def test_a_name_is_taken_until_it_is_replaced_or_revoked(tmp_path):
    """Two tokens of one name would be counted as one client."""
    path = tmp_path / "a.json"
    first = tokens.create(path, "shop", [Scope.READ], now=1.0)
    with pytest.raises(TokenError, match="already; revoke it"):
        tokens.create(path, "shop", [Scope.READ], now=2.0)
    second = tokens.create(path, "shop", [Scope.REPORT], now=2.0, replace=True)
    book = TokenBook(path, ManualClock())

    assert first != second
    assert None is book.find(first)
    assert (Scope.REPORT,) == book.find(second).scopes
    with pytest.raises(TokenError, match="no token 'nobody'; there are: shop"):
        tokens.revoke(path, "nobody")


def test_those_who_change_the_file_at_once_lose_nothing(tmp_path):
    """Each change is made of the one before, alone."""
    path = tmp_path / "a.json"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: tokens.create(path, f"t{n}", [Scope.READ], now=0.0), range(40)))

    assert {f"t{n}" for n in range(40)} == {token.name for token in tokens.read(path)}


def test_a_revoked_token_is_refused_after_a_second_at_most(tmp_path):
    """Without a signal: the daemon looks whether the file has changed."""
    path, clock = tmp_path / "a.json", ManualClock()
    text = tokens.create(path, "shop", [Scope.READ], now=0.0)
    book = TokenBook(path, clock)
    assert "shop" == book.find(text).name

    tokens.revoke(path, "shop")
    clock.advance(1.0)
    assert None is book.find(text)
    path.unlink()
    clock.advance(1.0)
    assert None is book.find(text)


def test_an_expired_token_is_refused(tmp_path):
    """From its very moment on."""
    clock = ManualClock()
    path, now = tmp_path / "a.json", clock.wall()
    text = tokens.create(path, "guest", [Scope.READ], now=now, expires_at=now + 60)
    book = TokenBook(path, clock)

    assert book.find(text) is not None
    clock.advance(60)
    assert book.find(text) is None


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{",
        "[]",
        '{"tokens": [{}]}',
        '{"tokens": [], "more": 1}',
        '{"tokens": [{"name": "a b", "scopes": ["read"], "sha256": "00", "created_at": 0}]}',
        "twice",
        "\x00",
    ],
)
def test_a_damaged_file_opens_nothing_and_the_last_good_one_holds(tmp_path, damage):
    """It is said where readiness is asked for; the text of the file is not repeated."""
    path, clock = tmp_path / "a.json", ManualClock()
    text = tokens.create(path, "shop", [Scope.READ], now=0.0)
    book = TokenBook(path, clock)
    book.load()
    if damage == "twice":
        one = json.loads(path.read_text())["tokens"][0]
        damage = json.dumps({"tokens": [one, one]})
    path.write_text(damage)
    clock.advance(1.0)

    assert "shop" == book.find(text).name
    assert "is no file of tokens; restore it" in book.problem
    with pytest.raises(TokenError):
        tokens.create(path, "other", [Scope.READ], now=0.0)
    assert damage == path.read_text()

    path.unlink()
    clock.advance(1.0)
    assert None is book.find(text)
    assert book.problem is None


def test_a_file_that_cannot_be_read_or_written_is_named(tmp_path):
    """A folder in its place, and a folder that is not there."""
    with pytest.raises(TokenError, match="cannot read the tokens in"):
        tokens.read(tmp_path)
    with pytest.raises(TokenError, match="cannot write the tokens in"):
        tokens.create(tmp_path / "none" / "a.json", "shop", [Scope.READ], now=0.0)


def test_a_name_is_fit_for_a_label():
    """It becomes a label of metrics and the client of reports."""
    assert tokens.is_name("shop-1.eu_x")
    assert not any(map(tokens.is_name, ("", "a b", "-a", "a/b", "a\n", "x" * 65)))
