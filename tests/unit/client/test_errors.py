"""Which class an exception is, read from those that real libraries raise."""

from __future__ import annotations

import binascii
import email.message
import io
import json
import socket
import ssl
import urllib.error

import httpx
import openai
import pytest
from google.genai import errors as google_errors
from PIL import Image

from monitor.client.errors import FINAL, BadImage, ErrorClass, NoImage, judge, retry_after_s
from probes import model

NOW = 1_795_000_000.0
E = ErrorClass
REQUEST = httpx.Request("POST", "http://provider.example/v1/images")


def over_httpx(status: int, body: str = "", **headers: str) -> httpx.HTTPStatusError:
    """What ``raise_for_status`` raises."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = httpx.Response(status, text=body, headers=names, request=REQUEST)
    return httpx.HTTPStatusError(f"{status}", request=REQUEST, response=answer)


def over_openai(status: int, code: str | None, message: str = "no") -> openai.APIStatusError:
    """What OpenAI's client raises for a refusal with *code*."""
    import httpx2

    body = {"error": {"code": code, "message": message, "type": "t"}}
    answer = httpx2.Response(status, json=body, request=httpx2.Request("POST", str(REQUEST.url)))
    client = openai.OpenAI(api_key="k", base_url="http://127.0.0.1:1")
    with client:
        return client._make_status_error_from_response(answer)


def over_google(code: int, status: str, message: str = "", details: object = ()) -> Exception:
    """What Google's client raises."""
    body = {"error": {"code": code, "status": status, "message": message, "details": details}}
    kind = google_errors.ClientError if code < 500 else google_errors.ServerError
    return kind(code, body)


def over_urllib(status: int, body: bytes = b"", **headers: str) -> urllib.error.HTTPError:
    """What the standard library raises."""
    message = email.message.Message()
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    return urllib.error.HTTPError("http://p", status, "no", message, io.BytesIO(body))


def test_the_classes_are_those_of_the_daemon():
    """The closed list is copied, not imported; this holds the copy to it."""
    assert [one.value for one in model.ErrorClass] == [one.value for one in ErrorClass]
    assert {E.POLICY_BLOCKED, E.BAD_REQUEST} == FINAL


