"""The official OpenAI SDK against the running server: it never learns that there is a hub."""

from __future__ import annotations

import json
import time

import openai
import pytest

from tests.support.server import Server

HELLO = [{"role": "user", "content": "Hello!"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
TIME = {
    "type": "function",
    "function": {
        "name": "get_time",
        "parameters": {"type": "object", "properties": {"tz": {"type": "string"}}, "required": ["tz"]},
    },
}


def usage_rows(hub: Server) -> list[dict[str, object]]:
    rows = hub.cli_json("usage", "--rows")
    assert isinstance(rows, list)
    return rows


def test_chat(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="demo-chat", messages=HELLO)
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "demo-chat"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    assert answer._request_id is not None
    assert answer._request_id.startswith("req_")


def test_stream_without_usage_hides_the_usage_event(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="demo-chat", messages=HELLO, stream=True))
    assert all(chunk.choices for chunk in chunks), "many clients index choices[0] without a look"
    assert all(chunk.usage is None for chunk in chunks)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_stream_with_usage_ends_with_it(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="demo-chat", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0


def test_stream_and_whole_answer_agree(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="demo-chat", messages=HELLO)
    chunks = client.chat.completions.create(model="demo-chat", messages=HELLO, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.choices[0].message.content


@pytest.mark.parametrize("stream", [False, True])
def test_a_renamed_model_shows_its_public_name_only(client: openai.OpenAI, stream: bool) -> None:
    answer = client.chat.completions.create(model="renamed", messages=HELLO, stream=stream)
    names = {chunk.model for chunk in answer} if stream else {answer.model}
    assert names == {"renamed"}


def test_parallel_tool_calls_round_trip(client: openai.OpenAI) -> None:
    question = {"role": "user", "content": "Use get_weather for Oslo and get_time for Europe/Oslo."}
    first = client.chat.completions.create(model="demo-chat", messages=[question], tools=[WEATHER, TIME])
    assert first.choices[0].finish_reason == "tool_calls"
    calls = first.choices[0].message.tool_calls
    assert calls is not None
    assert [call.function.name for call in calls] == ["get_weather", "get_time"]
    for call in calls:
        assert isinstance(json.loads(call.function.arguments), dict)
    results = [{"role": "tool", "tool_call_id": call.id, "content": "4 C"} for call in calls]
    second = client.chat.completions.create(
        model="demo-chat", messages=[question, first.choices[0].message, *results], tools=[WEATHER, TIME]
    )
    assert second.choices[0].finish_reason == "stop"
    assert second.choices[0].message.content


def test_streamed_tool_calls(client: openai.OpenAI) -> None:
    question = {"role": "user", "content": "Use get_weather for Oslo and get_time for Europe/Oslo."}
    with client.chat.completions.stream(model="demo-chat", messages=[question], tools=[WEATHER, TIME]) as stream:
        final = stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert calls is not None
    assert [call.function.name for call in calls] == ["get_weather", "get_time"]
    assert len({call.id for call in calls}) == 2


def test_reasoning_is_passed_on(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="demo-chat",
            messages=HELLO,
            reasoning_effort="high",
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    thought = "".join(getattr(c.choices[0].delta, "reasoning_content", None) or "" for c in chunks if c.choices)
    assert thought
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.completion_tokens_details is not None
    assert (usage.completion_tokens_details.reasoning_tokens or 0) > 0


def test_embeddings_in_the_sdks_default_encoding(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="demo-embedding", input=["one", "two", "one"])
    vectors = [item.embedding for item in answer.data]
    assert [item.index for item in answer.data] == [0, 1, 2]
    assert vectors[0] == vectors[2] != vectors[1]
    assert sum(x * x for x in vectors[0]) == pytest.approx(1, abs=1e-3)


def test_embeddings_as_floats_are_the_same(client: openai.OpenAI) -> None:
    packed = client.embeddings.create(model="demo-embedding", input="one")
    floats = client.embeddings.create(model="demo-embedding", input="one", encoding_format="float")
    assert floats.data[0].embedding == pytest.approx(packed.data[0].embedding, abs=1e-6)


def test_models_are_listed_and_found(client: openai.OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert {"demo-chat", "demo-embedding", "hidden"} <= set(names)
    assert client.models.retrieve("demo-chat").owned_by == "demo"


def test_a_wrong_key_is_an_authentication_error(hub: Server) -> None:
    client = openai.OpenAI(base_url=f"{hub.url}/v1", api_key="sk_live_wrong", max_retries=0)
    with pytest.raises(openai.AuthenticationError) as caught:
        client.chat.completions.create(model="demo-chat", messages=HELLO)
    assert caught.value.code == "invalid_api_key"


def test_an_unknown_model_is_not_found_and_names_the_nearest(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="demo-chta", messages=HELLO)
    assert caught.value.code == "model_not_found"
    assert "'demo-chat'" in caught.value.message


def test_a_bad_request_of_the_upstreams_kind_keeps_its_words(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="demo-chat", messages=HELLO, temperature=9)
    assert caught.value.param == "temperature"


def test_a_rate_limit_carries_retry_after(client: openai.OpenAI) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="demo-fail-429", messages=HELLO)
    assert caught.value.response.headers["retry-after"] == "2"
    assert caught.value.response.headers["x-should-retry"] == "true"


def test_the_sdk_honours_retry_after(hub: Server, key: str) -> None:
    client = openai.OpenAI(base_url=f"{hub.url}/v1", api_key=key, max_retries=1)
    started = time.monotonic()
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model="demo-fail-429", messages=HELLO)
    assert time.monotonic() - started >= 2


def test_an_overloaded_upstream_is_a_server_error(client: openai.OpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="demo-fail-503", messages=HELLO)
    assert caught.value.status_code == 503


def test_a_stream_that_breaks_off_raises_and_never_ends_well(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(model="demo-cut-stream", messages=HELLO, stream=True)
    seen = []
    with pytest.raises(openai.APIError) as caught:
        seen.extend(stream)
    assert seen, "what came before the break is delivered"
    assert caught.value.code == "upstream_truncated"


async def test_the_async_client(hub: Server, key: str) -> None:
    async with openai.AsyncOpenAI(base_url=f"{hub.url}/v1", api_key=key) as client:
        answer = await client.chat.completions.create(model="demo-chat", messages=HELLO)
        stream = await client.chat.completions.create(model="demo-chat", messages=HELLO, stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert text == answer.choices[0].message.content


def test_an_abandoned_stream_does_not_disturb_the_next_call(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(model="demo-chat", messages=HELLO, stream=True)
    next(iter(stream))
    stream.close()
    assert client.chat.completions.create(model="demo-chat", messages=HELLO).choices[0].message.content


def test_the_usage_row_says_who_and_what(hub: Server, client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="demo-chat", messages=HELLO, user="customer-7")
    row = next(row for row in usage_rows(hub) if row["call_id"] == answer._request_id)
    assert answer.usage is not None
    assert (row["model"], row["provider"], row["outcome"], row["measured"]) == ("demo-chat", "demo", "completed", True)
    assert (row["user_identifier"], row["status"], row["account"], row["key"]) == (
        "customer-7",
        200,
        "default",
        "suite",
    )
    assert (row["input_tokens"], row["output_tokens"]) == (answer.usage.prompt_tokens, answer.usage.completion_tokens)
    assert row["cost_nano"] == answer.usage.prompt_tokens * 100 + answer.usage.completion_tokens * 400
