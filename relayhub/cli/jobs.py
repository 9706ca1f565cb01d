"""``relayhub jobs``."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path

import click

from relayhub.build.catalog import build_catalog
from relayhub.build.generation import build_fetcher
from relayhub.build.providers import USER_AGENT, build_providers
from relayhub.build.routing import routing_terms
from relayhub.cli.actor import cli_actor
from relayhub.cli.moments import shown_time, timestamp
from relayhub.cli.support import (
    Setup,
    config_option,
    json_option,
    open_store,
    print_json,
    print_table,
    run,
    set_up,
)
from relayhub.dialects.media_api.views import canonical_id
from relayhub.jobs.build import build_care, build_engine
from relayhub.jobs.desk import JobDesk
from relayhub.jobs.engine import JobEngine
from relayhub.jobs.watch import Watch
from relayhub.jobs.webhooks import secret_of
from relayhub.routing.credentials import Providers
from relayhub.routing.router import Router
from relayhub.sdk.clock import Clock, SystemClock
from relayhub.store.jobs import JobFilter
from relayhub.store.store import Store
from relayhub.types.errors import ClientError, ErrorKind
from relayhub.types.job import Job
from relayhub.types.media import JobState, MediaKind

MAX_LISTED = 1000


@click.group()
def jobs() -> None:
    """Videos, and images that take their time."""


@jobs.command("list")
@click.option("--open", "only_open", is_flag=True, help="Only those that have not ended.")
@click.option("--state", type=click.Choice([state.value for state in JobState]), help="Only those in this state.")
@click.option("--kind", type=click.Choice([kind.value for kind in MediaKind]), help="Only these.")
@click.option("--provider", help="Only those of this provider.")
@click.option("--model", help="Only those of this model.")
@click.option("--account", help="Only those of this account (name or id).")
@click.option("--key", help="Only those of this key (name or id).")
@click.option("--user", help="Only those of this user identifier.")
@click.option("--since", type=click.DateTime(), help="Submitted from this time on (UTC).")
@click.option("--until", type=click.DateTime(), help="Submitted before this time (UTC).")
@click.option("--after", help="Those after the last page, by the job that it ended with.")
@click.option(
    "--limit", type=click.IntRange(1, MAX_LISTED), default=50, show_default=True, help="How many, newest first."
)
@config_option
@json_option
def list_jobs(
    only_open: bool,
    state: str | None,
    kind: str | None,
    provider: str | None,
    model: str | None,
    account: str | None,
    key: str | None,
    user: str | None,
    since: datetime | None,
    until: datetime | None,
    after: str | None,
    limit: int,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """List jobs, the newest first."""
    setup = set_up(config_path)
    wanted = JobFilter(
        only_open=only_open,
        state=JobState(state) if state else None,
        kind=MediaKind(kind) if kind else None,
        provider=provider,
        model=model,
        user=user,
        since=timestamp(since),
        until=timestamp(until),
    )
    listed = run(_list(setup, wanted, account, key, after, limit))
    if as_json:
        print_json([_shown(job) for job in listed])
        return
    rows = [
        (job.id, job.model, job.provider, job.state.value, f"{job.progress}%", shown_time(job.created_at))
        for job in listed
    ]
    print_table(("Job", "Model", "Provider", "State", "Progress", "Created"), rows, empty="No jobs.")


async def _list(
    setup: Setup, wanted: JobFilter, account: str | None, key: str | None, after: str | None, limit: int
) -> list[Job]:
    async with open_store(setup) as store:
        account_id = None if account is None else (await store.accounts.get(account)).id
        key_id = None if key is None else (await store.keys.named(key)).id
        following = None if after is None else await _known(store, after)
        return await store.jobs.some(replace(wanted, account_id=account_id, key_id=key_id), limit, following)


async def _known(store: Store, job_id: str) -> Job:
    """By whatever name a client knows it. Raises ``ClientError`` NOT_FOUND."""
    job = await store.jobs.get(canonical_id(job_id))
    if job is None:
        message = f"There is no job {job_id}; `relayhub jobs list` shows the newest."
        raise ClientError(ErrorKind.NOT_FOUND, message, code="job_not_found")
    return job


@jobs.command()
@click.argument("job_id")
@config_option
@json_option
def show(job_id: str, config_path: Path | None, as_json: bool) -> None:
    """Show the job JOB_ID, by whatever name a client knows it."""
    setup = set_up(config_path)

    async def found() -> dict[str, object]:
        async with open_store(setup) as store:
            return await _seen(store, await _known(store, job_id))

    _print(run(found()), as_json=as_json)


def _print(shown: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        print_json(shown)
    else:
        print_table(("Field", "Value"), [(name, value) for name, value in shown.items() if value is not None], empty="")


async def _seen(store: Store, job: Job) -> dict[str, object]:
    results, delivery = await store.jobs.results(job.id), await store.jobs.delivery(job.id)
    files = [{"id": one.id, "type": one.media_type, "bytes": one.size, "kept": one.file is not None} for one in results]
    booked = await store.ledger_report.of_hold(job.hold_id)
    return {
        **_shown(job),
        "results": files,
        "webhook": None if delivery is None else asdict(delivery),
        "ledger": [{"kind": row.kind.value, "at": row.at, "amount_nano": row.amount_nano} for row in booked],
    }


def _does(what: str, doc: str) -> None:
    """A command that has something done with one job."""

    @jobs.command(what, help=doc)
    @click.argument("job_id")
    @config_option
    @json_option
    def command(job_id: str, config_path: Path | None, as_json: bool) -> None:
        _print(run(_do(set_up(config_path), what, job_id)), as_json=as_json)


_does("cancel", "Have its upstream cancel the job JOB_ID. What it has cost by then is given back.")
_does("look", "Have the upstream of the job JOB_ID asked at once, by the running server, instead of when it is due.")
_does("notify", "Have the running server send the message about the finished job JOB_ID to its callback_url once more.")


async def _do(setup: Setup, what: str, job_id: str) -> dict[str, object]:
    clock = SystemClock()
    providers = build_providers(setup.config, setup.plugins, clock)
    try:
        async with open_store(setup) as store:
            desk = JobDesk(store, _engine(setup, store, providers, clock), clock)
            job, by = await _known(store, job_id), cli_actor()
            match what:
                case "cancel":
                    job = await desk.cancel(job, by)
                case "look":
                    job = await desk.look(job, by)
                case _:
                    job = await desk.notify(job, by)
            return await _seen(store, job)
    finally:
        for provider in providers.every():
            await provider.transport.close()


def _engine(setup: Setup, store: Store, providers: Providers, clock: Clock) -> JobEngine:
    """Not running: the server's looks after the jobs."""
    catalog = build_catalog(setup.config, providers, created=0)
    router = Router(clock, routing_terms(setup.config.routing))
    fetcher, watch = build_fetcher(setup.config), Watch(store.jobs, clock)
    built = build_care(setup.config, store, catalog, providers, clock, USER_AGENT, lambda: "", fetcher, router, watch)
    return build_engine(built.care, store, clock, watch)


@jobs.command("webhook-secret")
@click.argument("key_name")
@config_option
def webhook_secret(key_name: str, config_path: Path | None) -> None:
    """Show with what the messages about jobs of the API key KEY_NAME are signed."""
    setup = set_up(config_path)

    async def found() -> str:
        async with open_store(setup) as store:
            key = await store.keys.named(key_name)
            return secret_of(store.vault, key.id)

    click.echo(run(found()))


def _shown(job: Job) -> dict[str, object]:
    return {
        "id": job.id,
        "kind": job.kind.value,
        "state": job.state.value,
        "progress": job.progress,
        "model": job.model,
        "provider": job.provider,
        "upstream_model": job.upstream_model,
        "upstream_id": job.upstream_id,
        "call_id": job.call_id,
        "user_identifier": job.user_identifier,
        "attempts": job.attempts,
        "failed_looks": job.poll_errors,
        "error_code": job.error_code,
        "error_message": job.error_message,
        "price": job.price,
        "created_at": job.created_at,
        "finished_at": job.finished_at,
    }
