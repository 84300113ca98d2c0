"""The official clients, pointed at the simulator, see what they would see at the vendors."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator

import httpx
import openai
import pytest
from google import genai
from google.genai import errors, types
from PIL import Image

from monitor.clock import ManualClock
from probes.simulator.faults import Fault, FaultKind
from probes.simulator.plans import calm_plan
from probes.simulator.server import SimulatorServer

BLUE, RED = (0, 0, 255), (255, 0, 0)
K = FaultKind


# Jobs end when a test moves it; answers still take their real millisecond.
CLOCK = ManualClock()


@pytest.fixture(scope="module")
def server() -> Iterator[SimulatorServer]:
    """A simulator without trouble."""
    with SimulatorServer(calm_plan(), CLOCK) as running:
        yield running


@pytest.fixture
def simulator(server: SimulatorServer) -> Iterator[SimulatorServer]:
    """The simulator; a test's faults end with it."""
    yield server
    server.app.world.player.live.clear()


def gemini(
    simulator: SimulatorServer, account: str = "gemini", *, key: str = "k", version: str = "v1"
) -> genai.Client:
    """Return Google's client for *account*."""
    options = types.HttpOptions(base_url=simulator.base(account), api_version=version)
    return genai.Client(api_key=key, http_options=options)


def gpt(simulator: SimulatorServer, account: str = "openai", *, key: str = "k") -> openai.OpenAI:
    """Return OpenAI's client for *account*."""
    return openai.OpenAI(api_key=key, base_url=f"{simulator.base(account)}/v1", max_retries=0)


def draw(client: genai.Client, model: str = "gemini-3-pro-image", **image: str) -> bytes:
    """Return the picture of one generateContent call."""
    config = types.GenerateContentConfig(
        response_modalities=["IMAGE"], image_config=types.ImageConfig(**image)
    )
    answer = client.models.generate_content(
        model=model, contents="A plain blue square.", config=config
    )
    return answer.candidates[0].content.parts[0].inline_data.data


