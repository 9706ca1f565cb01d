"""Posting to an address that a client has chosen: public ones only, nothing of the answer but its status."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp

from relayhub.types.errors import ErrorKind, UpstreamError
from relayhub.upstream.guard import NotPublic, pinned_session, public_addresses

POST_S = 15.0


@dataclass(frozen=True, slots=True)
class Poster:
    """``private_hosts``: names whose addresses need not be public."""

    user_agent: str
    private_hosts: Collection[str] = ()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """The status. Raises ``UpstreamError`` where there was no answer."""
        host = urlsplit(url).hostname
        try:
            async with asyncio.timeout(POST_S):
                addresses = await public_addresses(host or "", self.private_hosts)
                async with (
                    pinned_session(addresses, self.user_agent) as session,
                    session.post(url, data=body, headers=headers, allow_redirects=False) as response,
                ):
                    return response.status
        except TimeoutError:
            raise _undelivered(f"no answer within {POST_S:g} s") from None
        except NotPublic:
            raise _undelivered("its address is not a public one") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _undelivered("the connection failed", detail=repr(error)) from error


def _undelivered(why: str, detail: str | None = None) -> UpstreamError:
    return UpstreamError(
        ErrorKind.UPSTREAM_FAILED,
        f"The message was not delivered: {why}.",
        code="webhook_not_delivered",
        retryable=True,
        delivered=False,
        detail=detail,
    )
