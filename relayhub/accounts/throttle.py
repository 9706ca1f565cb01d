"""How often one may guess: passwords, codes, invites. Counted in the database, so that no restart and no second process
gives a fresh start; an attempt counts before it is made, and success gives it back."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from relayhub.store.attempts import Attempts
from relayhub.types.errors import ClientError, ErrorKind

WINDOW_S = 900.0

SIGN_INS_BY_PAIR = 10
"""For one name from one address."""
SIGN_INS_BY_NAME = 100
"""For one name from everywhere: high enough that strangers cannot keep somebody out with a few requests."""
SIGN_INS_BY_ADDRESS = 50
REDEMPTIONS_BY_ACCOUNT = 30
REDEMPTIONS_BY_ADDRESS = 120
INVITES_BY_ADDRESS = 30
REGISTRATIONS_BY_ADDRESS = 20


class Throttle:
    """Each method is for one attempt: the block makes it, and an error that leaves the block is a wrong guess."""

    def __init__(self, attempts: Attempts) -> None:
        self._attempts = attempts

    def signing_in(self, name: str, client: str | None) -> AbstractAsyncContextManager[None]:
        limits = {f"sign-in:name:{name}": SIGN_INS_BY_NAME}
        if client:
            home = _home(client)
            limits |= {f"sign-in:pair:{home}:{name}": SIGN_INS_BY_PAIR, f"sign-in:from:{home}": SIGN_INS_BY_ADDRESS}
        return self._attempt(limits)

    def redeeming(self, account_id: str, client: str | None) -> AbstractAsyncContextManager[None]:
        limits = {f"redeem:account:{account_id}": REDEMPTIONS_BY_ACCOUNT}
        return self._attempt(limits | ({f"redeem:from:{_home(client)}": REDEMPTIONS_BY_ADDRESS} if client else {}))

    def accepting(self, client: str | None) -> AbstractAsyncContextManager[None]:
        return self._attempt({f"invite:from:{_home(client or '')}": INVITES_BY_ADDRESS})

    async def registering(self, client: str | None) -> None:
        """Every registration counts, also one that succeeds."""
        await self._take({f"register:from:{_home(client or '')}": REGISTRATIONS_BY_ADDRESS})

    @asynccontextmanager
    async def _attempt(self, limits: Mapping[str, int]) -> AsyncIterator[None]:
        await self._take(limits)
        yield
        await self._attempts.give_back(list(limits))

    async def _take(self, limits: Mapping[str, int]) -> None:
        wait_s = await self._attempts.take(limits, WINDOW_S)
        if wait_s is not None:
            raise ClientError(
                ErrorKind.RATE_LIMITED,
                "Too many attempts that failed. Wait before you try again.",
                code="too_many_attempts",
                retry_after_s=wait_s,
            )


def _home(client: str) -> str:
    """Whoever has an IPv6 address has 2^64 of them."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else client
