"""Putting the engine together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import orjson

from relayhub.config import Config
from relayhub.dialects.media_api.views import Shown, message
from relayhub.jobs.callbacks import Callbacks
from relayhub.jobs.endings import Endings
from relayhub.jobs.engine import Care, JobEngine, Parallel
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
from relayhub.types.share import WHOLE, Share
from relayhub.upstream.download import Downloader
from relayhub.upstream.media import MediaFetcher
from relayhub.upstream.post import Poster


@dataclass(frozen=True, slots=True)
class BuiltCare:
    """Of one config."""

    care: Care
    links: Links
    callbacks: Callbacks


def build_care(
    config: Config,
    store: Store,
    catalog: Catalog,
    providers: Mapping[str, Provider],
    clock: Clock,
    user_agent: str,
    base: Callable[[], str],
    fetcher: MediaFetcher,
    router: Router,
    watch: Watch,
    share: Share = WHOLE,
) -> BuiltCare:
    """``providers``: whom jobs are asked about. ``base``: the hub's address as clients know it. ``share``: of the processes
    that look after jobs together."""
    jobs = store.jobs
    files = FileStore(results_folder(config), config.artifacts.max_size)
    links = Links(base, partial(store.vault.all_derived, "links"))
    private = frozenset(config.media.private_hosts)
    results = Results(files, Downloader(user_agent, FETCH, private), clock, config.artifacts.ttl)
    wait_s = config.jobs.lookup_after_s
    endings = Endings(jobs, watch, clock)
    lending = Lending(files, links, clock, public=config.server.public_url is not None)
    public_base = base if config.server.public_url is not None else lambda: ""
    callbacks = Callbacks(jobs, providers, clock, public_base, partial(store.vault.all_derived, "callbacks"))
    care = Care(
        submissions=Submissions(
            catalog, jobs, results, lending, endings, watch, clock, fetcher, callbacks, wait_s, router
        ),
        looking=Looking(providers, jobs, results, endings, Progress(jobs, clock), watch, clock, wait_s),
        webhooks=Webhooks(jobs, store.vault, Poster(user_agent, private), clock, _message(links)),
        files=files,
        parallel=Parallel(share.part(config.jobs.parallel), share.part(config.jobs.parallel_per_provider)),
    )
    return BuiltCare(care, links, callbacks)


def build_engine(care: Care, store: Store, clock: Clock, watch: Watch) -> JobEngine:
    """It outlives the config that it begins with: see :meth:`JobEngine.adopt`."""
    return JobEngine(
        jobs=store.jobs,
        epochs=store.epochs,
        submissions=care.submissions,
        looking=care.looking,
        endings=Endings(store.jobs, watch, clock),
        watch=watch,
        webhooks=care.webhooks,
        files=care.files,
        clock=clock,
        parallel=care.parallel,
    )


def results_folder(config: Config) -> Path:
    """Beside the database unless the config says where."""
    return config.artifacts.dir or config.store.path.parent / "artifacts"


def _message(links: Links) -> Callable[[Job, list[StoredArtifact]], bytes]:
    def body(job: Job, results: list[StoredArtifact]) -> bytes:
        kept = [links.to(result) for result in results if result.file is not None]
        return orjson.dumps(message(Shown(job, kept)))

    return body
