"""Requests for videos, images and speech, in all the shapes that clients know."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st

from relayhub.dialects.media_api.given import Given, Value
from relayhub.dialects.media_api.images import ImageFormat, read_images
from relayhub.dialects.media_api.speech import read_speech
from relayhub.dialects.media_api.videos import AskedVideo, read_video
from relayhub.types.chat import Media
from relayhub.types.errors import ClientError
from relayhub.types.media import InputRole, VideoRequest

LINK = "https://media.example.com/in/cat.jpg"
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n rest").decode()


def video(**fields: Value) -> VideoRequest:
    return read_video(Given(fields)).request


def roles(request: VideoRequest) -> list[InputRole]:
    return [one.role for one in request.inputs]


def refused(fields: Mapping[str, Value]) -> str | None:
    with pytest.raises(ClientError) as caught:
        read_video(Given(fields))
    return caught.value.param


# --- videos -------------------------------------------------------------------------------------------------------------


def test_the_hubs_own_shape_names_a_provider_and_a_user() -> None:
    asked = read_video(
        Given({"provider": "kling", "prompt": "A cat", "user_identifier": "user_123"}), names_provider=True
    )
    assert asked == AskedVideo(VideoRequest("", "A cat"), "kling", "user_123")


def test_elsewhere_a_provider_is_a_parameter_like_any_other() -> None:
    assert video(prompt="A cat", provider="kling").vendor == {"provider": "kling"}


def test_openais_shape() -> None:
    asked = video(model="m", prompt="A cat", seconds="4", size="720x1280", input_reference=LINK)
    assert (asked.seconds, asked.resolution, asked.ratio) == (4.0, "720p", "9:16")
    assert roles(asked) == [InputRole.IMAGE]
    assert asked.inputs[0].media.url == LINK
    assert asked.vendor == {}


@pytest.mark.parametrize(
    ("size", "resolution", "ratio"),
    [
        ("1280x720", "720p", "16:9"),
        ("1920*1080", "1080p", "16:9"),
        ("3840x2160", "4k", "16:9"),
        ("1024x1024", "1024p", "1:1"),
        ("720P", "720p", None),
    ],
)
def test_a_size_says_resolution_and_ratio(size: str, resolution: str, ratio: str | None) -> None:
    asked = video(prompt="x", size=size)
    assert (asked.resolution, asked.ratio) == (resolution, ratio)


def test_the_flat_shape() -> None:
    asked = video(
        model="m", prompt="x", resolution="720P", ratio="16:9", duration=4, generate_audio=False, seed=7, watermark=True
    )
    assert asked == VideoRequest(
        "m", "x", seconds=4.0, resolution="720p", ratio="16:9", audio=False, watermark=True, seed=7
    )


def test_the_nested_shape_with_a_first_frame_and_references() -> None:
    media = [{"type": "input_image", "url": LINK}, {"type": "reference_image", "url": LINK}]
    asked = video(
        model="m",
        input={"prompt": "x", "media": media},
        parameters={"resolution": "720P", "duration": 5, "ratio": "16:9", "watermark": False},
    )
    assert roles(asked) == [InputRole.FIRST_FRAME, InputRole.REFERENCE_IMAGE]
    assert (asked.prompt, asked.seconds, asked.resolution, asked.ratio) == ("x", 5.0, "720p", "16:9")
    assert asked.watermark is False


def test_a_duration_beside_a_video_that_is_edited_only_prices_it() -> None:
    asked = video(
        model="m",
        duration=3,
        input={"prompt": "x", "media": [{"type": "video", "url": LINK}]},
        parameters={"resolution": "720P", "audio_setting": "origin"},
    )
    assert (asked.seconds, asked.billed_seconds) == (None, 3.0)
    assert roles(asked) == [InputRole.SOURCE_VIDEO]
    assert asked.vendor == {"audio_setting": "origin"}


def test_a_list_of_content() -> None:
    asked = video(
        model="m",
        content=[
            {"type": "text", "text": "x"},
            {"type": "image_url", "image_url": {"url": LINK}, "role": "first_frame"},
            {"type": "image_url", "image_url": {"url": LINK}, "role": "last_frame"},
        ],
    )
    assert asked.prompt == "x"
    assert roles(asked) == [InputRole.FIRST_FRAME, InputRole.LAST_FRAME]


def test_several_files_of_a_form() -> None:
    file = Media(data=PNG, media_type="image/png")
    asked = video(prompt="x", model="m", **{"input_reference[]": [file, file]})
    assert [one.media for one in asked.inputs] == [file, file]


def test_bare_base64_is_known_for_what_it_is() -> None:
    assert video(prompt="x", image=PNG).inputs[0].media.media_type == "image/png"


def test_what_no_shape_knows_is_the_upstreams_own() -> None:
    assert video(prompt="x", cfg_scale=0.5, parameters={"prompt_extend": True}).vendor == {
        "cfg_scale": 0.5,
        "prompt_extend": True,
    }


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": 3}, "prompt"),
        ({"prompt": "x", "duration": "soon"}, "duration"),
        ({"prompt": "x", "seconds": 0}, "seconds"),
        ({"prompt": "x", "duration": True}, "duration"),
        ({"prompt": "x", "seed": 1.5}, "seed"),
        ({"prompt": "x", "watermark": "perhaps"}, "watermark"),
        ({"prompt": "x", "n": 2}, "n"),
        ({"prompt": "x", "image": "not base64!"}, "image"),
        ({"prompt": "x", "image": {"file_id": "file-1"}}, "image"),
        ({"prompt": "x", "input": "text"}, "input"),
        ({"input": {"prompt": "x", "media": "one"}}, "input.media"),
        ({"input": {"prompt": "x", "media": [{"type": "hologram", "url": LINK}]}}, "input.media[0].type"),
        ({"prompt": "x", "parameters": {"duration": -3}}, "parameters.duration"),
        ({"prompt": "x", "callback_url": "javascript:alert(1)"}, "callback_url"),
        ({"prompt": "x", "unexpected": Media(data=PNG)}, "unexpected"),
    ],
)
def test_a_mistake_is_named(fields: Mapping[str, Value], param: str) -> None:
    assert refused(fields) == param


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["model", "prompt", "image", "input", "parameters", "content", "duration", "seconds", "size", "n", "audio", "seed"]
)


@examples(st.dictionaries(NAMES, JSON, max_size=5))
def test_whatever_is_sent_is_read_or_refused(fields: dict[str, Value]) -> None:
    for read in (lambda given: read_video(given), lambda given: read_images(given, edits=False), read_speech):
        try:
            read(Given(fields))
        except ClientError as error:
            assert error.param  # noqa: PT017  # a refusal is one of two fine answers


# --- images -------------------------------------------------------------------------------------------------------------


def test_images() -> None:
    asked = read_images(
        Given({"model": "m", "prompt": "x", "n": "2", "size": "1024x1024", "quality": "high", "user": "u"}), edits=False
    )
    assert (asked.request.count, asked.request.size, asked.request.quality) == (2, "1024x1024", "high")
    assert (asked.format, asked.later, asked.user) == (None, False, "u")


def test_a_resolution_that_is_called_a_size() -> None:
    request = read_images(Given({"model": "m", "prompt": "x", "size": "2K"}), edits=False).request
    assert (request.size, request.resolution) == (None, "2k")


def test_edits_take_several_pictures_and_a_mask() -> None:
    fields: dict[str, Value] = {"model": "m", "prompt": "x", "image": [LINK, PNG], "mask": PNG, "async": "true"}
    asked = read_images(Given(fields), edits=True)
    assert [one.role for one in asked.request.inputs] == [InputRole.IMAGE, InputRole.IMAGE, InputRole.MASK]
    assert asked.later


def test_the_form_of_the_answer() -> None:
    for said, form in (("url", ImageFormat.LINK), ("b64_json", ImageFormat.BASE64)):
        asked = read_images(Given({"model": "m", "prompt": "x", "response_format": said}), edits=False)
        assert asked.format is form


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": "x"}, "model"),
        ({"model": "m"}, "prompt"),
        ({"model": "m", "prompt": "x", "n": 0}, "n"),
        ({"model": "m", "prompt": "x", "n": 17}, "n"),
        ({"model": "m", "prompt": "x", "size": "big"}, "size"),
        ({"model": "m", "prompt": "x", "stream": True}, "stream"),
        ({"model": "m", "prompt": "x", "response_format": "data_url"}, "response_format"),
    ],
)
def test_a_mistake_about_images_is_named(fields: Mapping[str, Value], param: str) -> None:
    with pytest.raises(ClientError) as caught:
        read_images(Given(fields), edits=False)
    assert caught.value.param == param


def test_an_edit_needs_a_picture() -> None:
    with pytest.raises(ClientError) as caught:
        read_images(Given({"model": "m", "prompt": "x", "mask": PNG}), edits=True)
    assert caught.value.param == "image"


# --- speech -------------------------------------------------------------------------------------------------------------


def test_speech() -> None:
    asked = read_speech(
        Given({"model": "m", "input": "你好", "voice": "Cherry", "speed": 1.5, "response_format": "mp3", "lang": "zh"})
    )
    request = asked.request
    assert (request.text, request.voice, request.speed, request.format) == ("你好", "Cherry", 1.5, "mp3")
    assert request.vendor == {"lang": "zh"}
    assert not asked.events


def test_a_voice_may_be_an_object_and_the_audio_events() -> None:
    asked = read_speech(Given({"model": "m", "input": "x", "voice": {"id": "v_1"}, "stream_format": "sse"}))
    assert (asked.request.voice, asked.events) == ("v_1", True)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"input": None}, "input"),
        ({"voice": None}, "voice"),
        ({"voice": 3}, "voice"),
        ({"model": None}, "model"),
        ({"speed": 9}, "speed"),
        ({"response_format": "midi"}, "response_format"),
        ({"stream_format": "lines"}, "stream_format"),
        ({"input": "x" * 50_001}, "input"),
    ],
)
def test_a_mistake_about_speech_is_named(change: Mapping[str, Value], param: str) -> None:
    fields: dict[str, Value] = {"model": "m", "input": "x", "voice": "v", **change}
    with pytest.raises(ClientError) as caught:
        read_speech(Given(fields))
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": "x", "duration": 3, "parameters": {"duration": 15}}, "duration"),
        ({"prompt": "x", "size": "1280x720", "resolution": "1080p"}, "size"),
        ({"prompt": "x", "parameters": {"resolution": "720P", "size": "1920x1080"}}, "parameters.size"),
        ({"prompt": "x", "content": [{"type": "text", "text": "y"}]}, "prompt"),
        ({"prompt": "x", "image": "http://[::1"}, "image"),
        ({"prompt": "x", "seed": -(10**30)}, "seed"),
        ({"prompt": "x", "callback_url": "http://[::1"}, "callback_url"),
        ({"prompt": "x", "callback_url": "http://127.0.0.1:99999/"}, "callback_url"),
        ({"prompt": "x", "callback_url": "http://exa mple.com/"}, "callback_url"),
        ({"prompt": "x", "callback_url": "http://example.com/" + "x" * 2048}, "callback_url"),
    ],
)
def test_what_contradicts_itself_or_leads_nowhere_is_refused(fields: Mapping[str, Value], param: str) -> None:
    assert refused(fields) == param


def test_a_user_is_kept_to_a_bounded_length() -> None:
    assert len(read_video(Given({"prompt": "x", "user_identifier": "w" * 10_000})).user or "") == 256
