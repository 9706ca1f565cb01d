"""Chat requests: decoding and encoding again loses nothing; what is wrong is named by its path."""

from __future__ import annotations

import contextlib
import json
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayhub.dialects.openai_chat import OpenAIChat
from relayhub.types.chat import (
    AudioPart,
    ChatRequest,
    FilePart,
    FormatKind,
    ImagePart,
    Media,
    Message,
    OpaquePart,
    Reasoning,
    ReasoningPart,
    RefusalPart,
    Role,
    Sampling,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolMode,
    ToolResultPart,
)
from relayhub.types.errors import ClientError, ErrorKind
from tests.dialects.views import decoded

CODEC = OpenAIChat()
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR42mP4z8AARAwQCgAf7gP9Y167WwAAAABJRU5ErkJggg=="


def body(messages: list[Any] | None = None, **fields: Any) -> bytes:
    messages = [{"role": "user", "content": "hi"}] if messages is None else messages
    return json.dumps({"model": "m", "messages": messages, **fields}).encode()


def again(request: bytes) -> Any:
    hub = decoded(CODEC, request)
    return json.loads(CODEC.encode_request(hub, model=hub.model).body)


# --- nothing is lost ---------------------------------------------------------------------------------------------------

vendor = st.dictionaries(
    st.sampled_from(["x_vendor", "prompt_cache_breakpoint", "weight"]),
    st.none() | st.integers(-5, 5) | st.just({"mode": "explicit", "ttl": 300}),
    max_size=1,
)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
names = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)


def shape(required: dict[str, st.SearchStrategy[Any]], optional: dict[str, st.SearchStrategy[Any]]) -> Any:
    known = st.fixed_dictionaries(required, optional={key: st.none() | value for key, value in optional.items()})
    return st.builds(lambda known, extra: {**extra, **known}, known, vendor)


def typed(kind: str, **fields: st.SearchStrategy[Any]) -> Any:
    return shape({"type": st.just(kind), **fields}, {})


text_part = typed("text", text=words)
urls = st.sampled_from(["https://x.test/a.png", f"data:image/png;base64,{PNG}"])
image_part = typed(
    "image_url", image_url=shape({"url": urls}, {"detail": st.sampled_from(["auto", "low", "original"])})
)
audio_part = typed(
    "input_audio", input_audio=shape({"data": st.just("UklGRg=="), "format": st.sampled_from(["wav", "mp3"])}, {})
)
file_part = typed(
    "file",
    file=shape({"file_id": st.just("file-1")}, {})
    | shape({"file_data": st.just("data:application/pdf;base64,JVBERi0=")}, {"filename": words}),
)
video_part = typed("video_url", video_url=st.just({"url": "https://x.test/v.mp4"}))
content = words | st.lists(text_part | image_part | audio_part | file_part | video_part, max_size=3)
function_call = shape(
    {"id": names, "type": st.just("function"), "function": shape({"name": names, "arguments": words}, {})}, {}
)
custom_call = shape({"id": names, "type": st.just("custom"), "custom": shape({"name": names, "input": words}, {})}, {})
other_call = typed("hosted_call", id=names)
messages = st.one_of(
    shape({"role": st.sampled_from(["system", "developer", "user"]), "content": content}, {"name": names}),
    shape(
        {"role": st.just("assistant")},
        {
            "content": words | st.lists(text_part | typed("refusal", refusal=words), max_size=3),
            "name": names,
            "refusal": words,
            "reasoning_content": words,
            "reasoning": words,
            "audio": st.just({"id": "audio_1"}),
            "tool_calls": st.lists(function_call | custom_call | other_call, max_size=3),
            "function_call": st.just({"name": "f", "arguments": "{}"}),
        },
    ),
    shape(
        {
            "role": st.just("tool"),
            "tool_call_id": names,
            "content": st.none() | words | st.lists(text_part, max_size=2),
        },
        {},
    ),
    shape({"role": st.just("function"), "name": names, "content": words | st.none()}, {}),
)
schema = st.just({"type": "object", "properties": {"title": {"type": ["string", "null"]}}, "required": ["title"]})
function_tool = typed(
    "function",
    function=shape({"name": names}, {"description": words, "parameters": schema, "strict": st.booleans()}),
)
custom_tool = typed("custom", custom=st.just({"name": "raw", "format": {"type": "text"}}))
choices = st.one_of(
    st.sampled_from(["none", "auto", "required"]),
    typed("function", function=st.fixed_dictionaries({"name": names})),
    typed("custom", custom=st.fixed_dictionaries({"name": names})),
    typed("web_search_preview"),
    typed(
        "allowed_tools",
        allowed_tools=st.fixed_dictionaries(
            {
                "mode": st.sampled_from(["auto", "required"]),
                "tools": st.lists(
                    typed("function", function=st.fixed_dictionaries({"name": names})) | typed("image_generation"),
                    max_size=3,
                ),
            }
        ),
    ),
)
formats = st.one_of(
    typed("text"),
    typed("json_object"),
    typed("grammar", grammar=words),
    typed(
        "json_schema",
        json_schema=shape({"name": names}, {"schema": schema, "strict": st.booleans(), "description": words}),
    ),
)
numbers = st.integers(-2, 2) | st.floats(-2, 2)
caps = st.integers(1, 100_000)
requests = shape(
    {"model": names, "messages": st.lists(messages, min_size=1, max_size=4)},
    {
        "max_tokens": caps,
        "max_completion_tokens": caps,
        "temperature": numbers,
        "top_p": numbers,
        "top_k": st.integers(1, 50),
        "n": st.integers(1, 128),
        "seed": st.integers(-(2**62), 2**62),
        "stop": words | st.lists(words, max_size=4),
        "presence_penalty": numbers,
        "frequency_penalty": numbers,
        "logit_bias": st.just({"50256": -100}),
        "logprobs": st.booleans(),
        "top_logprobs": st.integers(0, 20),
        "tools": st.lists(function_tool | custom_tool, max_size=3),
        "tool_choice": choices,
        "parallel_tool_calls": st.booleans(),
        "response_format": formats,
        "reasoning_effort": st.sampled_from(["none", "minimal", "low", "xhigh", "max"]),
        "user": words,
        "safety_identifier": words,
        "metadata": st.just({"order": "7"}),
        "functions": st.just([{"name": "f", "parameters": {}}]),
        "function_call": st.just("auto"),
        "thinking": st.just({"type": "enabled"}),
        "stream": st.just(False),
    },
)


