"""``relayhub jobs``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from relayhub.cli.moments import shown_time
from relayhub.cli.support import config_option, fail, json_option, open_store, print_json, print_table, run, set_up
from relayhub.dialects.media_api.views import canonical_id
from relayhub.jobs.webhooks import secret_of
from relayhub.store.jobs import Delivery, JobFilter
from relayhub.types.job import Job, StoredArtifact
from relayhub.types.media import JobState

MAX_LISTED = 1000


@click.group()
def jobs() -> None:
    """Videos, and images that take their time."""


@jobs.command("list")
@click.option("--open", "only_open", is_flag=True, help="Only those that have not ended.")
@click.option("--state", type=click.Choice([state.value for state in JobState]), help="Only those in this state.")
@click.option("--provider", help="Only those of this provider.")
@click.option(
    "--limit", type=click.IntRange(1, MAX_LISTED), default=50, show_default=True, help="How many, newest first."
)
@config_option
@json_option
def list_jobs(
    only_open: bool, state: str | None, provider: str | None, limit: int, config_path: Path | None, as_json: bool
) -> None:
    """List jobs, the newest first."""
    setup = set_up(config_path)
    wanted = JobFilter(only_open, JobState(state) if state else None, provider)

    async def found() -> list[Job]:
        async with open_store(setup) as store:
            return await store.jobs.some(wanted, limit)

    listed = run(found())
    if as_json:
        print_json([_shown(job) for job in listed])
        return
    rows = [
        (job.id, job.model, job.provider, job.state.value, f"{job.progress}%", shown_time(job.created_at))
        for job in listed
    ]
    print_table(("Job", "Model", "Provider", "State", "Progress", "Created"), rows, empty="No jobs.")


@jobs.command()
@click.argument("job_id")
@config_option
@json_option
def show(job_id: str, config_path: Path | None, as_json: bool) -> None:
    """Show the job JOB_ID, by whatever name a client knows it."""
    setup = set_up(config_path)

    async def found() -> tuple[Job | None, list[StoredArtifact], Delivery | None]:
        async with open_store(setup) as store:
            job = await store.jobs.get(canonical_id(job_id))
            if job is None:
                return None, [], None
            return job, await store.jobs.results(job.id), await store.jobs.delivery(job.id)

    job, results, delivery = run(found())
    if job is None:
        fail(f"There is no job {job_id}; `relayhub jobs list` shows the newest.")
    files = [{"id": one.id, "type": one.media_type, "bytes": one.size, "kept": one.file is not None} for one in results]
    shown = {**_shown(job), "results": files, "webhook": None if delivery is None else asdict(delivery)}
    if as_json:
        print_json(shown)
    else:
        print_table(("Field", "Value"), [(name, value) for name, value in shown.items() if value is not None], empty="")


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
