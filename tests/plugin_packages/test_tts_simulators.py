"""The stand-ins for DashScope and MiniMax reject what these reject, over real HTTP, and bill what these bill."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest

from relayhub.testing import Cut, FakeClock, Fault, Hang, JobStep
from relayhub_tts.simulated_minimax import MiniMaxSimulator
from relayhub_tts.simulated_qwen import QwenSimulator
from relayhub_tts.simulator import SpeechSimulator, sound

KEY = "tts-key"
TEXT = "你好 all"
BILLED = 8
QWEN: dict[str, Any] = {"model": "qwen3-tts-flash", "input": {"text": TEXT, "voice": "Cherry"}}
MINIMAX: dict[str, Any] = {
    "model": "speech-2.8-turbo",
    "text": TEXT,
    "voice_setting": {"voice_id": "male-qn-qingse"},
    "audio_setting": {"format": "mp3"},
}


class Service:
    """A simulator, and a client of it."""

    def __init__(self, session: aiohttp.ClientSession, simulator: SpeechSimulator, path: str, clock: FakeClock) -> None:
        self.session = session
        self.simulator = simulator
        self.clock = clock
        self._url = simulator.url + path

    async def ask(self, body: object, key: str = KEY, **headers: str) -> tuple[int, bytes]:
        sent = {"authorization": f"Bearer {key}", **headers}
        async with self.session.post(self._url, json=body, headers=sent) as reply:
            return reply.status, await reply.read()

    async def told(self, body: object, **headers: str) -> tuple[int, Any]:
        status, answer = await self.ask(body, **headers)
        return status, orjson.loads(answer)


@pytest.fixture
async def qwen() -> AsyncIterator[Service]:
    clock = FakeClock()
    simulator = QwenSimulator(clock=clock)
    async with simulator.serving(), aiohttp.ClientSession() as session:
        yield Service(session, simulator, "/api/v1/services/aigc/multimodal-generation/generation", clock)


@pytest.fixture
async def minimax() -> AsyncIterator[Service]:
    clock = FakeClock()
    simulator = MiniMaxSimulator(clock=clock)
    async with simulator.serving(), aiohttp.ClientSession() as session:
        yield Service(session, simulator, "/v1/t2a_v2", clock)


def changed(body: dict[str, Any], name: str, **inside: Any) -> dict[str, Any]:
    return {**body, name: {**body[name], **inside}}


# --- qwen -------------------------------------------------------------------------------------------------------------

REFUSED_BY_QWEN: dict[str, dict[str, Any]] = {
    "a field that does not exist": {**QWEN, "speed": 2},
    "no input": {"model": "qwen3-tts-flash"},
    "no text": changed(QWEN, "input", text=" "),
    "a long text": changed(QWEN, "input", text="a" * 601),
    "a voice in small letters": changed(QWEN, "input", voice="cherry"),
    "a language that is none": changed(QWEN, "input", language_type="zh"),
    "a speed": changed(QWEN, "input", speed=2),
    "a format": changed(QWEN, "input", format="mp3"),
    "instructions to a model without": changed(QWEN, "input", instructions="Whisper"),
}


@pytest.mark.parametrize("fault", REFUSED_BY_QWEN)
async def test_what_dashscope_refuses_is_refused(qwen: Service, fault: str) -> None:
    status, answer = await qwen.told(REFUSED_BY_QWEN[fault])
    assert (status, answer["code"]) == (400, "InvalidParameter")
    assert qwen.simulator.counters.executions == qwen.simulator.characters == 0


async def test_keys_models_and_manners_of_dashscope(qwen: Service) -> None:
    assert (await qwen.ask(QWEN, key="another"))[0] == 401
    assert (await qwen.ask({**QWEN, "model": "tts-1"}))[0] == 404
    assert (await qwen.ask(QWEN, **{"x-dashscope-async": "enable"}))[0] == 403


async def test_a_clip_behind_a_link_that_expires(qwen: Service) -> None:
    status, answer = await qwen.told(QWEN)
    assert (status, answer["usage"]["characters"]) == (200, BILLED)
    clip = answer["output"]["audio"]
    assert clip["data"] == ""
    async with qwen.session.get(clip["url"]) as reply:
        assert await reply.read() == sound(TEXT, "wav")
    qwen.clock.advance(86_400)
    async with qwen.session.get(clip["url"]) as reply:
        assert reply.status == 403


async def test_a_stream_of_samples(qwen: Service) -> None:
    _, body = await qwen.ask(QWEN, **{"x-dashscope-sse": "enable"})
    told = [orjson.loads(line[5:]) for line in body.splitlines() if line.startswith(b"data:")]
    audio = b"".join(base64.b64decode(event["output"]["audio"]["data"]) for event in told)
    assert audio == sound(TEXT, "pcm")
    assert [event["output"]["finish_reason"] for event in told] == ["null", "null", "null", "stop"]
    assert qwen.simulator.characters == BILLED


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_faults_of_dashscope_are_injected(qwen: Service, status: int) -> None:
    qwen.simulator.inject(Fault(status, step=JobStep.PAY))
    assert (await qwen.ask(QWEN))[0] == status
    assert (await qwen.ask(QWEN))[0] == 200
    assert qwen.simulator.counters.executions == 1


# --- minimax ----------------------------------------------------------------------------------------------------------

REFUSED_BY_MINIMAX: dict[str, tuple[dict[str, Any], int]] = {
    "a model with the hub's prefix": ({**MINIMAX, "model": "MiniMax/speech-2.8-turbo"}, 2013),
    "a field that does not exist": ({**MINIMAX, "input": "x"}, 2013),
    "no text": ({**MINIMAX, "text": ""}, 2013),
    "a long text": ({**MINIMAX, "text": "a" * 10_000}, 2013),
    "invisible text": ({**MINIMAX, "text": "a\u200b"}, 1042),
    "a flag as text": ({**MINIMAX, "stream": "true"}, 2013),
    "a link from a stream": ({**MINIMAX, "stream": True, "output_format": "url"}, 2013),
    "wav in a stream": ({**MINIMAX, "stream": True, "audio_setting": {"format": "wav"}}, 2013),
    "aac": (changed(MINIMAX, "audio_setting", format="aac"), 2013),
    "a rate that is none": (changed(MINIMAX, "audio_setting", sample_rate=48000), 2013),
    "a voice that is none": (changed(MINIMAX, "voice_setting", voice_id="alloy"), 20132),
    "too slow": (changed(MINIMAX, "voice_setting", speed=0.25), 2013),
    "silent": (changed(MINIMAX, "voice_setting", vol=0), 2013),
    "a pitch between two": (changed(MINIMAX, "voice_setting", pitch=0.5), 2013),
    "whispering": (changed(MINIMAX, "voice_setting", emotion="whisper"), 2013),
}


@pytest.mark.parametrize("fault", REFUSED_BY_MINIMAX)
async def test_what_minimax_refuses_is_refused_with_a_200(minimax: Service, fault: str) -> None:
    body, code = REFUSED_BY_MINIMAX[fault]
    status, answer = await minimax.told(body)
    assert (status, answer["base_resp"]["status_code"]) == (200, code)
    assert "data" not in answer
    assert minimax.simulator.counters.executions == minimax.simulator.characters == 0


async def test_a_wrong_key_is_a_200_too(minimax: Service) -> None:
    status, body = await minimax.ask(MINIMAX, key="another")
    assert (status, orjson.loads(body)["base_resp"]["status_code"]) == (200, 1004)


async def test_whole_clips_in_the_answer_or_behind_a_link(minimax: Service) -> None:
    _, answer = await minimax.told(MINIMAX)
    assert bytes.fromhex(answer["data"]["audio"]) == sound(TEXT, "mp3")
    assert answer["extra_info"]["usage_characters"] == minimax.simulator.characters == BILLED
    _, linked = await minimax.told({**MINIMAX, "output_format": "url"})
    async with minimax.session.get(linked["data"]["audio"]) as reply:
        assert await reply.read() == sound(TEXT, "mp3")


@pytest.mark.parametrize("excluded", [True, False])
async def test_the_last_event_repeats_the_clip_unless_it_is_asked_not_to(minimax: Service, excluded: bool) -> None:
    options = {"exclude_aggregated_audio": excluded}
    _, body = await minimax.ask({**MINIMAX, "stream": True, "stream_options": options})
    told = [orjson.loads(line[6:]) for line in body.splitlines() if line]
    parts = "".join(event["data"]["audio"] for event in told if event["data"]["status"] == 1)
    assert parts == sound(TEXT, "mp3").hex()
    assert told[-1]["data"]["audio"] == ("" if excluded else parts)


async def test_a_stream_that_is_cut_was_billed(minimax: Service) -> None:
    minimax.simulator.break_off(Cut())
    with pytest.raises(aiohttp.ClientPayloadError):
        await minimax.ask({**MINIMAX, "stream": True})
    assert (minimax.simulator.counters.executions, minimax.simulator.characters) == (1, BILLED)


async def test_an_answer_that_never_comes_ends_when_the_other_side_leaves(minimax: Service) -> None:
    minimax.simulator.inject(Fault(Hang(), step=JobStep.PAY, executed=True))
    minimax.session._timeout = aiohttp.ClientTimeout(total=0.2)
    with pytest.raises(TimeoutError):
        await minimax.ask(MINIMAX)
    await minimax.simulator.until(lambda counters: counters.aborts == 1)
    assert minimax.simulator.counters.executions == 1
