"""Secrets are references in files, shown by nobody, and replaced in every text."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.secrets import (
    MASK,
    Redactor,
    Reference,
    Secret,
    SecretError,
    parse_reference,
    resolve,
)

KEY = "k3y/with+odd=chars&more"


def test_a_secret_shows_itself_only_when_asked_to():
    """Neither str, repr, format nor a container shows the value."""
    secret = Secret(KEY)

    assert [MASK, MASK, MASK, f"[{MASK}]"] == [
        str(secret),
        repr(secret),
        f"{secret}",
        str([secret]),
    ]
    assert KEY == secret.reveal()


@pytest.mark.parametrize(
    ("value", "reference"),
    [
        ({"env": "MY_KEY"}, Reference("env", "MY_KEY")),
        ({"file": "/run/secrets/key"}, Reference("file", "/run/secrets/key")),
    ],
)
def test_a_reference_names_a_variable_or_a_file(value, reference):
    """Both kinds are understood."""
    assert reference == parse_reference(value)


@pytest.mark.parametrize(
    "value",
    [KEY, 5, None, [], {}, {"env": "A", "file": "b"}, {"vault": "x"}, {"env": 5}, {"env": KEY},
     {"file": " "}, {"file": "a\0b"}, {"env": "1A"}],
)  # fmt: skip
def test_anything_else_is_refused_without_being_echoed(value):
    """The message has a fix and never the value, which may be the key."""
    with pytest.raises(SecretError) as caught:
        parse_reference(value)

    assert "env" in caught.value.fix
    assert KEY not in str(caught.value) + caught.value.fix


def test_a_variable_gives_its_value_without_white_space():
    """A trailing newline of a copied key is no part of it."""
    assert "abc123" == resolve(Reference("env", "K"), {"K": " abc123\n"}).reveal()


def test_a_file_gives_its_text_without_white_space(tmp_path):
    """Editors end files with a newline."""
    path = tmp_path / "key"
    path.write_text("abc123\n")

    assert "abc123" == resolve(Reference("file", str(path)), {}).reveal()


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({}, "environment variable K is not set"),
        ({"K": ""}, "environment variable K is empty"),
        ({"K": " \n"}, "environment variable K is empty"),
        ({"K": "a\nb"}, "environment variable K holds characters that no HTTP header can carry"),
        (
            {"K": "schlüssel"},
            "environment variable K holds characters that no HTTP header can carry",
        ),
    ],
)
def test_a_variable_without_a_usable_key_says_so(environ, message):
    """The message names the variable and never the value."""
    with pytest.raises(SecretError) as caught:
        resolve(Reference("env", "K"), environ)

    assert message == str(caught.value)


@pytest.mark.parametrize(
    ("content", "end"),
    [(None, "cannot be read: No such file or directory"), (b"", "is empty"), (b"\xff", "is not UTF-8 text")],
)  # fmt: skip
def test_a_file_without_a_usable_key_says_so(tmp_path, content, end):
    """Absent, empty and binary files are told apart."""
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(SecretError) as caught:
        resolve(Reference("file", str(path)), {})

    assert f"secret file {path} {end}" == str(caught.value)


@pytest.mark.parametrize(
    "spelling",
    [
        KEY,
        quote(KEY, safe=""),
        quote(KEY, safe="").lower(),
        quote(KEY),
        json.dumps(KEY),
        base64.b64encode(KEY.encode()).decode(),
    ],
)
def test_a_secret_is_replaced_in_every_spelling(spelling):
    """As it is, URL-quoted, in JSON, in base64."""
    shown = Redactor([KEY])(f"before {spelling} after")

    assert spelling not in shown
    assert MASK in shown
    assert shown.startswith("before ")
    assert shown.endswith(" after")


@given(before=st.binary(max_size=9), after=st.binary(max_size=9))
def test_a_secret_inside_longer_base64_is_replaced(before, after):
    """Whatever stands around it, as in user:key."""
    encoded = base64.b64encode(before + KEY.encode() + after).decode()

    assert MASK in Redactor([KEY])(encoded)


@given(
    value=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=6), rest=st.text()
)
def test_no_learned_value_survives(value, rest):
    """Law: the value is in no redacted text, wherever it stood."""
    shown = Redactor([value])(rest + value + rest)

    assert value not in shown or value in MASK * 3


def test_a_secret_that_begins_like_another_leaves_no_tail():
    """Longest first."""
    assert "*** ***" == Redactor(["abcdef", "abcdef-ghi"])("abcdef-ghi abcdef")


def test_short_values_are_left_alone():
    """A key of three letters would mask ordinary words."""
    assert "the cat sat" == Redactor(["cat", ""])("the cat sat")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Incorrect API key provided: sk-proj-abcd1234efgh.", "Incorrect API key provided: ***."),
        ("key AIzaSyA1234567890abc used", "key *** used"),
        ("bfl_0123456789abcdef", "***"),
        ("x-key: f00ba4f00ba4", "x-key: ***"),
        ("{'x-goog-api-key': 'whatever'}", "{'x-goog-api-key': '***'}"),
        ("Authorization: Bearer abcdef.ghi", "Authorization: Bearer ***"),
        ("sent Bearer abc123def456", "sent Bearer ***"),
        ("GET /v1?alt=sse&key=abc123456 HTTP", "GET /v1?alt=sse&key=*** HTTP"),
        ('{"api_key": "abc12345"}', '{"api_key": "***"}'),
    ],
)
def test_keys_nobody_told_us_of_are_known_by_shape(text, shown):
    """Well-known key shapes, header lines and query parameters."""
    assert shown == Redactor([])(text)


@pytest.mark.parametrize(
    "text",
    [
        "bearer authentication required",
        'add api_key = { env = "GEMINI_API_KEY" }',
        "api_key: is required by preset 'openai'",
        "the risk-averse task-force",
        "Quota exceeded for quota metric 'Generate' and limit 0",
    ],
)
def test_prose_is_left_alone(text):
    """Words about keys are no keys."""
    assert text == Redactor([])(text)


@pytest.mark.parametrize("kept", range(6, 25))
def test_a_secret_that_a_text_was_cut_in_leaves_no_beginning(kept):
    """Texts are bounded before they are redacted, so a key may end where the text does."""
    key = "qzvk-0123456789-abcdefghi"
    text = "the provider said: " + key[:kept]

    assert "the provider said: ***" == Redactor([key])(text)


def test_an_ending_that_only_resembles_a_secret_stays():
    """Fewer than six characters in common with a key are ordinary words."""
    assert "ends in qzvk-" == Redactor(["qzvk-0123456789"])("ends in qzvk-")
