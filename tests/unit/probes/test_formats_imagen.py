"""The predict format: what it asks for and which prediction it takes."""

from __future__ import annotations

from dataclasses import replace

from tests.support.replies import PNG, PNG_BASE64, TARGETS, play, reply

TARGET = TARGETS["imagen"]


def test_the_request_names_version_model_key_and_ratio():
    """v1beta is where Imagen lived; an option overrides it."""
    send = play(TARGET, lambda _: reply(500)).sends[0]
    other = replace(TARGET, options={"api_version": "v1"}, size=(1600, 900))
    wide = play(other, lambda _: reply(500)).sends[0]

    assert send.url == "https://imagen.test/v1beta/models/some-imagen:predict"
    assert {"x-goog-api-key": "key-2"} == send.headers
    assert wide.url.startswith("https://imagen.test/v1/models/")
    assert "16:9" == wide.json["parameters"]["aspectRatio"]


def test_the_first_prediction_with_bytes_is_the_picture():
    """Predictions without bytes, such as those of safety attributes, are passed over."""
    doc = {"predictions": [{"contentType": "x"}, "odd", {"bytesBase64Encoded": PNG_BASE64}]}

    assert PNG == play(TARGET, lambda _: reply(200, doc)).picture.data


def test_a_filtered_picture_keeps_the_reason():
    """The reason is the detail, and the field that held it the finish reason."""
    doc = {"predictions": [{}, {"raiFilteredReason": "Codes: 99"}]}
    verdict = play(TARGET, lambda _: reply(200, doc)).verdict

    assert ("Codes: 99", "raiFilteredReason") == (verdict.detail, verdict.finish_reason)