@given(requests)
def test_a_request_comes_back_equal(request: dict[str, Any]) -> None:
    assert again(json.dumps(request).encode()) == request


@given(requests, st.none() | st.dictionaries(st.sampled_from(["include_obfuscation", "x"]), st.booleans()))
def test_a_streamed_request_comes_back_equal_and_asks_for_usage(request: dict[str, Any], options: Any) -> None:
    request = {**request, "stream": True, "stream_options": options}
    expected = {**request, "stream_options": {**(options or {}), "include_usage": True}}
    assert again(json.dumps(request).encode()) == expected


def test_a_refusal_may_stand_in_two_places_at_once() -> None:
    refusal = {"type": "refusal", "refusal": "no"}
    message = {"role": "assistant", "content": [refusal, {"type": "text", "text": "x"}, refusal], "refusal": "no"}
    assert again(body([message])) == json.loads(body([message]))


def test_stream_options_are_left_out_where_nothing_streams() -> None:
    assert "stream_options" not in again(body(stream_options={"include_usage": True}))


@pytest.mark.parametrize(
    ("fields", "cap"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 6}, 6),
        ({"max_tokens": 5, "max_completion_tokens": None}, 5),
        ({}, None),
    ],
)
def test_the_cap_is_known_and_keeps_its_spelling(fields: dict[str, Any], cap: int | None) -> None:
    assert decoded(CODEC, body(**fields)).max_output_tokens == cap
    assert again(body(**fields)) == json.loads(body(**fields))


def test_the_larger_of_two_caps_is_what_may_be_spent() -> None:
    assert CODEC.envelope(body(max_tokens=9, max_completion_tokens=6)).output_cap == 9


# --- what the hub understands -------------------------------------------------------------------------------------------


