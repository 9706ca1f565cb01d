"""Putting the engine together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from relayhub.config import Config
from relayhub.dialects.media_api.views import Shown, message
from relayhub.jobs.callbacks import Callbacks
from relayhub.jobs.endings import Endings
from relayhub.jobs.engine import JobEngine, Parallel
from relayhub.jobs.files import FileStore
from relayhub.jobs.lending import Lending
from relayhub.jobs.links import Links
from relayhub.jobs.looking import Looking
from relayhub.jobs.pace import Progress
from relayhub.jobs.results import FETCH, Results
from relayhub.jobs.submission import Submissions
from relayhub.jobs.watch import Watch
from relayhub.jobs.webhooks import Webhooks
from relayhub.routing.catalog import Catalog
from relayhub.routing.provider import Provider
from relayhub.routing.router import Router
from relayhub.sdk.clock import Clock
from relayhub.store.store import Store
from relayhub.types.job import Job, StoredArtifact
from relayhub.upstream.download import Downloader
from relayhub.upstream.media import MediaFetcher
from relayhub.upstream.post import Poster


@dataclass(frozen=True, slots=True)
class BuiltJobs:
    engine: JobEngine
    files: FileStore
    links: Links
    callbacks: Callbacks


def build_jobs(
    config: Config,
    store: Store,
    catalog: Catalog,
    providers: Mapping[str, Provider],
    clock: Clock,
    user_agent: str,
    base: Callable[[], str],
    fetcher: MediaFetcher,
    router: Router,
) -> BuiltJobs:
    """``base``: the hub's address as clients know it."""
    jobs = store.jobs
    files = FileStore(results_folder(config), config.artifacts.max_size)
    links = Links(base, store.vault.derived("links"))
    private = frozenset(config.media.private_hosts)
    results = Results(files, Downloader(user_agent, FETCH, private), clock, config.artifacts.ttl)
    wait_s = config.jobs.lookup_after_s
    watch = Watch(jobs, clock)
    endings = Endings(jobs, watch, clock)
    lending = Lending(files, links, clock, public=config.server.public_url is not None)
    public_base = base if config.server.public_url is not None else lambda: ""
    callbacks = Callbacks(jobs, providers, clock, public_base, store.vault.derived("callbacks"))
    engine = JobEngine(
        jobs=jobs,
        epochs=store.epochs,
        submissions=Submissions(
            catalog, jobs, results, lending, endings, watch, clock, fetcher, callbacks, wait_s, router
        ),
        looking=Looking(providers, jobs, results, endings, Progress(jobs, clock), watch, clock, wait_s),
        endings=endings,
        watch=watch,
        webhooks=Webhooks(jobs, store.vault, Poster(user_agent, private), clock, _message(links)),
        files=files,
        clock=clock,
        parallel=Parallel(config.jobs.parallel, config.jobs.parallel_per_provider),
    )
    return BuiltJobs(engine, files, links, callbacks)


def results_folder(config: Config) -> Path:
    """Beside the database unless the config says where."""
    return config.artifacts.dir or config.store.path.parent / "artifacts"


def _message(links: Links) -> Callable[[Job, list[StoredArtifact]], bytes]:
    def body(job: Job, results: list[StoredArtifact]) -> bytes:
        kept = [links.to(result) for result in results if result.file is not None]
        return orjson.dumps(message(Shown(job, kept)))

    return body
