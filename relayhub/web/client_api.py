"""The hub's own operations for holders of relay keys, as ``/openapi.json`` describes them. What it has in common with a
vendor (``/v1``, ``/v1beta``) is described by that vendor's documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel

from relayhub.web.ingress.estimate import Priced
from relayhub.web.ingress.user import Redemption
from relayhub.web.ingress.user_usage import OwnCallsQuery, OwnTotalsQuery


class _Answer(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, defer_build=True)


class Quota(_Answer):
    """In units. ``used_quota``: what was spent and what is held."""

    total_quota: int
    used_quota: int
    remaining_quota: int
    unlimited: Literal[True] | None = Field(None, description="Only there where it holds.")


class Redeemed(_Answer):
    added_quota: int
    total_quota: int


class Sums(_Answer):
    """Counts of all calls; ``used_quota`` in units, rounded up."""

    calls: int
    errors: int
    estimated: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    images: int
    characters: int
    audio_ms: int
    video_ms: int
    duration_ms: int
    latency_p50_ms: int | None
    latency_p95_ms: int | None
    latency_p99_ms: int | None
    used_quota: int


class Group(Sums):
    group: str | None


class Totals(_Answer):
    """``scope``: a key with a quota of its own sees its own calls, any other one its account's."""

    since: datetime | None
    until: datetime | None
    scope: Literal["account", "key"]
    by: str
    total: Sums
    items: tuple[Group, ...]


class UsedCall(_Answer):
    call_id: str
    at: datetime
    key: str
    operation: str
    model: str
    provider: str
    stream: bool
    outcome: str
    measured: bool
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    media: dict[str, JsonValue] | None
    status: int | None
    error_code: str | None
    user_identifier: str | None
    first_byte_ms: int | None
    duration_ms: int
    used_quota: int


class Calls(_Answer):
    items: tuple[UsedCall, ...]
    next: str | None = Field(description="The `after` of the next page.")


class EstimateQuery(BaseModel):
    endpoint: Priced | None = Field(None, description="Default: by what the model is for.")
    platform: str | None = Field(None, description="Only this provider, as in `/{platform}/v1/…`.")


class AnyRequest(BaseModel):
    """The very body that the endpoint takes."""

    model_config = ConfigDict(extra="allow", defer_build=True)


class Estimate(_Answer):
    """``quota``: units, rounded up, as they would be held."""

    model: str
    quota: int
    usd: str
    price: str
    price_version: str | None
    at_most: dict[str, JsonValue]


class VideoRequest(BaseModel):
    """More fields are the model's own."""

    model_config = ConfigDict(extra="allow", defer_build=True)

    prompt: str | None = None
    provider: str | None = None
    model: str | None = Field(None, description="Default: the provider's usual one.")
    seconds: float | str | None = None
    size: str | None = Field(None, examples=["1280x720"])
    resolution: str | None = Field(None, examples=["720p"])
    ratio: str | None = Field(None, examples=["16:9"])
    user_identifier: str | None = None
    callback_url: str | None = Field(None, pattern="^https?://", max_length=2048)


class Submitted(_Answer):
    job_id: str


class WhichJob(BaseModel):
    job_id: str = Field(alias="jobId", min_length=1, description="As the submit has answered it.")


class JobFault(BaseModel):
    code: str | None
    message: str | None


class JobStatus(_Answer):
    """``result_url``: once it has succeeded, as long as the result is kept."""

    status: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    progress: int
    result_url: str | None
    error: JobFault | None = Field(None, description="Only there where it has failed.")


class Checks(BaseModel):
    db: Literal["ok", "fail"]
    redis: Literal["disabled"]


class Health(BaseModel):
    status: Literal["ok", "error"]
    checks: Checks


@dataclass(frozen=True, slots=True)
class ClientOperation:
    """``gives``: the ``data`` of the answer, or, unless it is ``wrapped``, the whole. ``csv``, ``events``: what else it may
    be. ``fails``: statuses with what they mean. ``free``: without a key."""

    method: str
    path: str
    name: str
    summary: str
    gives: type[BaseModel]
    query: type[BaseModel] | None = None
    takes: type[BaseModel] | None = None
    csv: bool = False
    events: bool = False
    free: bool = False
    wrapped: bool = True
    fails: Mapping[str, str] = field(default_factory=dict)


UPSTREAM_FAILED = {"500": "The upstream failed."}
OPERATIONS: tuple[ClientOperation, ...] = (
    ClientOperation("GET", "/api/user/quota", "quota", "What the key may still spend", Quota),
    ClientOperation("GET", "/api/user/usage", "usage", "What was used, added up", Totals, OwnTotalsQuery, csv=True),
    ClientOperation("GET", "/api/user/usage/calls", "calls", "Calls, newest first", Calls, OwnCallsQuery, csv=True),
    ClientOperation("POST", "/api/user/redemption", "redeem", "Redeem a code", Redeemed, takes=Redemption),
    ClientOperation(
        "POST",
        "/api/user/estimate",
        "estimate",
        "What a request would hold, without sending it",
        Estimate,
        EstimateQuery,
        AnyRequest,
        fails=UPSTREAM_FAILED,
    ),
    ClientOperation(
        "POST", "/api/video/submit", "submit", "Submit a video", Submitted, takes=VideoRequest, fails=UPSTREAM_FAILED
    ),
    ClientOperation("GET", "/api/video/status", "status", "How far a video is", JobStatus, WhichJob),
    ClientOperation("GET", "/api/video/events", "events", "Follow a video live", JobStatus, WhichJob, events=True),
    ClientOperation(
        "GET", "/api/health", "health", "Whether the hub and its store work", Health, free=True, wrapped=False
    ),
)