def check(data: bytes, rgb: tuple[int, int, int], size: tuple[int, int], form: str) -> None:
    """Assert that *data* is a picture of that colour, size and format."""
    image = Image.open(io.BytesIO(data))
    image.load()
    middle = image.convert("RGB").getpixel((size[0] // 2, size[1] // 2))
    assert (form, size) == (image.format, image.size)
    assert all(abs(a - b) < 40 for a, b in zip(rgb, middle, strict=True))


@pytest.mark.parametrize("version", ["v1", "v1beta"])
def test_googles_client_gets_the_picture_it_asked_for(simulator, version):
    """Both API versions answer; aspect ratio and size are obeyed."""
    with gemini(simulator, version=version) as client:
        check(draw(client, aspect_ratio="1:1"), BLUE, (1024, 1024), "PNG")
        check(draw(client, aspect_ratio="16:9", image_size="512"), BLUE, (688, 384), "PNG")


def test_googles_client_gets_the_picture_as_a_stream(simulator):
    """``streamGenerateContent`` answers with server-sent events."""
    with gemini(simulator) as client:
        chunks = client.models.generate_content_stream(
            model="gemini-3-pro-image", contents="A plain blue square."
        )
        parts = [part for chunk in chunks for part in chunk.candidates[0].content.parts]

    check(parts[-1].inline_data.data, BLUE, (1024, 1024), "PNG")


def test_googles_client_sees_usage_and_version(simulator):
    """A good answer names the model that drew it, why it ended and what it used."""
    with gemini(simulator) as client:
        answer = client.models.generate_content(
            model="gemini-3-pro-image", contents="A plain blue square."
        )

    assert answer.model_version == "gemini-3-pro-image"
    assert types.FinishReason.STOP is answer.candidates[0].finish_reason
    assert answer.usage_metadata.candidates_token_count > 0


@pytest.mark.parametrize(
    ("kind", "exception", "code", "status"),
    [
        (K.AUTH, errors.ClientError, 400, "INVALID_ARGUMENT"),
        (K.BAD_REQUEST, errors.ClientError, 400, "INVALID_ARGUMENT"),
        (K.BILLING, errors.ClientError, 402, "RESOURCE_EXHAUSTED"),
        (K.MODEL_GONE, errors.ClientError, 404, "NOT_FOUND"),
        (K.RATE_LIMITED, errors.ClientError, 429, "RESOURCE_EXHAUSTED"),
        (K.QUOTA_EXHAUSTED, errors.ClientError, 429, "RESOURCE_EXHAUSTED"),
        (K.NOT_ENTITLED, errors.ClientError, 429, "RESOURCE_EXHAUSTED"),
        (K.SERVER_ERROR, errors.ServerError, 500, "INTERNAL"),
        (K.OVERLOADED, errors.ServerError, 503, "UNAVAILABLE"),
    ],
)
def test_googles_client_raises_what_the_vendor_causes(simulator, kind, exception, code, status):
    """Each class has Google's status, canonical word and exception."""
    simulator.set_fault("gemini", Fault(kind=kind))

    with gemini(simulator) as client, pytest.raises(exception) as caught:
        draw(client)

    assert (code, status) == (caught.value.code, caught.value.status)


def test_googles_quota_names_its_period_tier_and_retry_time(simulator):
    """A daily quota of the free tier is told apart by its id; the wait is in RetryInfo."""
    simulator.set_fault("gemini-free", Fault(kind=K.QUOTA_EXHAUSTED))

    with gemini(simulator, "gemini-free") as client, pytest.raises(errors.ClientError) as caught:
        draw(client)

    quota, retry = caught.value.details["error"]["details"]
    expected = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
    assert expected == quota["violations"][0]["quotaId"]
    assert retry["retryDelay"] == "86400.000s"


def test_googles_client_is_told_of_keys_and_models(simulator):
    """An invalid key is a 400, a model that is gone a 404."""
    with gemini(simulator, key="invalid-1") as client, pytest.raises(errors.ClientError) as caught:
        draw(client)
    reason = caught.value.details["error"]["details"][0]["reason"]
    assert caught.value.code == 400
    assert reason == "API_KEY_INVALID"
    with gemini(simulator) as client, pytest.raises(errors.ClientError) as caught:
        draw(client, "gone-1")
    assert caught.value.code == 404


def test_googles_client_raises_a_gateways_401(simulator):
    """Google itself answers a bad key with 400; a gateway that speaks its format, with 401."""
    client = gemini(simulator, "laozhang", key="invalid-1", version="v1beta")
    with client, pytest.raises(errors.ClientError) as caught:
        draw(client)

    assert caught.value.code == 401


@pytest.mark.parametrize("kind", [K.NO_IMAGE, K.POLICY_BLOCKED, K.TEXT_ONLY])
def test_googles_client_accepts_answers_without_a_picture(simulator, kind):
    """A 200 without a picture raises nothing: the trap that canaries are for."""
    simulator.set_fault("gemini", Fault(kind=kind))

    with gemini(simulator) as client:
        answer = client.models.generate_content(
            model="gemini-3-pro-image", contents="A plain blue square."
        )

    reasons = {K.NO_IMAGE: "NO_IMAGE", K.POLICY_BLOCKED: "IMAGE_SAFETY", K.TEXT_ONLY: "STOP"}
    assert reasons[kind] == answer.candidates[0].finish_reason.value


def test_googles_client_makes_the_free_calls(simulator):
    """Models are listed in pages and described, tokens counted."""
    with gemini(simulator) as client:
        names = [model.name for model in client.models.list(config={"page_size": 2})]
        one = client.models.get(model="gemini-3-pro-image")
        count = client.models.count_tokens(
            model="gemini-3-pro-image", contents="A plain blue square."
        )

    assert len(names) == len(set(names)) > 2
    assert (one.name in names, "generateContent" in one.supported_actions) == (True, True)
    assert count.total_tokens == 4


def batch(client: genai.Client) -> types.BatchJob:
    """Create a batch job of one picture."""
    config = types.GenerateContentConfig(response_modalities=["IMAGE"])
    request = types.InlinedRequest(
        contents="A plain blue square.", metadata={"key": "canary-1"}, config=config
    )
    return client.batches.create(
        model="gemini-3-pro-image", src=[request], config={"display_name": "canary"}
    )


def finished(client: genai.Client, name: str) -> types.BatchJob:
    """Let a job's time pass and look at it."""
    CLOCK.advance(1.0)
    return client.batches.get(name=name)


def test_googles_client_runs_a_batch_job(simulator):
    """A job is created, found, listed, downloaded inline and deleted."""
    with gemini(simulator) as client:
        created = batch(client)
        job = finished(client, created.name)
        listed = [entry.name for entry in client.batches.list(config={"page_size": 5})]
        client.batches.delete(name=created.name)
        with pytest.raises(errors.ClientError) as caught:
            client.batches.get(name=created.name)

    assert types.JobState.JOB_STATE_SUCCEEDED is job.state
    assert job.display_name == "canary"
    (item,) = job.dest.inlined_responses
    check(item.response.candidates[0].content.parts[0].inline_data.data, BLUE, (1024, 1024), "PNG")
    assert created.name in listed
    assert caught.value.code == 404


def test_googles_client_downloads_the_results_of_a_file_job(simulator):
    """A job made from a file answers with a file, one JSON object a line."""
    with gemini(simulator) as client:
        created = client.batches.create(model="gemini-3-pro-image", src="files/abc")
        job = finished(client, created.name)
        lines = client.files.download(file=job.dest.file_name).splitlines()

    assert len(lines) == 1
    assert lines[0].startswith(b'{"key": "request-1", "response": {')


def test_googles_client_cancels_a_batch_job(simulator):
    """A job that is not done ends cancelled, and stays so."""
    with gemini(simulator) as client:
        created = batch(client)
        client.batches.cancel(name=created.name)
        job = finished(client, created.name)

    assert types.JobState.JOB_STATE_PENDING is created.state
    assert types.JobState.JOB_STATE_CANCELLED is job.state


def test_an_expired_batch_job_has_no_pictures(simulator):
    """The ``expired`` fault ends a job without results."""
    simulator.set_fault("gemini", Fault(kind=K.EXPIRED))
    with gemini(simulator) as client:
        job = finished(client, batch(client).name)

    assert types.JobState.JOB_STATE_EXPIRED is job.state


def test_a_failed_batch_job_tells_why_only_on_the_wire(simulator):
    """The client drops the error at the top of the operation, as it does at the vendor."""
    simulator.set_fault("gemini", Fault(kind=K.JOB_FAILED))
    with gemini(simulator) as client:
        job = finished(client, batch(client).name)
    raw = httpx.get(
        f"{simulator.base('gemini')}/v1/{job.name}", headers={"x-goog-api-key": "k"}
    ).json()

    assert types.JobState.JOB_STATE_FAILED is job.state
    assert job.error is None
    assert {"code": 13, "message": "Internal error encountered."} == raw["error"]


def test_a_batch_job_can_succeed_with_a_failed_item(simulator):
    """The item carries a code of gRPC; inline and in a file alike, and nothing is billed."""
    billed = simulator.app.world.meter("gemini").billed
    simulator.set_fault("gemini", Fault(kind=K.ITEM_ERROR))
    with gemini(simulator) as client:
        job = finished(client, batch(client).name)
        by_file = client.batches.create(model="gemini-3-pro-image", src="files/abc")
        lines = client.files.download(file=finished(client, by_file.name).dest.file_name)

    assert types.JobState.JOB_STATE_SUCCEEDED is job.state
    (item,) = job.dest.inlined_responses
    assert (8, None) == (item.error.code, item.response)
    assert 8 == json.loads(lines)["error"]["code"]
    assert billed == simulator.app.world.meter("gemini").billed


def test_a_slow_batch_queue_keeps_its_jobs_waiting(simulator):
    """The ``slow`` fault stretches the queue by its factor."""
    simulator.set_fault("gemini", Fault(kind=K.SLOW, factor=100_000))
    with gemini(simulator) as client:
        created = batch(client)
        states = [finished(client, created.name).state for _ in range(101)]

    assert types.JobState.JOB_STATE_PENDING is states[0]
    assert types.JobState.JOB_STATE_RUNNING is states[50]
    assert types.JobState.JOB_STATE_SUCCEEDED is states[100]


def test_a_picture_is_billed_when_its_job_ends_whoever_looks(simulator):
    """Once, whether it is looked at, listed or deleted unseen; a cancelled job is not billed."""
    meter = simulator.app.world.meter("gemini")
    before = meter.billed
    with gemini(simulator) as client:
        unseen, cancelled = batch(client), batch(client)
        client.batches.cancel(name=cancelled.name)
        CLOCK.advance(1.0)
        list(client.batches.list())
        client.batches.delete(name=unseen.name)

    assert before + 1 == meter.billed


def test_a_gateway_speaks_googles_native_route_with_a_bearer_key(simulator):
    """The same picture call, with the relay's key header and the relay's own refusals."""
    url = f"{simulator.base('laozhang')}/v1beta/models/gemini-3-pro-image:generateContent"
    body = {"contents": [{"parts": [{"text": "A plain blue circle."}]}]}

    good = httpx.post(url, json=body, headers={"Authorization": "Bearer k"}).json()
    bad = httpx.post(url, json=body, headers={"Authorization": "Bearer invalid"})
    none = httpx.post(url, json=body)

    inline = good["candidates"][0]["content"]["parts"][0]["inlineData"]
    check(base64.b64decode(inline["data"]), BLUE, (1024, 1024), "PNG")
    assert bad.status_code == 401
    assert bad.json()["error"]["type"] == "new_api_error"
    assert none.status_code == 401


def test_imagen_answers_predict(simulator):
    """The older route draws in its own shape and says why it filters only when asked."""
    url = f"{simulator.base('imagen')}/v1beta/models/imagen-4.0-fast-generate-001:predict"
    headers = {"x-goog-api-key": "k"}
    body = {"instances": [{"prompt": "A red square"}], "parameters": {"aspectRatio": "16:9"}}

    (prediction,) = httpx.post(url, json=body, headers=headers).json()["predictions"]
    check(base64.b64decode(prediction["bytesBase64Encoded"]), RED, (1408, 768), "PNG")
    simulator.set_fault("imagen", Fault(kind=K.POLICY_BLOCKED))
    assert httpx.post(url, json=body, headers=headers).json() == {}
    body["parameters"]["includeRaiReason"] = True
    assert "raiFilteredReason" in httpx.post(url, json=body, headers=headers).text
    assert httpx.post(url, json=body).status_code == 403


@pytest.mark.parametrize(
    ("size", "form"), [("1024x1024", "png"), ("1024x768", "jpeg"), ("512x512", "webp")]
)
def test_openais_client_gets_the_picture_it_asked_for(simulator, size, form):
    """Size and format are obeyed; the answer is base64 with its usage."""
    with gpt(simulator) as client:
        answer = client.images.generate(
            model="gpt-image-2.6-flare", prompt="A blue circle", size=size, output_format=form
        )

    width, _, height = size.partition("x")
    check(base64.b64decode(answer.data[0].b64_json), BLUE, (int(width), int(height)), form.upper())
    assert (size, form) == (answer.size, answer.output_format)
    assert answer.usage.total_tokens > 0


def test_models_of_the_older_kind_answer_with_a_link(simulator):
    """FLUX and DALL-E answer with a URL of the simulator; GPT image models refuse to."""
    with gpt(simulator, "laozhang") as client:
        answer = client.images.generate(model="flux-2-pro", prompt="A red square", size="512x512")
    with gpt(simulator) as client, pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(
            model="gpt-image-2.6-flare", prompt="A red square", response_format="b64_json"
        )

    check(httpx.get(answer.data[0].url).content, RED, (512, 512), "PNG")
    assert caught.value.code == "unknown_parameter"


@pytest.mark.parametrize(
    ("kind", "exception", "status", "code"),
    [
        (K.BAD_REQUEST, openai.BadRequestError, 400, "invalid_value"),
        (K.POLICY_BLOCKED, openai.BadRequestError, 400, "moderation_blocked"),
        (K.AUTH, openai.AuthenticationError, 401, "invalid_api_key"),
        (K.NOT_ENTITLED, openai.PermissionDeniedError, 403, None),
        (K.MODEL_GONE, openai.NotFoundError, 404, "model_not_found"),
        (K.RATE_LIMITED, openai.RateLimitError, 429, "rate_limit_exceeded"),
        (K.BILLING, openai.RateLimitError, 429, "insufficient_quota"),
        (K.SERVER_ERROR, openai.InternalServerError, 500, "server_error"),
        (K.OVERLOADED, openai.InternalServerError, 503, "server_is_overloaded"),
    ],
)
def test_openais_client_raises_what_the_vendor_causes(simulator, kind, exception, status, code):
    """Each class has OpenAI's status, code and exception."""
    simulator.set_fault("openai", Fault(kind=kind))

    with gpt(simulator) as client, pytest.raises(exception) as caught:
        client.images.generate(model="gpt-image-2.6-flare", prompt="A red square")

    assert (status, code) == (caught.value.status_code, caught.value.code)


def test_openais_rate_limit_tells_when_to_come_back(simulator):
    """Both retry headers and the text name the wait."""
    simulator.set_fault("openai", Fault(kind=K.RATE_LIMITED))

    with gpt(simulator) as client, pytest.raises(openai.RateLimitError) as caught:
        client.images.generate(model="gpt-image-2.6-flare", prompt="A red square")

    headers = caught.value.response.headers
    expected = ("60.000", "60000")
    assert expected == (headers["retry-after"], headers["retry-after-ms"])


def test_openais_client_is_told_of_keys_and_models(simulator):
    """An invalid key is a 401, a model that is gone a 404, on free calls too."""
    with gpt(simulator, key="invalid") as client, pytest.raises(openai.AuthenticationError):
        client.models.list()
    with gpt(simulator) as client, pytest.raises(openai.NotFoundError):
        client.models.retrieve("gone-1")


def test_openais_client_lists_models_with_their_shutdown_dates(simulator):
    """The date is on the wire, in the list and in each model."""
    with gpt(simulator) as client:
        dates = {model.id: model.shutdown_date for model in client.models.list()}
        one = client.models.retrieve("gpt-image-1-mini")

    assert one.shutdown_date == "2026-12-01" == dates["gpt-image-1-mini"]
    assert dates["gpt-image-2.6-flare"] is None


@pytest.mark.parametrize("place", ["", "+parts", "+images", "+data", "+link"])
def test_a_chat_hides_the_picture_where_it_is_told_to(simulator, place):
    """Every place of WIRE.md 6.1 can be asked for by the model's name."""
    with gpt(simulator, "laozhang") as client:
        answer = client.chat.completions.create(
            model=f"gemini-3-pro-image{place}",
            messages=[{"role": "user", "content": "A plain blue square."}],
        )

    message = answer.choices[0].message
    content = message.content
    if place == "+parts":
        content = content[1]["image_url"]["url"]
    elif place == "+images":
        content = message.images[0]["image_url"]["url"]
    if place == "+link":
        data = httpx.get(content.partition("](")[2].partition(")")[0]).content
    else:
        data = base64.b64decode(content.partition("base64,")[2].rstrip(")"))
    check(data, BLUE, (1024, 1024), "PNG")


def test_a_chat_can_be_streamed(simulator):
    """The deltas join to the same text."""
    with gpt(simulator, "laozhang-vip") as client:
        chunks = client.chat.completions.create(
            model="gemini-3-pro-image",
            messages=[{"role": "user", "content": "A plain blue square."}],
            stream=True,
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    check(base64.b64decode(text.partition("base64,")[2].rstrip(")")), BLUE, (1024, 1024), "PNG")


def test_a_gateway_tells_its_balance(simulator):
    """The account's own token is sent without ``Bearer``."""
    url = f"{simulator.base('laozhang')}/api/user/self"

    data = httpx.get(url, headers={"Authorization": "token"}).json()["data"]

    assert data["quota"] + data["used_quota"] == 5_000_000
    assert httpx.get(url).status_code == 401


def bfl_result(client: httpx.Client, submitted: httpx.Response) -> dict:
    """Let a job's time pass and look at it."""
    url = submitted.json()["polling_url"]
    assert client.get(url).json()["status"] == "Pending"
    CLOCK.advance(1.0)
    return client.get(url).json()


def test_bfl_is_submitted_polled_and_fetched(simulator):
    """The link works without the key, refuses it, and dies ten minutes after the picture."""
    body = {"prompt": "A plain blue square.", "width": 256, "height": 512}
    with httpx.Client(headers={"x-key": "k"}) as client:
        submitted = client.post(f"{simulator.base('bfl')}/v1/flux-2-klein-4b", json=body)
        answer = bfl_result(client, submitted)
        link = answer["result"]["sample"]
        refused = client.get(link).status_code

    assert answer["status"] == "Ready"
    check(httpx.get(link).content, BLUE, (256, 512), "JPEG")
    assert refused == 400
    CLOCK.advance(598.0)
    assert httpx.get(link).status_code == 200
    CLOCK.advance(1.5)
    assert httpx.get(link).status_code == 403


def test_bfl_makes_the_free_calls_and_refuses(simulator):
    """Credits are told, unknown tasks named, bad requests and keys refused."""
    base = simulator.base("bfl")
    body = {"prompt": "A plain blue square.", "width": 100, "height": 512}
    with httpx.Client(headers={"x-key": "k"}) as client:
        assert "credits" in client.get(f"{base}/v1/credits").json()
        unknown = client.get(f"{base}/v1/get_result", params={"id": "0"}).json()
        assert unknown["status"] == "Task not found"
        assert client.post(f"{base}/v1/flux-dev", json=body).status_code == 422
        assert client.post(f"{base}/v1/gone", json={**body, "width": 64}).status_code == 404
    assert httpx.get(f"{base}/v1/credits", headers={"x-key": "invalid"}).status_code == 401
    assert httpx.get(f"{base}/v1/credits").status_code == 403


@pytest.mark.parametrize(
    ("kind", "status"), [(K.POLICY_BLOCKED, "Content Moderated"), (K.NO_IMAGE, "Ready")]
)
def test_bfl_tells_a_job_s_failure_by_polling(simulator, kind, status):
    """The submit is taken; the poll shows what became of it."""
    simulator.set_fault("bfl", Fault(kind=kind))
    body = {"prompt": "A plain blue square.", "width": 64, "height": 64}
    with httpx.Client(headers={"x-key": "k"}) as client:
        submitted = client.post(f"{simulator.base('bfl')}/v1/flux-dev", json=body)
        answer = bfl_result(client, submitted)

    assert status == answer["status"]
    assert not (answer["result"] or {}).get("sample")
