"""HTTP to one provider's upstream through a proxy, by aiohttp's client, with a deadline on every wait."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from relayhub.types.errors import UpstreamError
from relayhub.types.http import Deadlines, HttpRequest
from relayhub.upstream import faults
from relayhub.upstream.options import NetworkOptions
from relayhub.upstream.payload import payload

IDLE_CONNECTION_S = 15.0
"""Shorter than any upstream's own idle limit, so that a reused connection is rarely one the upstream just closed."""

DRAIN_S = 0.25
"""After the answer was relayed: how long to wait for the end of its framing, to keep the connection."""

DRAIN_BYTES = 64 << 10
"""More than this after the last event is not framing; the connection is dropped instead."""


_AUTO_HEADERS = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


class HttpTransport:
    """A :class:`relayhub.sdk.Transport` for upstreams behind a proxy. One per provider: its pool, its proxy, its
    authorities."""

    def __init__(self, options: NetworkOptions, user_agent: str) -> None:
        self._options = options
        self._user_agent = user_agent
        self._session: aiohttp.ClientSession | None = None

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            context = ssl.create_default_context()
            if self._options.ca_file is not None:
                context.load_verify_locations(self._options.ca_file)
            connector = aiohttp.TCPConnector(
                limit=self._options.max_connections, keepalive_timeout=IDLE_CONNECTION_S, ssl=context
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=_AUTO_HEADERS,
                timeout=aiohttp.ClientTimeout(total=None),
            )
        return self._session

    @asynccontextmanager
    async def send(self, request: HttpRequest, deadlines: Deadlines) -> AsyncIterator[HttpUpstreamReply]:
        """See :meth:`relayhub.sdk.Transport.send`."""
        ends_at = asyncio.get_running_loop().time() + deadlines.total_s
        response = await self._head(request, deadlines)
        reply = HttpUpstreamReply(response, deadlines.idle_s, ends_at, deadlines.total_s)
        try:
            yield reply
            await reply.drain()
        finally:
            # At the end of its body the connection has already gone back to the pool and this does nothing.
            response.close()

    async def _head(self, request: HttpRequest, deadlines: Deadlines) -> aiohttp.ClientResponse:
        body = payload(request.body)
        headers = {"user-agent": self._user_agent, "accept-encoding": "identity", **request.headers, **body.headers}
        limit_s = deadlines.connect_s + min(deadlines.first_byte_s, deadlines.total_s)
        try:
            async with asyncio.timeout(limit_s):
                return await self._open_session().request(
                    request.method,
                    URL(request.url, encoded=True),
                    data=body.data,
                    headers=headers,
                    proxy=self._options.proxy,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=None, connect=deadlines.connect_s),
                )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError) as error:
            raise faults.not_reached(_shown(error)) from error
        except TimeoutError as error:
            raise faults.too_slow("answer", deadlines.first_byte_s) from error
        except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError) as error:
            raise faults.broke_off(_shown(error)) from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


class HttpUpstreamReply:
    """A :class:`relayhub.sdk.UpstreamReply` over aiohttp's response."""

    def __init__(self, response: aiohttp.ClientResponse, idle_s: float, ends_at: float, total_s: float) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}
        self._content = response.content
        self._idle_s = idle_s
        self._ends_at = ends_at
        self._total_s = total_s

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """See :meth:`relayhub.sdk.UpstreamReply.chunks`."""
        while data := await self._read():
            yield data

    async def _read(self) -> bytes:
        left_s = self._ends_at - asyncio.get_running_loop().time()
        try:
            # aiohttp's parser can wait for ever after a bad chunk size, so the timer is ours.
            async with asyncio.timeout(min(self._idle_s, left_s)):
                return await self._content.readany()
        except TimeoutError as error:
            raise self._timed_out(left_s) from error
        except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError) as error:
            raise faults.truncated(_shown(error)) from error

    def _timed_out(self, left_s: float) -> UpstreamError:
        if left_s < self._idle_s:
            return faults.too_slow("complete answer", self._total_s)
        return faults.too_slow("further data", self._idle_s)

    async def drain(self) -> None:
        """Read the rest of the framing after the answer's last event; gives up soon, and the connection with it."""
        rest = 0
        try:
            async with asyncio.timeout(DRAIN_S):
                while rest < DRAIN_BYTES and (data := await self._content.readany()):
                    rest += len(data)
        except (TimeoutError, aiohttp.ClientError, HttpProcessingError, OSError, ValueError):
            return


def _shown(error: Exception) -> str:
    """For the log. The client's own errors carry the request, credentials included."""
    if isinstance(error, aiohttp.ClientResponseError):
        return f"{type(error).__name__}: {error.message}"
    return repr(error)