def test_everything_has_its_word() -> None:
    request = decoded(
        CODEC,
        body(
            [
                {"role": "developer", "content": "Be brief."},
                {
                    "role": "user",
                    "name": "Ann",
                    "content": [
                        {"type": "text", "text": "See"},
                        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}},
                        {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}},
                        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
                        {"type": "file", "file": {"file_id": "file-1"}},
                        {"type": "video_url", "video_url": {"url": "https://x.test/v"}},
                    ],
                },
                {
                    "role": "assistant",
                    "content": None,
                    "reasoning_content": "Hm.",
                    "refusal": "No.",
                    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
                },
                {"role": "tool", "tool_call_id": "c1", "content": "4 C"},
            ],
            stream=True,
            stream_options={"include_usage": True},
            n=2,
            temperature=1,
            stop="END",
            tools=[{"type": "function", "function": {"name": "f", "strict": True}}],
            tool_choice={
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
            },
            response_format={"type": "json_schema", "json_schema": {"name": "out", "schema": {"type": "object"}}},
            reasoning_effort="low",
            user="u1",
        ),
    )
    system, user, assistant, tool = request.messages
    assert system == Message(Role.DEVELOPER, (TextPart("Be brief."),), plain=True)
    assert user.name == "Ann"
    assert user.parts == (
        TextPart("See"),
        ImagePart(Media(data=PNG, media_type="image/png"), "low"),
        ImagePart(Media(url="https://x.test/a.png")),
        AudioPart(Media(data="UklGRg==", media_type="audio/wav")),
        FilePart(Media(file_id="file-1")),
        OpaquePart("openai.chat", "video_url", {"type": "video_url", "video_url": {"url": "https://x.test/v"}}),
    )
    assert assistant.parts == (
        ReasoningPart("Hm.", wire_field="reasoning_content"),
        RefusalPart("No."),
        ToolCallPart("c1", "f", "{}"),
    )
    assert tool.parts == (ToolResultPart("c1", (TextPart("4 C"),), plain=True),)
    assert (request.stream, request.include_usage, request.choices, request.user) == (True, True, 2, "u1")
    assert request.sampling == Sampling(temperature=1, stop=("END",))
    assert request.tools == (Tool("f", strict=True),)
    assert request.tool_choice == ToolChoice(ToolMode.AUTO, ("f",), subset=True)
    assert request.output_format is not None
    assert (request.output_format.kind, request.output_format.name) == (FormatKind.JSON_SCHEMA, "out")
    assert request.reasoning == Reasoning(effort="low")


@pytest.mark.parametrize(
    ("url", "media"),
    [
        (PNG, Media(data=PNG, media_type="image/png")),
        (f"data:image/png;charset=utf-8;base64,{PNG}", Media(data=PNG, media_type="image/png")),
        (f"data:;base64,{PNG}", Media(data=PNG, media_type="image/png")),
        (f"DATA:image/PNG;base64,{PNG[:40]}\n {PNG[40:]}", Media(data=PNG, media_type="image/png")),
        ("data:image/gif;base64,-_8", Media(data="+/8=", media_type="image/gif")),
        ("HTTP://x.test/a", Media(url="HTTP://x.test/a")),
    ],
)
def test_images_are_accepted_in_loose_forms_and_normalised(url: str, media: Media) -> None:
    content = [{"type": "image_url", "image_url": {"url": url}}]
    request = decoded(CODEC, body([{"role": "user", "content": content}]))
    assert request.messages[0].parts == (ImagePart(media),)


# --- what is wrong is named ---------------------------------------------------------------------------------------------


def in_user(part: Any) -> list[Any]:
    return [{"role": "user", "content": "a"}, {"role": "user", "content": [part]}]


def in_assistant(**fields: Any) -> list[Any]:
    return [{"role": "assistant", **fields}]


