from __future__ import annotations

import json
from contextlib import aclosing

import pytest

import relayhub_demo
from relayhub.sdk import Deadlines, Dialect, HttpReply, Operation, ProviderContext, UpstreamError
from relayhub.testing import FakeClock, NativeSuite, RegistrationSuite, TransportSuite
from relayhub_demo.models import DEMO_MODELS
from relayhub_demo.provider import DemoProvider, DemoSettings


class TestDemo(RegistrationSuite, NativeSuite, TransportSuite):
    provider_type = relayhub_demo.DEMO
    package = relayhub_demo
    chat_model = "demo-chat"
    served = {Operation.CHAT: Dialect.OPENAI_CHAT, Operation.EMBEDDINGS: Dialect.OPENAI_EMBEDDINGS}


async def ask(clock: FakeClock | None = None, /, **body: object) -> HttpReply:
    provider = DemoProvider(DemoSettings(), ProviderContext("demo", clock or FakeClock(), "relayhub/test"))
    operation = Operation.EMBEDDINGS if "input" in body else Operation.CHAT
    request = provider.request(operation, json.dumps(body).encode(), stream=bool(body.get("stream")))
    async with provider.transport().send(request, Deadlines()) as reply, aclosing(reply.chunks()) as chunks:
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


async def test_a_stop_sequence_ends_the_text_before_it() -> None:
    assert await content("Hi", stop=["demo"]) == "Hello! This is the "


async def test_several_choices_are_several() -> None:
    assert len(json.loads((await ask(**hello(n=3))).body)["choices"]) == 3


async def test_a_json_answer_is_json() -> None:
    assert json.loads(await content("Hi", response_format={"type": "json_object"}))["answer"]


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


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temperature": 3}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"n": 0}, "n"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"reasoning_effort": "extreme"}, "reasoning_effort"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "alien", "content": "x"}]}, "messages[0].role"),
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


async def test_vectors_are_the_same_every_time_and_of_the_wanted_size() -> None:
    first, again = [await ask(model="demo-embedding", input=["a", "b"], dimensions=8) for _ in range(2)]
    data = json.loads(first.body)["data"]
    assert first.body == again.body
    assert [len(item["embedding"]) for item in data] == [8, 8]


@pytest.mark.parametrize("wrong", ["", [], [""], [{}], 7, None])
async def test_an_embedding_of_nothing_is_refused(wrong: object) -> None:
    assert (await ask(model="demo-embedding", input=wrong)).status == 400


def test_every_model_costs_something() -> None:
    for name, model in DEMO_MODELS.items():
        price = model["price"]
        assert isinstance(price, dict)
        assert any(float(str(amount)) > 0 for amount in price.values()), name
