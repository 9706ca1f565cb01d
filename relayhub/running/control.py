"""The control socket: a unix socket that only the owner of the process can open, and the few words spoken over it.

A request is one line of JSON, ``{"verb": "reload"}``; so is its answer, an object whose ``ok`` says whether it was done.
Requests of one connection are answered in their order. The verbs of a hub are ``status``, ``reload`` and ``drain``.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeAlias

import orjson
import structlog

from relayhub.types.json import JsonObject

log = structlog.get_logger("relayhub.control")

Verb: TypeAlias = Callable[[], Awaitable[JsonObject]]
"""Does what a verb says. What it raises is answered with ``ok: false``, and logged."""

MAX_LINE = 1 << 24
"""Bytes of a request or an answer: a diff of thousands of models fits."""

LONGEST_PATH = 100
"""Bytes that every system takes for the path of a socket."""

ANSWER_S = 120.0
"""How long whoever asks waits: a reload of many workers, one after another, is the longest thing there is to ask for."""


class ControlError(Exception):
    """The other side cannot be reached, or did not answer; the text says what to do."""


async def answer_lines(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, verbs: Mapping[str, Verb]) -> None:
    """Answer the requests of one connection until it ends."""
    try:
        while line := await reader.readline():
            writer.write(orjson.dumps(await _answer(line, verbs), option=orjson.OPT_APPEND_NEWLINE))
            await writer.drain()
    except (ConnectionError, ValueError) as error:  # ValueError: a line without an end
        log.warning("control.dropped", detail=str(error))
    finally:
        writer.close()


async def _answer(line: bytes, verbs: Mapping[str, Verb]) -> JsonObject:
    try:
        asked: object = orjson.loads(line)
    except ValueError:
        return _failed("a request is one line of JSON")
    name = asked.get("verb") if isinstance(asked, dict) else None
    verb = verbs.get(name) if isinstance(name, str) else None
    if verb is None:
        return _failed(f"a request names one of the verbs {', '.join(verbs)}")
    try:
        return await verb()
    except Exception as error:
        # Broad on purpose: whoever asked must be told, and the program goes on.
        log.exception("control.failed", verb=name)
        return _failed(f"{type(error).__name__}: {error}")


def _failed(message: str) -> JsonObject:
    return {"ok": False, "error": message}


@asynccontextmanager
async def listening(path: Path, verbs: Mapping[str, Verb]) -> AsyncIterator[None]:
    """Answer at ``path`` (mode 0600) while the block runs. A file that a dead process left there is replaced. Raises
    ``ControlError`` where a living one answers, or the socket cannot be made."""
    try:
        bound = _bound(path)
    except OSError as error:
        raise ControlError(f"the control socket {path} cannot be opened: {error.strerror or error}") from error
    talking: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(answer_lines(reader, writer, verbs))
        talking.add(task)
        task.add_done_callback(talking.discard)

    made = _identity(path)
    server = await asyncio.start_unix_server(connected, sock=bound, limit=MAX_LINE)
    try:
        yield
    finally:
        server.close()
        for task in tuple(talking):
            task.cancel()
        await asyncio.gather(*talking, return_exceptions=True)
        _take_away(path, made)


def _take_away(path: Path, made: tuple[int, int] | None) -> None:
    if _identity(path) == made:  # not another process's by now
        path.unlink(missing_ok=True)


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file it is; ``None``: there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _bound(path: Path) -> socket.socket:
    """Raises ``ControlError`` or ``OSError``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = socket.socket(socket.AF_UNIX)
    try:
        with _reachable(path) as name:
            if path.is_socket():
                _clear(path, name)
            os.fchmod(made.fileno(), 0o600)  # the file has this mode from its first moment
            made.bind(name)
        path.chmod(0o600)
    except BaseException:
        made.close()
        raise
    return made


def _clear(path: Path, name: str) -> None:
    """Take away what a dead process has left."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(name)
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise ControlError(
        f"another process answers at the control socket {path}; name one of its own in `server.control` of the config"
    )


@contextmanager
def _reachable(path: Path) -> Iterator[str]:
    """A name for ``path`` that a socket may have: their length is limited, that of paths is not."""
    if len(os.fsencode(path)) <= LONGEST_PATH:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


async def ask(path: Path, verb: str, timeout_s: float = ANSWER_S) -> JsonObject:
    """Say one thing to the program that answers at ``path``; its answer. Raises ``ControlError``."""
    try:
        async with asyncio.timeout(timeout_s):
            with _reachable(path) as name:
                reader, writer = await asyncio.open_unix_connection(name, limit=MAX_LINE)
            try:
                return await ask_over(reader, writer, verb)
            finally:
                writer.close()
    except TimeoutError as error:
        raise ControlError(f"the hub did not answer at {path} within {timeout_s:g} s; its log may say why") from error
    except (ConnectionError, FileNotFoundError) as error:
        raise ControlError(f"no hub answers at {path}; is it running, with this config?") from error
    except OSError as error:
        raise ControlError(f"{path} cannot be used: {error.strerror or error}") from error


async def ask_over(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, verb: str) -> JsonObject:
    """The same over a connection that is open. Raises ``ControlError`` for what is no answer, ``OSError``."""
    writer.write(question(verb))
    await writer.drain()
    return answer_of(await reader.readline())


def question(verb: str) -> bytes:
    """A request as it goes over the wire."""
    return orjson.dumps({"verb": verb}, option=orjson.OPT_APPEND_NEWLINE)


def answer_of(line: bytes) -> JsonObject:
    """From the line that came back; empty at the connection's end. Raises ``ControlError``."""
    if not line:
        raise ControlError("the hub ended before it answered; its log may say why")
    try:
        answer: object = orjson.loads(line)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise ControlError("what answers there is no hub")
    return answer
