"""Telling clients that their job has ended: one signed message, tried again for a day."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from relayhub.sdk.clock import Clock
from relayhub.store.jobs import Delivery, Jobs, Webhook
from relayhub.store.vault import Vault
from relayhub.types.errors import HubError, UpstreamError
from relayhub.types.job import Job, StoredArtifact
from relayhub.types.rhythm import until_next
from relayhub.upstream.post import Poster

log = structlog.get_logger("relayhub.jobs")

TURN_S = 1.0
AT_ONCE = 8
TAKEN_S = 120.0
"""One attempt takes less."""
AGAIN_S = (10.0, 60.0, 300.0, 1800.0, 7200.0, 21_600.0, 43_200.0)
MAX_ERROR = 200

SIGNATURE = "x-relayhub-signature"

Body = Callable[[Job, list[StoredArtifact]], bytes]
"""What a client is told, in the words of its own dialect."""


def secret_of(vault: Vault, key_id: str) -> str:
    """With which the messages for an API key's jobs are signed; its owner can ask for it."""
    return secrets_of(vault, key_id)[0]


def secrets_of(vault: Vault, key_id: str) -> list[str]:
    """While the vault's keys are being changed, those of the older ones too."""
    return [f"whsec_{derived.hex()}" for derived in vault.all_derived(f"webhook:{key_id}")]


def sign(secrets: Sequence[str], timestamp: int, body: bytes) -> str:
    """``t=…,v1=…``: HMAC-SHA256 over ``timestamp.body``, one ``v1`` for each secret."""
    signed = b"%d." % timestamp + body
    parts = [f"v1={hmac.new(secret.encode(), signed, 'sha256').hexdigest()}" for secret in secrets]
    return ",".join([f"t={timestamp}", *parts])


@dataclass(frozen=True, slots=True)
class Webhooks:
    jobs: Jobs
    vault: Vault
    poster: Poster
    clock: Clock
    body: Body

    async def step(self) -> None:
        """One turn, and the pause after it."""
        try:
            await self.turn()
        except HubError as error:
            log.warning("webhooks.delayed", detail=error.detail)
        await self.clock.sleep(until_next(self.clock.monotonic(), TURN_S))

    async def turn(self) -> int:
        """Send what is due, side by side; returns how many were tried."""
        now = self.clock.now()
        due = await self.jobs.due_webhooks(now, AT_ONCE, now + TAKEN_S)
        await asyncio.gather(*map(self._deliver, due))
        return len(due)

    async def _deliver(self, webhook: Webhook) -> None:
        try:
            delivery = await self._send(webhook)
        except HubError as error:
            log.warning("webhooks.delayed", job_id=webhook.job.id, detail=error.detail)
            return
        except Exception:
            # Broad on purpose: one message that cannot be sent must not keep all others.
            log.exception("webhook.broke", job_id=webhook.job.id)
            delivery = self._again(webhook.attempts + 1, None, "the server could not send it")
        try:
            await self.jobs.note_delivery(webhook.job.id, delivery)
        except HubError as error:
            log.warning("webhook.not_noted", job_id=webhook.job.id, detail=error.detail)

    async def _send(self, webhook: Webhook) -> Delivery:
        job, attempts = webhook.job, webhook.attempts + 1
        body = self.body(job, await self.jobs.results(job.id))
        timestamp = int(self.clock.now())
        headers = {
            "content-type": "application/json",
            "x-relayhub-event": f"job.{job.state.value}",
            "x-relayhub-delivery": f"{job.id}.{attempts}",
            SIGNATURE: sign(secrets_of(self.vault, job.key_id), timestamp, body),
        }
        try:
            status = await self.poster.post(webhook.url, headers, body)
        except UpstreamError as error:
            return self._again(attempts, None, error.message)
        if 200 <= status < 300:
            log.info("webhook.delivered", job_id=job.id, attempts=attempts)
            return Delivery(attempts, None, status, None, self.clock.now())
        return self._again(attempts, status, f"it was answered {status}")

    def _again(self, attempts: int, status: int | None, why: str) -> Delivery:
        more = attempts <= len(AGAIN_S)
        next_at = self.clock.now() + AGAIN_S[attempts - 1] if more else None
        log.warning("webhook.failed", attempts=attempts, status=status, gives_up=not more)
        return Delivery(attempts, next_at, status, why[:MAX_ERROR], None)
