"""Limits on requests: what headers, Google's violations and error sentences tell of them."""

from __future__ import annotations

import pytest

from probes.classify import classify, classify_error
from probes.model import ErrorClass, Limit, LimitPeriod, Phase, Send
from probes.ratelimits import header_limits
from probes.retry import pacific_midnight_after
from tests.support.replies import PNG_BASE64, RECEIVED_AT, TARGETS, play, reply

DAY, MINUTE = LimitPeriod.DAY, LimitPeriod.MINUTE
MIDNIGHT = pacific_midnight_after(RECEIVED_AT)


def told(period: LimitPeriod, requests, remaining=None, wait=None, *, per_model=False) -> Limit:
    """A limit that renews *wait* seconds after the reply."""
    resets_at = None if wait is None else RECEIVED_AT + wait
    return Limit(
        period=period, requests=requests, remaining=remaining, resets_at=resets_at,
        per_model=per_model,
    )  # fmt: skip


def headers(limit=None, remaining=None, reset=None, suffix=""):
    """Rate-limit headers with the values that are given."""
    given = {"limit": limit, "remaining": remaining, "reset": reset}
    return {f"x-ratelimit-{k}{suffix}": v for k, v in given.items() if v is not None}


def google(*violations, message="Used up.", delay=None, **more):
    """The limits in Google's 429 with these (quotaId, quotaValue)."""
    details = [{"violations": [{"quotaId": name, "quotaValue": v} for name, v in violations]}]
    details += [{"retryDelay": delay}] if delay else []
    error = {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": message, "details": details}
    return classify(reply(429, {"error": error | more})).limits


@pytest.mark.parametrize(
    ("given", "relay", "limits"),
    [
        (
            headers("50", "49", "1.2s", "-requests"), False,
            [told(MINUTE, 50, 49, 1.2, per_model=True)],
        ),
        (headers("50", "49", "1.2s", "-requests"), True, []),  # Its vendor's, not ours there.
        (headers("200", "0", "20h", "-requests"), False,
         [told(DAY, 200, 0, 72_000, per_model=True)]),
        (headers("60", "3", suffix="-requests"), False, [told(MINUTE, 60, 3, per_model=True)]),
        (headers("60", reset="soon", suffix="-requests"), False,
         [told(MINUTE, 60, per_model=True)]),
        (headers(remaining="0", reset="6m0s", suffix="-requests"), False,
         [told(MINUTE, None, 0, 360, per_model=True)]),
        (headers(reset="6m0s", suffix="-requests"), False, []),
        (headers("250000", "9", "2ms", "-tokens"), False, []),
        (headers("5", "4", "12s", "-input-images"), False,
         [told(MINUTE, 5, 4, 12, per_model=True)]),
        (headers("900", "4", "60", "-requests-day") | headers("9", "8", "60", "-requests-minute"),
         False, [told(MINUTE, 9, 8, 60, per_model=True), told(DAY, 900, 4, 60, per_model=True)]),
        (headers("9", "0", "5", "-requests-hour") | headers("9", "0", "5", "-hidden"), False, []),
        (headers("10", "0", "2"), True, [told(MINUTE, 10, 0, 2)]),
        (headers("50", "0", str(int((RECEIVED_AT + 36_000) * 1000))), False,
         [told(DAY, 50, 0, 36_000)]),
        (headers("50", "0", "400h"), False, [told(DAY, 50, 0, 86_400)]),
        (headers("50", "0"), False, []),  # Per what, nobody knows.
        (headers("soon", "-1", "5"), False, []),
        (headers("nan", "1e400", "5"), False, []),
        (headers("1e12", "2", "5"), False, [told(MINUTE, None, 2, 5)]),
        ({}, False, []),
    ],
)  # fmt: skip
def test_headers_tell_limits_on_requests(given, relay, limits):
    """OpenAI's of the model, plain ones of the account; far resets are of a day, tokens of nothing."""
    assert limits == list(header_limits(reply(200, {}, given), relay=relay))


def test_a_result_links_host_tells_nothing_of_ours():
    """It was sent no key."""
    link = Send(method="GET", url="https://cdn.test/a.png", phase=Phase.DOWNLOAD)

    assert () == header_limits(reply(200, b"x", headers("10", "0", "2"), request=link), relay=False)


@pytest.mark.parametrize(
    ("violations", "delay", "limits"),
    [
        ([("GenerateRequestsPerDayPerProjectPerModel-FreeTier", "20")], "59s",
         [told(DAY, 20, 0, MIDNIGHT - RECEIVED_AT, per_model=True)]),
        ([("GenerateRequestsPerMinutePerProjectPerModel", "10")], "34s",
         [told(MINUTE, 10, 0, 34, per_model=True)]),
        ([("GenerateRequestsPerMinutePerProject", "10")], None, [told(MINUTE, 10, 0, 60)]),
        ([("GenerateContentInputTokensPerModelPerMinute-FreeTier", "125000")], "9s", []),
        ([("GenerateRequestsPerHourPerProject", "9")], "9s", []),
        ([("SomethingPerDay", "9")], "9s", []),
        ([("GenerateRequestsPerDayPerProject", "lots")], None,
         [told(DAY, None, 0, MIDNIGHT - RECEIVED_AT)]),
        ([("GenerateRequestsPerDayPerProjectPerModel", "0")], "9s",
         [told(DAY, 0, 0, per_model=True)]),
        ([("GenerateRequestsPerDayPerProjectPerModel", "250"),
          ("GenerateRequestsPerMinutePerProjectPerModel", "10"),
          ("GenerateRequestsPerDayPerProjectPerModel", "70")], "39043s",
         [told(MINUTE, 10, 0, 900, per_model=True),
          told(DAY, 70, 0, 39_043, per_model=True)]),
    ],
)  # fmt: skip
def test_googles_violations_tell_limits_that_are_used_up(violations, delay, limits):
    """To midnight Pacific or the later hint; a limit of nothing never renews; the lowest counts."""
    assert limits == list(google(*violations, delay=delay))


def test_a_zero_that_google_left_out_is_read_from_the_message():
    """Its JSON drops zeros; a limit of nothing must not be taken for one that renews at midnight."""
    details = [{"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel"}]}]
    message = "Quota exceeded for metric: free_tier_requests, limit: 0, model: m"
    error = {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": message, "details": details}
    verdict = classify(reply(429, {"error": error}))

    assert ErrorClass.NOT_ENTITLED is verdict.error
    assert (told(DAY, 0, 0, per_model=True),) == verdict.limits


@pytest.mark.parametrize(
    ("message", "limits"),
    [
        ("Limit reached in org-1x on input-images per min: Limit 5, Used 5. Try again in 12s.",
         [told(MINUTE, 5, 0, 12, per_model=True)]),
        ("Rate limit exceeded for images per minute in organization org-1x. Limit: 0/1min.",
         [told(MINUTE, 0, 0, per_model=True)]),
        ("On requests per day (RPD): Limit 9, Used 9. Please try again in 2h.",
         [told(DAY, 9, 0, 7200, per_model=True)]),
        ("On tokens per min (TPM): Limit 250000, Used 249999.", []),
        ("Too many requests per day.", []),
    ],
)  # fmt: skip
def test_openais_sentences_tell_limits(message, limits):
    """On requests and on pictures, of which a canary asks for one; never on tokens."""
    error = {"message": message, "type": "requests", "code": "rate_limit_exceeded"}

    assert limits == list(classify(reply(429, {"error": error})).limits)


def test_the_lowest_of_several_limits_on_the_same_is_told():
    """The headers speak of requests, the sentence of pictures, and it is pictures that ran out."""
    error = {"message": "On images per min: Limit 5, Used 5.", "code": "rate_limit_exceeded"}
    answered = reply(429, {"error": error}, headers("50", "49", "1.2s", "-requests"))

    assert [told(MINUTE, 5, 0, 60, per_model=True)] == list(classify(answered).limits)


def test_openrouter_quotes_its_limit_inside_the_error():
    """With the reset in milliseconds; a quotation from further upstream is not ours."""
    quoted = {"X-RateLimit-Limit": "50", "X-RateLimit-Remaining": "0",
              "X-RateLimit-Reset": str(int((RECEIVED_AT + 40_000) * 1000))}  # fmt: skip
    error = {"code": 429, "message": "free-models-per-day", "metadata": {"headers": quoted}}

    for relay in (True, False):
        answered = reply(429, {"error": error})
        assert (told(DAY, 50, 0, 40_000),) == classify(answered, relay=relay).limits
    passed_on = reply(429, {"error": error | {"type": "upstream_error"}})
    assert () == classify(passed_on, relay=True).limits


@pytest.mark.parametrize(
    ("error", "limits"),
    [
        ({"message": "1分钟内最多请求10次", "type": "new_api_error"},
         [told(MINUTE, 10, 0, 60)]),
        ({"message": "3分钟内最多请求 10 次", "type": "new_api_error"}, [told(MINUTE, 3, 0, 60)]),
        ({"message": "9分钟内最多请求3次", "type": "new_api_error"}, [told(MINUTE, 1, 0, 60)]),
        ({"message": "used", "code": "entitlement_daily_limit_exceeded", "type": "new_api_error"},
         [told(DAY, None, 0, MIDNIGHT - RECEIVED_AT)]),
        ({"message": "On requests per min: Limit 500, Used 500.", "type": "openai_error"}, []),
    ],
)  # fmt: skip
def test_a_relay_tells_of_its_own_limits(error, limits):
    """In new-api's words; those of the vendor behind it are about the relay's account."""
    assert limits == list(classify(reply(429, {"error": error})).limits)


def test_what_a_relay_passes_on_of_google_is_not_learned():
    """The quota is of the relay's key; the class says that it is crowded."""
    details = [{"violations": [{"quotaId": "GenerateRequestsPerDay", "quotaValue": "9"}]}]
    error = {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "", "details": details}
    verdict = classify(reply(429, {"error": error}), relay=True)

    assert (ErrorClass.OVERLOADED, ()) == (verdict.error, verdict.limits)


def test_an_error_in_an_odd_place_tells_too():
    """OpenRouter puts one into the choice of a 200."""
    quoted = {"X-RateLimit-Limit": "20", "X-RateLimit-Reset": "30"}
    error = {"code": 429, "message": "per-min", "metadata": {"headers": quoted}}

    assert (told(MINUTE, 20, None, 30),) == classify_error(error, reply(200, {})).limits


PICTURES = {
    "gemini": {"candidates": [{"content": {"parts": [{"inlineData": {"data": PNG_BASE64}}]}}]},
    "imagen": {"predictions": [{"bytesBase64Encoded": PNG_BASE64}]},
    "openai-images": {"data": [{"b64_json": PNG_BASE64}]},
    "openai-chat": {
        "choices": [{"message": {"content": f"data:image/png;base64,{PNG_BASE64}"}}]
    },
    "bfl": {"id": "j", "status": "Ready",
            "result": {"sample": f"data:image/png;base64,{PNG_BASE64}"}},
}  # fmt: skip


@pytest.mark.parametrize("name", PICTURES)
def test_every_format_tells_limits_beside_a_picture(name):
    """From the headers of the answer that is billed; a batch queue has limits of its own."""
    assert {"gemini-batch"} == TARGETS.keys() - PICTURES.keys()
    answered = reply(200, PICTURES[name], headers("50", "49", "1.2s", "-requests"))
    played = play(TARGETS[name], lambda _: answered)

    assert (told(MINUTE, 50, 49, 1.2, per_model=True),) == played.picture.limits