WRONG: list[tuple[str, bytes]] = [
    ("messages[0].role", body([{"content": "x"}])),
    ("messages[0].role", body([{"role": "robot", "content": "x"}])),
    ("messages[0].content", body([{"role": "user"}])),
    ("messages[0].content", body([{"role": "user", "content": None}])),
    ("messages[0].content", body([{"role": "system", "content": 5}])),
    ("messages[0].name", body([{"role": "user", "content": "x", "name": 5}])),
    ("messages[1].content[0]", body(in_user("text"))),
    ("messages[1].content[0].type", body(in_user({"text": "x"}))),
    ("messages[1].content[0].text", body(in_user({"type": "text"}))),
    ("messages[1].content[0].image_url", body(in_user({"type": "image_url", "image_url": "https://x.test"}))),
    ("messages[1].content[0].image_url.url", body(in_user({"type": "image_url", "image_url": {}}))),
    ("messages[1].content[0].image_url.url", body(in_user({"type": "image_url", "image_url": {"url": "not base64!"}}))),
    (
        "messages[1].content[0].image_url.url",
        body(in_user({"type": "image_url", "image_url": {"url": "data:image/png,x"}})),
    ),
    (
        "messages[1].content[0].image_url.detail",
        body(in_user({"type": "image_url", "image_url": {"url": PNG, "detail": 1}})),
    ),
    (
        "messages[1].content[0].input_audio.format",
        body(in_user({"type": "input_audio", "input_audio": {"data": "UklGRg=="}})),
    ),
    (
        "messages[1].content[0].input_audio.data",
        body(in_user({"type": "input_audio", "input_audio": {"data": "§", "format": "wav"}})),
    ),
    ("messages[1].content[0].file", body(in_user({"type": "file", "file": {"filename": "a"}}))),
    ("messages[0].refusal", body(in_assistant(refusal=5))),
    ("messages[0].tool_calls", body(in_assistant(tool_calls={}))),
    ("messages[0].tool_calls[0].id", body(in_assistant(tool_calls=[{"function": {"name": "f", "arguments": ""}}]))),
    ("messages[0].tool_calls[0].function", body(in_assistant(tool_calls=[{"id": "c"}]))),
    (
        "messages[0].tool_calls[0].function.arguments",
        body(in_assistant(tool_calls=[{"id": "c", "function": {"name": "f", "arguments": {}}}])),
    ),
    ("messages[0].tool_call_id", body([{"role": "tool", "content": "x"}])),
    ("messages[0].content", body([{"role": "tool", "tool_call_id": "c"}])),
    ("tools", body(tools="f")),
    ("tools[0].type", body(tools=[{"function": {"name": "f"}}])),
    ("tools[0].function.name", body(tools=[{"type": "function", "function": {"name": ""}}])),
    ("tools[0].function.parameters", body(tools=[{"type": "function", "function": {"name": "f", "parameters": []}}])),
    ("tool_choice", body(tool_choice="always")),
    ("tool_choice.function", body(tool_choice={"type": "function", "function": "f"})),
    ("tool_choice.allowed_tools.mode", body(tool_choice={"type": "allowed_tools", "allowed_tools": {"mode": "none"}})),
    ("response_format", body(response_format="json")),
    ("response_format.json_schema.name", body(response_format={"type": "json_schema", "json_schema": {}})),
    ("temperature", body(temperature="hot")),
    ("temperature", body(temperature=True)),
    ("seed", body(seed=1.5)),
    ("stop", body(stop=[1])),
    ("logprobs", body(logprobs=1)),
    ("reasoning_effort", body(reasoning_effort=3)),
    ("metadata", body(metadata="x")),
]


@pytest.mark.parametrize(("param", "request_body"), WRONG, ids=[f"{n}-{param}" for n, (param, _) in enumerate(WRONG)])
def test_a_wrong_shape_is_named_by_its_path(param: str, request_body: bytes) -> None:
    with pytest.raises(ClientError) as caught:
        decoded(CODEC, request_body)
    error = caught.value
    assert (error.kind, error.param) == (ErrorKind.INVALID_REQUEST, param)
    assert param in error.message


ENVELOPE_WRONG: list[tuple[str, str, dict[str, Any]]] = [
    ("model", "missing_required_parameter", {"model": None}),
    ("model", "invalid_type", {"model": 5}),
    ("model", "invalid_value", {"model": " "}),
    ("messages", "invalid_type", {"messages": "hi"}),
    ("messages", "invalid_type", {"messages": {}}),
    ("messages", "empty_array", {"messages": []}),
    ("messages[1]", "invalid_type", {"messages": [{}, "x"]}),
    ("stream", "invalid_type", {"stream": 1}),
    ("stream_options", "invalid_type", {"stream_options": []}),
    ("stream_options.include_usage", "invalid_type", {"stream": True, "stream_options": {"include_usage": "yes"}}),
    ("n", "invalid_value", {"n": 0}),
    ("n", "invalid_value", {"n": 129}),
    ("n", "invalid_type", {"n": 2.0}),
    ("n", "invalid_type", {"n": True}),
    ("n", "invalid_type", {"n": 10**30}),
    ("max_tokens", "invalid_value", {"max_tokens": 0}),
    ("max_tokens", "invalid_value", {"max_tokens": 2**40}),
    ("max_completion_tokens", "invalid_type", {"max_completion_tokens": 5.0}),
    ("max_completion_tokens", "invalid_value", {"max_completion_tokens": -1}),
    ("user", "invalid_type", {"user": 5}),
    ("safety_identifier", "invalid_type", {"safety_identifier": {}}),
]


