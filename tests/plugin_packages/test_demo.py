from __future__ import annotations

import base64
import json
import struct
from contextlib import aclosing

import pytest

import relayhub_demo
from relayhub.sdk import (
    Deadlines,
    Dialect,
    ErrorKind,
    Framing,
    HttpReply,
    HttpRequest,
    NativeCall,
    Operation,
    ProviderContext,
    UpstreamError,
)
from relayhub.testing import FakeClock, ModelListSuite, NativeSuite, RegistrationSuite, TransportSuite
from relayhub_demo.models import DEMO_MODELS
from relayhub_demo.provider import BASE_URL, DemoProvider
from relayhub_demo.settings import DemoSettings
from relayhub_demo.transport import respond


class TestDemo(RegistrationSuite, NativeSuite, TransportSuite, ModelListSuite):
    provider_type = relayhub_demo.DEMO
    package = relayhub_demo
    chat_model = "demo-chat"
    served = {Dialect.OPENAI_CHAT: (Operation.CHAT,), Dialect.OPENAI_EMBEDDINGS: (Operation.EMBEDDINGS,)}
    list_bodies = (respond(HttpRequest("GET", f"{BASE_URL}/models")).pieces[0],)
    listed = tuple(DEMO_MODELS)


PATIENT = Deadlines()


async def ask(clock: FakeClock | None = None, deadlines: Deadlines = PATIENT, /, **body: object) -> HttpReply:
    provider = DemoProvider(DemoSettings(), ProviderContext("demo", clock or FakeClock(), "relayhub/test"))
    operation = Operation.EMBEDDINGS if "input" in body else Operation.CHAT
    framing = Framing.SSE if body.get("stream") else None
    request = provider.request(NativeCall(operation, str(body["model"]), json.dumps(body).encode(), framing))
    async with provider.transport().send(request, deadlines) as reply, aclosing(reply.chunks()) as chunks:
        return HttpReply(reply.status, reply.headers, b"".join([piece async for piece in chunks]))


def hello(text: str = "Hello!", model: str = "demo-chat", **fields: object) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **fields}


def choice(reply: HttpReply) -> dict[str, object]:
    assert reply.status == 200, reply.body
    found = json.loads(reply.body)["choices"][0]
    assert isinstance(found, dict)
    return found


async def content(text: str, **fields: object) -> str:
    message = choice(await ask(**hello(text, **fields)))["message"]
    assert isinstance(message, dict)
    return str(message["content"])


async def test_it_answers_in_the_language_of_the_question() -> None:
    assert (await content("Good morning")).startswith("Hello!")
    assert (await content("早上好")).startswith("你好")


async def test_an_output_limit_is_honoured_and_admitted() -> None:
    reply = await ask(**hello("Tell me a long story, please", max_tokens=3))
    assert choice(reply)["finish_reason"] == "length"
    assert json.loads(reply.body)["usage"]["completion_tokens"] <= 3


@pytest.mark.parametrize("fields", [{}, {"reasoning_effort": "high"}, {"tools": "weather"}])
@pytest.mark.parametrize("cap", [1, 2, 5, 13])
async def test_no_answer_costs_more_than_its_limit(fields: dict[str, object], cap: int) -> None:
    wanted = {"tools": [tool("weather")]} if "tools" in fields else fields
    reply = await ask(**hello("weather, please", max_completion_tokens=cap, **wanted))
    assert json.loads(reply.body)["usage"]["completion_tokens"] <= cap
    assert choice(reply)["finish_reason"] == "length"


async def test_a_limit_with_room_enough_changes_nothing() -> None:
    free, capped = await ask(**hello()), await ask(**hello(max_tokens=1000))
    assert choice(free) == choice(capped)


async def test_a_long_question_is_answered_in_linear_time() -> None:
    reply = await ask(**hello("word " * 200_000, max_tokens=300_000))
    assert choice(reply)["finish_reason"] == "stop"


async def test_thinking_is_shown_and_counted() -> None:
    reply = await ask(**hello(reasoning_effort="low"))
    message = choice(reply)["message"]
    assert isinstance(message, dict)
    assert message["reasoning_content"]
    assert json.loads(reply.body)["usage"]["completion_tokens_details"]["reasoning_tokens"] > 0
    assert "reasoning_content" not in str(choice(await ask(**hello(reasoning_effort="none"))))


async def test_a_stop_sequence_ends_the_text_before_it() -> None:
    assert await content("Hi", stop=["demo"]) == "Hello! This is the "


async def test_several_choices_are_several() -> None:
    assert len(json.loads((await ask(**hello(n=3))).body)["choices"]) == 3


