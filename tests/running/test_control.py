"""The control socket: who may speak, what is answered, and that nothing which is said there ends the hub."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from relayhub.running.control import ControlError, ask, listening
from relayhub.types.json import JsonObject


async def hello() -> JsonObject:
    return {"ok": True, "said": "hello"}


async def fail() -> JsonObject:
    raise RuntimeError("a bug")


VERBS = {"hello": hello, "fail": fail}


async def say(path: Path, *lines: bytes) -> list[bytes]:
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(b"".join(lines))
    writer.write_eof()
    answers = (await reader.read()).splitlines()
    writer.close()
    return answers


async def test_a_verb_is_done_and_answered(tmp_path: Path) -> None:
    async with listening(tmp_path / "hub.control", VERBS):
        assert await ask(tmp_path / "hub.control", "hello") == {"ok": True, "said": "hello"}


async def test_only_its_owner_may_open_it(tmp_path: Path) -> None:
    async with listening(tmp_path / "made" / "hub.control", VERBS):
        assert (tmp_path / "made" / "hub.control").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"hello\n", "a request is one line of JSON"),
        (b"[]\n", "names one of the verbs hello, fail"),
        (b'{"verb": "sing"}\n', "names one of the verbs hello, fail"),
        (b'{"verb": ["hello"]}\n', "names one of the verbs hello, fail"),
        (b'{"verb": "fail"}\n', "RuntimeError: a bug"),
    ],
)
async def test_what_cannot_be_done_is_answered_and_the_next_request_is_heard(
    tmp_path: Path, line: bytes, error: str
) -> None:
    async with listening(tmp_path / "c", VERBS):
        refused, done = await say(tmp_path / "c", line, b'{"verb": "hello"}\n')
        assert error.encode() in refused
        assert refused.startswith(b'{"ok":false')
        assert done == b'{"ok":true,"said":"hello"}'


async def test_a_client_that_leaves_in_mid_request_disturbs_nobody(tmp_path: Path) -> None:
    async with listening(tmp_path / "c", VERBS):
        _, writer = await asyncio.open_unix_connection(str(tmp_path / "c"))
        writer.write(b'{"verb": ')
        await writer.drain()
        writer.close()
        assert (await ask(tmp_path / "c", "hello"))["ok"]


async def test_a_path_that_is_too_long_for_a_socket_works_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / ("long" * 20) / ("longer" * 20) / "hub.control"
    async with listening(path, VERBS):
        assert path.is_socket()
        assert (await ask(path, "hello"))["ok"]
    assert not path.exists()


async def test_a_socket_that_nobody_listens_at_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "c"))
    async with listening(tmp_path / "c", VERBS):
        assert (await ask(tmp_path / "c", "hello"))["ok"]


async def test_a_living_one_is_not(tmp_path: Path) -> None:
    async with listening(tmp_path / "c", VERBS):
        with pytest.raises(ControlError, match=r"another process answers .* `server\.control`"):
            async with listening(tmp_path / "c", VERBS):
                pass
        assert (await ask(tmp_path / "c", "hello"))["ok"]


async def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("precious")
    with pytest.raises(ControlError, match="cannot be opened"):
        async with listening(tmp_path / "c", VERBS):
            pass
    assert (tmp_path / "c").read_text() == "precious"


async def test_another_ones_socket_is_not_taken_away_at_the_end(tmp_path: Path) -> None:
    async with listening(tmp_path / "c", VERBS):
        (tmp_path / "c").unlink()
        (tmp_path / "c").write_text("somebody else's")
    assert (tmp_path / "c").exists()


async def test_nobody_there_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="no hub answers at"):
        await ask(tmp_path / "c", "hello")


async def test_one_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    async def wait() -> JsonObject:
        await asyncio.Event().wait()
        return {}

    async with listening(tmp_path / "c", {"wait": wait}):
        with pytest.raises(ControlError, match=r"did not answer .* within 0\.05 s"):
            await ask(tmp_path / "c", "wait", timeout_s=0.05)


async def test_an_end_in_mid_question_is_said(tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def wait() -> JsonObject:
        asked.set()
        await asyncio.Event().wait()
        return {}

    async with listening(tmp_path / "c", {"wait": wait}):
        asking = asyncio.create_task(ask(tmp_path / "c", "wait"))
        await asked.wait()
    with pytest.raises(ControlError, match="ended before it answered"):
        await asking
