"""Messages to clients: signed, sent once if they are heard, tried again for a day if not."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from relayhub.jobs.webhooks import AGAIN_S, SIGNATURE, secret_of, secrets_of
from relayhub.store.key_file import KeyFile, VaultKey
from relayhub.store.vault import Vault
from relayhub.types.job import Job
from relayhub.upstream.post import Poster
from tests.jobs.bench import Bench


class Ear:
    def __init__(self) -> None:
        self.url = ""
        self.heard: list[tuple[dict[str, str], bytes]] = []
        self.status = 200

    async def answer(self, request: web.BaseRequest) -> web.Response:
        self.heard.append(({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        return web.Response(status=self.status)


@pytest.fixture
async def ear() -> AsyncIterator[Ear]:
    ear = Ear()
    runner = web.ServerRunner(web.Server(ear.answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    ear.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield ear
    await runner.cleanup()


async def test_the_end_of_a_job_is_told_once_and_signed(bench: Bench, ear: Ear) -> None:
    job = await bench.submit(callback_url=ear.url)
    assert await bench.engine._webhooks.turn() == 0, "not before its end"
    await bench.until_over(job)
    assert await bench.engine._webhooks.turn() == 1
    assert await bench.engine._webhooks.turn() == 0
    ((headers, body),) = ear.heard
    timestamp, signature = (part.partition("=")[2] for part in headers[SIGNATURE].split(","))
    secret = secret_of(bench.books.store.vault, bench.principal.key_id)
    assert signature == hmac.new(secret.encode(), f"{timestamp}.".encode() + body, "sha256").hexdigest()
    assert body == job.id.encode()
    assert headers["x-relayhub-event"] == "job.succeeded"


async def test_a_message_that_is_not_heard_is_sent_again_later_and_given_up_in_the_end(bench: Bench, ear: Ear) -> None:
    ear.status = 500
    await bench.until_over(await bench.submit(callback_url=ear.url))
    for wait_s in AGAIN_S:
        assert await bench.engine._webhooks.turn() == 1
        bench.clock.advance(wait_s - 1)
        assert await bench.engine._webhooks.turn() == 0
        bench.clock.advance(1)
    assert await bench.engine._webhooks.turn() == 1
    bench.clock.advance(30 * 86_400)
    assert await bench.engine._webhooks.turn() == 0
    assert len(ear.heard) == len(AGAIN_S) + 1


async def test_an_address_of_the_inside_is_never_posted_to(bench: Bench, ear: Ear) -> None:
    inside = ear.url.replace("127.0.0.1", "localhost")
    await bench.until_over(await bench.submit(callback_url=inside))
    await bench.engine._webhooks.turn()
    assert ear.heard == []


async def test_secrets_differ_by_key(bench: Bench) -> None:
    vault = bench.books.store.vault
    assert secret_of(vault, "key_a") != secret_of(vault, "key_b")
    assert secret_of(vault, "key_a") == secret_of(vault, "key_a")


async def test_one_address_that_does_not_answer_keeps_no_other_message_waiting(
    bench: Bench, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf = ear.url + "/deaf"
    post, never = Poster.post, asyncio.Event()

    async def posted(self: Poster, url: str, headers: Mapping[str, str], body: bytes) -> int:
        if url == deaf:
            await never.wait()
        return await post(self, url, headers, body)

    monkeypatch.setattr(Poster, "post", posted)
    await bench.until_over(await bench.submit(callback_url=deaf))
    bench.clock.advance(1)
    job = await bench.until_over(await bench.submit(callback_url=ear.url))
    turn = asyncio.create_task(bench.engine._webhooks.turn())
    async with asyncio.timeout(20):
        while not ear.heard:
            await asyncio.sleep(0.01)
    assert [body for _, body in ear.heard] == [job.id.encode()]
    never.set()
    await turn


async def test_a_message_that_breaks_is_given_up_in_the_end_and_keeps_no_other_one(bench: Bench, ear: Ear) -> None:
    broken = await bench.until_over(await bench.submit(callback_url=ear.url))
    bench.clock.advance(1)
    fine = await bench.until_over(await bench.submit(callback_url=ear.url))
    webhooks = bench.engine._webhooks

    def body(job: Job, _results: object) -> bytes:
        if job.id == broken.id:
            raise ValueError("no words for it")
        return job.id.encode()

    webhooks = replace(webhooks, body=body)
    assert await webhooks.turn() == 2
    assert [heard for _, heard in ear.heard] == [fine.id.encode()]
    for wait_s in AGAIN_S:
        bench.clock.advance(wait_s)
        assert await webhooks.turn() == 1
    bench.clock.advance(30 * 86_400)
    assert await webhooks.turn() == 0


async def test_a_message_whose_address_cannot_be_opened_any_more_has_failed(bench: Bench, ear: Ear) -> None:
    job = await bench.submit(callback_url=ear.url)
    await bench.until_over(job)
    bench.books.store.jobs._vault = Vault(KeyFile(Path("nowhere")), [VaultKey(bytes(32), 0.0)])
    assert await bench.engine._webhooks.turn() == 0
    delivery = await bench.books.store.jobs.delivery(job.id)
    assert delivery is not None
    assert (delivery.next_at, delivery.delivered_at) == (None, None)
    assert "key has changed" in str(delivery.last_error)
    assert ear.heard == []


async def test_while_keys_are_changed_a_message_is_signed_with_all_of_them(bench: Bench, ear: Ear) -> None:
    vault = Vault(KeyFile(Path("nowhere")), [VaultKey(bytes(32), 2.0), VaultKey(b"o" * 32, 1.0)])
    hooks = replace(bench.engine._webhooks, vault=vault)
    await bench.until_over(await bench.submit(callback_url=ear.url))
    assert await hooks.turn() == 1
    ((headers, body),) = ear.heard
    timestamp, *signatures = (part.partition("=")[2] for part in headers[SIGNATURE].split(","))
    expected = [
        hmac.new(secret.encode(), f"{timestamp}.".encode() + body, "sha256").hexdigest()
        for secret in secrets_of(vault, bench.principal.key_id)
    ]
    assert signatures == expected
