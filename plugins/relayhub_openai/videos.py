"""Videos as jobs: the wire of OpenAI's Video API, which OpenAI has left and many compatible upstreams serve."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from urllib.parse import quote, urljoin

from relayhub.sdk import (
    Artifact,
    Found,
    HttpRequest,
    JobState,
    JobUpdate,
    MediaRequest,
    MediaUsage,
    PollPace,
    Steps,
    UpstreamJob,
    VideoRequest,
)
from relayhub_openai.endpoint import Endpoint
from relayhub_openai.media_traits import VideoTraits
from relayhub_openai.multipart import field, form
from relayhub_openai.video_asked import REFERENCE, Asked, asked
from relayhub_openai.video_lookup import MAX_PAGES, PAGE, Search
from relayhub_openai.video_objects import (
    failure_of,
    handle_of,
    id_of,
    inner,
    link_of,
    progress_of,
    said_in,
    state_of,
    usage_of,
)

VIDEOS = "/videos"
VIDEO_TYPE = "video/mp4"
REFUSING = frozenset({400, 404, 405, 409, 422, 501})
"""Answers to a cancel that leave the job as it was; also those of upstreams that have no such route."""


class OpenAIVideos:
    """A :class:`relayhub.sdk.JobWire`."""

    takes_data = True

    def __init__(self, endpoint: Endpoint, traits: Mapping[str, VideoTraits], pace: PollPace) -> None:
        self._endpoint = endpoint
        self._traits = traits
        self.pace = pace

    def measure(self, model: str, request: MediaRequest) -> MediaUsage:
        return asked(model, request, self._traits).usage

    def submit(self, model: str, request: MediaRequest, reference: str) -> Steps[UpstreamJob]:
        """The Video API has no place for ``reference``."""
        wanted = asked(model, request, self._traits)
        answer = self._endpoint.read((yield self._create(model, wanted)))
        return UpstreamJob(id_of(inner(answer)), handle_of(wanted.usage))

    def poll(self, job: UpstreamJob) -> Steps[JobUpdate]:
        video = yield from self._look(job)
        word, state = state_of(video)
        if state is JobState.SUCCEEDED:
            result = yield from self._result(job, video)
            return JobUpdate(state, 100, (result,), usage=usage_of(video, job))
        if state is JobState.FAILED:
            return JobUpdate(state, failure=failure_of(video, word, self._shown(said_in(video))))
        return JobUpdate(state, progress_of(video))

    # --- requests and answers -----------------------------------------------------------------------------------------

    def _create(self, model: str, wanted: Asked) -> HttpRequest:
        if wanted.source is not None:
            return self._endpoint.post(f"{VIDEOS}/{quote(wanted.source, safe='')}/remix", wanted.fields)
        fields = {"model": model, **wanted.fields}
        if wanted.json:
            picture = {REFERENCE: {"image_url": wanted.link}} if wanted.link else {}
            return self._endpoint.post(VIDEOS, {**fields, **picture})
        parts = [field(name, value) for name, value in fields.items()]
        return self._endpoint.post_form(VIDEOS, form([*parts, wanted.file] if wanted.file else parts))

    def _url(self, job: UpstreamJob, more: str = "") -> str:
        return self._endpoint.url(f"{VIDEOS}/{quote(job.id, safe='')}{more}")

    def _look(self, job: UpstreamJob) -> Steps[Mapping[str, object]]:
        reply = yield self._endpoint.free("GET", self._url(job))
        return inner(self._endpoint.read(reply))

    def _result(self, job: UpstreamJob, video: Mapping[str, object]) -> Steps[Artifact]:
        """The link in the answer, else what is behind ``/content``: that needs the credential, or leads on to a link that
        does not."""
        link = link_of(video)
        if link is not None and not self._endpoint.credentials(link):
            return Artifact(url=link, media_type=VIDEO_TYPE)
        url = link or self._url(job, "/content")
        reply = yield self._endpoint.free("HEAD", url, accept="*/*")
        if 300 <= reply.status < 400 and reply.headers.get("location"):
            url = urljoin(url, reply.headers["location"])
        return Artifact(url=url, media_type=VIDEO_TYPE, headers=self._endpoint.credentials(url))

    def _shown(self, text: str) -> str:
        """Without anything that looks like a credential."""
        return self._endpoint.error_within({"message": text, "type": "invalid_request_error"}).message if text else ""


class ListedVideos(OpenAIVideos):
    """Of an upstream whose listing is complete: a :class:`relayhub.sdk.FindingWire`."""

    def find(
        self,
        model: str,
        request: MediaRequest,
        _reference: str,
        since: float,
        until: float,
        owned: Collection[str] = (),
    ) -> Steps[UpstreamJob | Found]:
        """By what was asked for: nothing marks a video as the hub's. The pictures of an old request are not kept; a remix
        cannot be known without its source."""
        if not isinstance(request, VideoRequest) or request.remix:
            return Found.UNSURE
        wanted = asked(model, replace(request, inputs=()), self._traits)
        usage = replace(wanted.usage, input_kind="image" if request.inputs else "text")
        search = Search({"model": model, **wanted.fields}, since, until, frozenset(owned))
        after: dict[str, str] = {}
        for _ in range(MAX_PAGES):
            url = self._endpoint.url(VIDEOS, limit=str(PAGE), order="desc", **after)
            reply = yield self._endpoint.free("GET", url)
            last = search.feed(self._endpoint.read(reply))
            if last is None:
                break
            after = {"after": last}
        found = search.result
        return found if isinstance(found, Found) else UpstreamJob(found, handle_of(usage))


class CancellableVideos(OpenAIVideos):
    """Of an upstream where a delete ends a job: a :class:`relayhub.sdk.CancellingWire`."""

    def cancel(self, job: UpstreamJob) -> Steps[bool]:
        """The same request deletes a finished video, and its result with it: so it is looked at first."""
        _, state = state_of((yield from self._look(job)))
        if state not in (JobState.QUEUED, JobState.IN_PROGRESS):
            return state is JobState.CANCELLED
        reply = yield self._endpoint.free("DELETE", self._url(job))
        if reply.status in REFUSING:
            return False
        self._endpoint.checked(reply)
        return True


class ManagedVideos(ListedVideos, CancellableVideos):
    """Of an upstream that has both."""