CASES = [
        (over_httpx(400), E.BAD_REQUEST),
        (over_httpx(422), E.BAD_REQUEST),
        (over_httpx(400, '{"error":{"code":"moderation_blocked"}}'), E.POLICY_BLOCKED),
        (over_httpx(400, '{"error":{"status":"API_KEY_INVALID"}}'), E.AUTH),
        (over_httpx(401), E.AUTH),
        (over_httpx(402), E.BILLING),
        (over_httpx(403), E.AUTH),
        (over_httpx(403, "用户额度不足"), E.BILLING),
        (over_httpx(403, "Your organization must be verified"), E.NOT_ENTITLED),
        (over_httpx(404), E.MODEL_GONE),
        (over_httpx(408), E.TIMEOUT),
        (over_httpx(410), E.MODEL_GONE),
        (over_httpx(429), E.RATE_LIMITED),
        (over_httpx(429, "当前分组上游负载已饱和"), E.OVERLOADED),
        (over_httpx(500), E.SERVER_ERROR),
        (over_httpx(503), E.OVERLOADED),
        (over_httpx(524), E.OVERLOADED),
        (over_httpx(302), E.PROTOCOL),
        (over_openai(400, "moderation_blocked"), E.POLICY_BLOCKED),
        (over_openai(400, "invalid_value"), E.BAD_REQUEST),
        (over_openai(401, "invalid_api_key"), E.AUTH),
        (over_openai(404, "model_not_found"), E.MODEL_GONE),
        (over_openai(429, "rate_limit_exceeded"), E.RATE_LIMITED),
        (over_openai(429, "insufficient_quota"), E.BILLING),
        (over_openai(500, "server_error"), E.SERVER_ERROR),
        (over_openai(503, "server_is_overloaded"), E.OVERLOADED),
        (over_google(400, "INVALID_ARGUMENT", "API key not valid. Please pass one."), E.AUTH),
        (over_google(400, "FAILED_PRECONDITION", "User location is not supported"), E.NOT_ENTITLED),
        (over_google(400, "INVALID_ARGUMENT", "bad aspect ratio"), E.BAD_REQUEST),
        (over_google(404, "NOT_FOUND"), E.MODEL_GONE),
        (over_google(429, "RESOURCE_EXHAUSTED"), E.RATE_LIMITED),
        (
            over_google(429, "RESOURCE_EXHAUSTED", "", [{"violations": [
                {"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}]),
            E.QUOTA_EXHAUSTED,
        ),
        (over_google(429, "RESOURCE_EXHAUSTED", "quota exceeded, limit: 0, model"), E.NOT_ENTITLED),
        (over_google(500, "INTERNAL"), E.SERVER_ERROR),
        (over_google(503, "UNAVAILABLE"), E.OVERLOADED),
        (over_urllib(429), E.RATE_LIMITED),
        (over_urllib(500), E.SERVER_ERROR),
        (urllib.error.URLError(ConnectionRefusedError()), E.CONNECTION),
        (urllib.error.URLError(TimeoutError()), E.TIMEOUT),
        (httpx.ConnectTimeout("slow"), E.TIMEOUT),
        (httpx.ReadTimeout("slow"), E.TIMEOUT),
        (httpx.ConnectError("refused"), E.CONNECTION),
        (httpx.RemoteProtocolError("cut"), E.CONNECTION),
        (httpx.DecodingError("not gzip"), E.PROTOCOL),
        (openai.APITimeoutError(request=REQUEST), E.TIMEOUT),
        (openai.APIConnectionError(request=REQUEST), E.CONNECTION),
        (TimeoutError(), E.TIMEOUT),
        (ConnectionResetError(), E.CONNECTION),
        (socket.gaierror(-2, "unknown"), E.CONNECTION),
        (ssl.SSLError("bad"), E.CONNECTION),
        (json.JSONDecodeError("cut", "{", 1), E.PROTOCOL),
        (binascii.Error("padding"), E.BAD_IMAGE),
        (NoImage(), E.NO_IMAGE),
        (BadImage(), E.BAD_IMAGE),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(error, kind, id=f"{number}-{type(error).__name__}-{kind}")
        for number, (error, kind) in enumerate(CASES)
    ],
)
def test_each_exception_has_its_class(error, expected):
    """By status and text, by type, or by the name of a library's class."""
    assert expected is judge(error, NOW).error


def test_what_pillow_cannot_open_is_a_bad_image():
    """Known by its name: Pillow is not imported."""
    with pytest.raises(Image.UnidentifiedImageError) as caught:
        Image.open(io.BytesIO(b"no picture"))

    assert E.BAD_IMAGE is judge(caught.value, NOW).error


@pytest.mark.parametrize(
    "error",
    [TypeError("missing argument"), KeyError("x"), ValueError("x"), FileNotFoundError("out.png"),
     RuntimeError("x"), httpx.UnsupportedProtocol("htp://"), httpx.LocalProtocolError("bad header"),
     SystemError(7)],
)  # fmt: skip
def test_mistakes_say_nothing_of_a_provider(error):
    """Another target would only repeat them."""
    assert judge(error, NOW) is None


def test_a_status_that_is_no_status_is_none():
    """Error numbers and truth values of other libraries are not HTTP."""

    class OddError(Exception):
        code = 7
        status = True

    assert judge(OddError(), NOW) is None


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (over_httpx(429, retry_after="17"), 17.0),
        (over_httpx(429, retry_after_ms="1500"), 1.5),
        (over_httpx(429, retry_after="Wed, 18 Nov 2026 11:07:40 GMT"), 60.0),
        (over_httpx(429, retry_after="9999999"), 86_400.0),
        (over_httpx(429, retry_after="soon"), None),
        (over_httpx(429, retry_after="-5"), None),
        (over_httpx(429), None),
        (over_urllib(503, Retry_After="9"), 9.0),
        (over_google(429, "RESOURCE_EXHAUSTED", "", [{"retryDelay": "34.5s"}]), 34.5),
    ],
)
def test_the_wait_that_a_provider_asks_for_is_found(error, seconds):
    """In headers of both kinds, as number or date, and in Google's body; a day at most."""
    found = judge(error, NOW).retry_after_s

    assert seconds == (found if found is None else round(found, 3))


def test_a_wait_in_the_past_is_none_ahead():
    """A date before now, and texts that are neither."""
    assert 0.0 == retry_after_s("Wed, 18 Nov 2020 11:07:40 GMT", NOW)
    assert retry_after_s("", NOW) is None
    assert retry_after_s("inf", NOW) is None


def test_a_streamed_body_that_was_not_read_is_judged_by_its_status():
    """Its library raises for its text; that is no reason to raise here."""
    answer = httpx.Response(429, stream=httpx.ByteStream(b"x"), request=REQUEST)

    assert (
        E.RATE_LIMITED
        is judge(httpx.HTTPStatusError("429", request=REQUEST, response=answer), NOW).error
    )