@pytest.mark.parametrize(("param", "code", "fields"), ENVELOPE_WRONG)
def test_the_envelope_is_strict(param: str, code: str, fields: dict[str, Any]) -> None:
    with pytest.raises(ClientError) as caught:
        CODEC.envelope(body(**fields))
    assert (caught.value.param, caught.value.code) == (param, code)


def test_a_missing_model_or_conversation_is_missing() -> None:
    for request, param in ((b'{"messages":[{}]}', "model"), (b'{"model":"m"}', "messages")):
        with pytest.raises(ClientError) as caught:
            CODEC.envelope(request)
        assert (caught.value.param, caught.value.code) == (param, "missing_required_parameter")


def test_the_envelope_of_an_ordinary_request() -> None:
    envelope = CODEC.envelope(body(stream=True, stream_options={"include_usage": True}, n=3, max_tokens=7, user="u"))
    assert (envelope.model, envelope.stream, envelope.include_usage) == ("m", True, True)
    assert (envelope.output_cap, envelope.choices, envelope.user) == (7, 3, "u")
    plain = CODEC.envelope(body(stream=None, n=None, max_tokens=None, user=None, stream_options=None))
    assert (plain.stream, plain.include_usage, plain.output_cap, plain.choices, plain.user) == (
        False,
        False,
        None,
        1,
        None,
    )


@pytest.mark.parametrize("field", ["user", "safety_identifier", "user_identifier"])
def test_the_user_is_kept_printable_and_short(field: str) -> None:
    assert CODEC.envelope(body(None, **{field: "a\r\nb\x1b[31m"})).user == "a??b?[31m"
    assert CODEC.envelope(body(None, **{field: "é" * 1000})).user == "é" * 256


@given(
    st.dictionaries(
        st.sampled_from(["model", "messages", "n", "stream", "tools", "stop", "x"]),
        st.recursive(
            st.none() | st.integers() | words,
            lambda inner: (
                st.lists(inner, max_size=2)
                | st.dictionaries(st.sampled_from(["role", "content", "type", "function"]), inner, max_size=2)
            ),
            max_leaves=5,
        ),
    )
)
def test_bad_input_is_only_ever_a_client_error(request: dict[str, Any]) -> None:
    for read in (CODEC.envelope, partial(decoded, CODEC)):
        with contextlib.suppress(ClientError):
            read(json.dumps(request).encode())


# --- the byte lane ------------------------------------------------------------------------------------------------------


def native(request: bytes, model: str = "m") -> bytes:
    return CODEC.native_request(request, model=model, envelope=CODEC.envelope(request))


def test_nothing_to_change_is_the_same_object() -> None:
    for request in (body(), body(stream=False), body(stream=True, stream_options={"include_usage": True})):
        assert native(request) is request


@pytest.mark.parametrize(
    ("given_options", "expected"),
    [
        ("", b'{"stream_options":{"include_usage":true},"model": "m", "messages":[{}] ,"stream":true}'),
        (
            ',"stream_options":null',
            b'{"model": "m", "messages":[{}] ,"stream":true,"stream_options":{"include_usage":true}}',
        ),
        (
            ',"stream_options": {} ',
            b'{"model": "m", "messages":[{}] ,"stream":true,"stream_options": {"include_usage":true} }',
        ),
        (
            ',"stream_options":{"x": 1.0, "include_usage" : false}',
            b'{"model": "m", "messages":[{}] ,"stream":true,"stream_options":{"x": 1.0, "include_usage" : true}}',
        ),
    ],
)
def test_usage_is_asked_for_and_every_other_byte_stays(given_options: str, expected: bytes) -> None:
    request = f'{{"model": "m", "messages":[{{}}] ,"stream":true{given_options}}}'.encode()
    assert native(request) == expected