async def test_a_json_answer_is_json() -> None:
    assert json.loads(await content("Hi", response_format={"type": "json_object"}))["answer"]


async def test_an_answer_in_a_shape_has_the_shape() -> None:
    schema = {
        "$defs": {"Step": {"type": "object", "properties": {"n": {"type": "integer", "minimum": 3}}}},
        "type": "object",
        "properties": {
            "answer": {"type": "string"},
            "steps": {"type": "array", "items": {"$ref": "#/$defs/Step"}, "minItems": 2},
            "mood": {"anyOf": [{"enum": ["calm", "merry"]}, {"type": "null"}]},
            "on": {"type": "string", "format": "date"},
        },
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "plan", "schema": schema, "strict": True}}
    value = json.loads(await content("Hi", response_format=wanted))
    assert value.pop("answer").startswith("Hello!")
    assert value == {"steps": [{"n": 3}, {"n": 3}], "mood": "calm", "on": "2026-01-31"}


async def test_a_schema_that_refers_to_itself_ends() -> None:
    schema = {"type": "object", "properties": {"inner": {"$ref": "#"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "endless", "schema": schema}}
    assert isinstance(json.loads(await content("Hi", response_format=wanted)), dict)


def tool(name: str, *properties: str) -> dict[str, object]:
    schema = {"type": "object", "properties": {p: {"type": "string"} for p in properties}, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


async def called(text: str, **fields: object) -> list[tuple[str, object]]:
    message = choice(await ask(**hello(text, **fields)))["message"]
    assert isinstance(message, dict)
    calls = [call["function"] for call in message.get("tool_calls", [])]
    return [(call["name"], json.loads(call["arguments"])) for call in calls]


TOOLS = [tool("get_weather", "city"), tool("get_current_time"), tool("readFile", "path")]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("What is the weather in Paris?", ["get_weather"]),
        ("奥斯陆的天气怎么样？", ["get_weather"]),
        ("The time and the weather, please.", ["get_weather", "get_current_time"]),
        ("Use readFile on it.", ["readFile"]),
        ("Whatever the whether, get on with it at once.", []),
        ("Hello!", []),
    ],
)
async def test_tools_that_are_spoken_of_are_called(text: str, names: list[str]) -> None:
    assert [name for name, _ in await called(text, tools=TOOLS)] == names


async def test_the_place_in_the_question_is_the_argument() -> None:
    assert await called("The weather in Paris, please", tools=TOOLS) == [("get_weather", {"city": "Paris"})]


async def test_the_choice_of_tools_is_honoured() -> None:
    both = "The time and the weather, please."
    assert await called(both, tools=TOOLS, tool_choice="none") == []
    assert len(await called(both, tools=TOOLS, parallel_tool_calls=False)) == 1
    assert [name for name, _ in await called("Hi", tools=TOOLS, tool_choice="required")] == ["get_weather"]
    named = {"type": "function", "function": {"name": "readFile"}}
    assert await called(both, tools=TOOLS, tool_choice=named) == [("readFile", {"path": "demo"})]


async def test_tool_results_are_answered_with_words() -> None:
    asked: dict[str, object] = hello("The weather in Paris?", tools=TOOLS)
    turn = choice(await ask(**asked))["message"]
    assert isinstance(turn, dict)
    result = {"role": "tool", "tool_call_id": turn["tool_calls"][0]["id"], "content": "4 C"}
    question = asked["messages"]
    assert isinstance(question, list)
    reply = await ask(**{**asked, "messages": [*question, turn, result]})
    assert "4 C" in str(choice(reply)["message"])
    assert choice(reply)["finish_reason"] == "stop"


async def test_each_mentioned_tool_is_called_with_valid_arguments() -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "unit": {"enum": ["C", "F"]}},
        "required": ["city", "days", "unit"],
    }
    tools = [
        {"type": "function", "function": {"name": name, "parameters": schema}}
        for name in ("weather", "forecast", "sell")
    ]
    message = choice(await ask(**hello("weather and forecast, please", tools=tools)))["message"]
    assert isinstance(message, dict)
    names = [call["function"]["name"] for call in message["tool_calls"]]
    assert names == ["weather", "forecast"]
    assert json.loads(message["tool_calls"][0]["function"]["arguments"]) == {"city": "Oslo", "days": 1, "unit": "C"}


CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temperature": 3}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"n": 0}, "n"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"reasoning_effort": "extreme"}, "reasoning_effort"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": 7}, "messages"),
        ({"messages": ["x"]}, "messages[0]"),
        ({"messages": [{"role": "alien", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "x"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]},
            "messages[0].content[0].image_url.url",
        ),
        ({"messages": [{"role": "assistant", "content": None}]}, "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "tool", "tool_call_id": "a", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "assistant", "tool_calls": [CALL]}]}, "messages[0]"),
        ({"messages": [{"role": "assistant", "tool_calls": [{**CALL, "id": 1}]}]}, "messages[0].tool_calls[0].id"),
        ({"max_tokens": 1, "max_completion_tokens": 1}, "max_tokens"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"tools": []}, "tools"),
        ({"tools": [7]}, "tools[0]"),
        ({"tools": [{"type": "function"}]}, "tools[0].function.name"),
        ({"tools": [tool("not a name")]}, "tools[0].function.name"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"tools": [tool("a")], "tool_choice": "maybe"}, "tool_choice"),
        ({"tools": [tool("a")], "tool_choice": {"type": "function", "function": {"name": "b"}}}, "tool_choice"),
        ({"response_format": {"type": "x"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"model": None}, "model"),
    ],
)
async def test_a_wrong_request_is_refused_as_openai_would(fields: dict[str, object], param: str) -> None:
    reply = await ask(**{**hello(), **fields})
    assert (reply.status, json.loads(reply.body)["error"]["param"]) == (400, param)


async def test_an_unknown_model_is_a_404() -> None:
    reply = await ask(**hello(model="gpt-99"))
    assert (reply.status, json.loads(reply.body)["error"]["code"]) == (404, "model_not_found")


async def test_failing_models_fail_as_named() -> None:
    limited, overloaded = await ask(**hello(model="demo-fail-429")), await ask(**hello(model="demo-fail-503"))
    assert (limited.status, limited.headers["retry-after"], overloaded.status) == (429, "2", 503)


@pytest.mark.parametrize("stream", [True, False])
async def test_the_cut_model_breaks_off_in_the_middle(stream: bool) -> None:
    with pytest.raises(UpstreamError):
        await ask(**hello(model="demo-cut-stream", stream=stream))


async def test_the_slow_model_takes_its_time_by_the_clock() -> None:
    clock = FakeClock()
    reply = await ask(clock, **hello(model="demo-slow", stream=True))
    assert clock.slept == [3.0] + [0.3] * (reply.body.count(b"\n\n") - 1)


@pytest.mark.parametrize(
    ("deadlines", "slept"),
    [(Deadlines(first_byte_s=1), [1]), (Deadlines(idle_s=0.1), [3, 0.1]), (Deadlines(total_s=2), [2])],
)
async def test_the_slow_model_meets_the_deadlines_that_a_network_would(
    deadlines: Deadlines, slept: list[float]
) -> None:
    clock = FakeClock()
    with pytest.raises(UpstreamError) as caught:
        await ask(clock, deadlines, **hello(model="demo-slow", stream=True))
    assert (caught.value.kind, caught.value.delivered) == (ErrorKind.UPSTREAM_TIMEOUT, True)
    assert clock.slept == pytest.approx(slept)


async def test_vectors_are_the_same_every_time_and_of_the_wanted_size() -> None:
    first, again = [await ask(model="demo-embedding", input=["a", "b"], dimensions=8) for _ in range(2)]
    data = json.loads(first.body)["data"]
    assert first.body == again.body
    assert [len(item["embedding"]) for item in data] == [8, 8]


async def test_vectors_have_length_one_in_both_encodings() -> None:
    written = await ask(model="demo-embedding", input="a", encoding_format="float")
    packed = await ask(model="demo-embedding", input="a", encoding_format="base64")
    numbers = json.loads(written.body)["data"][0]["embedding"]
    raw = base64.b64decode(json.loads(packed.body)["data"][0]["embedding"])
    assert list(struct.unpack(f"<{len(raw) // 4}f", raw)) == numbers
    assert sum(number * number for number in numbers) == pytest.approx(1)


@pytest.mark.parametrize("wrong", ["", [], [""], [{}], 7, None, ["a"] * 2049])
async def test_an_embedding_of_nothing_is_refused(wrong: object) -> None:
    assert (await ask(model="demo-embedding", input=wrong)).status == 400


def test_every_model_costs_something() -> None:
    for name, model in DEMO_MODELS.items():
        price = model["price"]
        assert isinstance(price, dict)
        amounts = [
            tier for value in price.values() for tier in (value.values() if isinstance(value, dict) else [value])
        ]
        assert any(float(str(amount)) > 0 for amount in amounts), name