def test_stream_options_without_streaming_are_nulled() -> None:
    assert json.loads(native(body(stream_options={"include_usage": True})))["stream_options"] is None


def test_only_the_name_changes() -> None:
    request = b'{ "messages" : [{"model":"m"}], "model" : "m" }'
    assert native(request, 'up"stream') == b'{ "messages" : [{"model":"m"}], "model" : "up\\"stream" }'


# --- from another dialect ------------------------------------------------------------------------------------------------


def foreign(*messages: Message, **fields: Any) -> Any:
    request = ChatRequest("other.dialect", "m", messages, **fields)
    return json.loads(CODEC.encode_request(request, model="m").body)


def test_results_come_first_and_their_media_after_all_of_them() -> None:
    image = ImagePart(Media(data=PNG, media_type="image/png"))
    sent = foreign(
        Message(Role.USER, (TextPart("go"),)),
        Message(
            Role.ASSISTANT,
            (
                ReasoningPart("hm", signature="s"),
                TextPart("ok"),
                ToolCallPart("a", "f", ""),
                ToolCallPart("b", "g", "{}"),
            ),
        ),
        Message(
            Role.USER,
            (
                ToolResultPart("a", (TextPart("one"), image)),
                ToolResultPart("b", (TextPart("bad"),), is_error=True),
                TextPart("and now?"),
            ),
        ),
    )
    shown = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    call = {"type": "function"}
    assert sent["messages"] == [
        {"role": "user", "content": "go"},
        {
            "role": "assistant",
            "content": "ok",
            "reasoning_content": "hm",
            "tool_calls": [
                {"id": "a", **call, "function": {"name": "f", "arguments": "{}"}},
                {"id": "b", **call, "function": {"name": "g", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "one"},
        {"role": "tool", "tool_call_id": "b", "content": "Error: bad"},
        {"role": "user", "content": [shown]},
        {"role": "user", "content": "and now?"},
    ]


def test_foreign_extras_and_fields_without_a_word_here_are_not_written() -> None:
    sent = foreign(
        Message(Role.USER, (TextPart("x", {"cache_control": {}}),), extras={"y": 1}),
        extras={"container": "c"},
        sampling=Sampling(top_k=3, temperature=0.5),
        metadata={"user_id": "u"},
        max_output_tokens=9,
        tools=(Tool("f", extras={"cache_control": {}}),),
        tool_choice=ToolChoice(ToolMode.REQUIRED, ("f",)),
    )
    assert sent == {
        "model": "m",
        "messages": [{"role": "user", "content": "x"}],
        "temperature": 0.5,
        "max_completion_tokens": 9,
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
    }


@pytest.mark.parametrize(
    ("reasoning", "effort"),
    [
        (Reasoning(enabled=False), "none"),
        (Reasoning(budget_tokens=1024), "low"),
        (Reasoning(budget_tokens=8192), "medium"),
        (Reasoning(budget_tokens=30000), "high"),
        (Reasoning(effort="max", budget_tokens=5), "max"),
        (Reasoning(enabled=True), None),
    ],
)
def test_reasoning_of_another_dialect_becomes_an_effort(reasoning: Reasoning, effort: str | None) -> None:
    assert foreign(Message(Role.USER, (TextPart("x"),)), reasoning=reasoning).get("reasoning_effort") == effort


@pytest.mark.parametrize(
    "part",
    [
        OpaquePart("other.dialect", "video", {}),
        FilePart(Media(file_id="f")),
        FilePart(Media(url="https://x.test/a.pdf")),
        AudioPart(Media(url="https://x.test/a.wav")),
        ImagePart(Media(file_id="f")),
    ],
)
def test_what_cannot_be_said_is_an_error_and_never_dropped(part: Any) -> None:
    with pytest.raises(ClientError) as caught:
        foreign(Message(Role.USER, (part,)))
    assert (caught.value.code, caught.value.param) == ("unsupported_content", "messages[0].content[0]")


def test_audio_of_another_dialect_gets_a_known_format() -> None:
    sent = foreign(Message(Role.USER, (AudioPart(Media(data="AAAA", media_type="audio/mpeg")),)))
    assert sent["messages"][0]["content"][0]["input_audio"] == {"data": "AAAA", "format": "mp3"}
