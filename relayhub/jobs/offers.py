"""Who could do a job, and what it would cost there at most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import structlog

from relayhub.jobs.asked import Source
from relayhub.routing.catalog import Resolved, Route
from relayhub.routing.provider import Provider
from relayhub.sdk.media import ImageWire, JobWire
from relayhub.types.errors import ClientError, ErrorKind, RelayhubError
from relayhub.types.media import ImageRequest, InputRole, MediaKind, MediaRequest, MediaUsage, SpeechRequest
from relayhub.types.money import MAX_NANO

log = structlog.get_logger("relayhub.jobs")


@dataclass(frozen=True, slots=True)
class Offer:
    """``request``: as this provider is asked; ``images`` instead of ``jobs`` where the upstream answers at once.
    ``usage``, ``cost_nano``: upper bounds."""

    route: Route
    request: MediaRequest
    usage: MediaUsage
    cost_nano: int
    jobs: JobWire | None = None
    images: ImageWire | None = None


@dataclass(frozen=True, slots=True)
class Variants:
    """One request, as different upstreams take it. ``fetched``: data in place of links; ``lent``: links in place of data.
    ``None`` where that changes nothing."""

    asked: MediaRequest
    fetched: MediaRequest | None = None
    lent: MediaRequest | None = None

    def for_wire(self, wire: object) -> MediaRequest:
        if _takes_no_links(wire):
            return self.fetched or self.asked
        return (self.lent or self.asked) if _takes_no_data(wire) else self.asked


def _takes_no_links(wire: object) -> bool:
    return getattr(wire, "inline_media", False) is True


def _takes_no_data(wire: object) -> bool:
    return getattr(wire, "takes_data", True) is False


def needs(resolved: Resolved, kind: MediaKind, request: MediaRequest) -> tuple[bool, bool]:
    """Whether some provider needs its links fetched, and some its data lent."""
    if isinstance(request, SpeechRequest):
        return False, False
    wires = [images or jobs for route in resolved.routes for jobs, images in _wires(route.provider, kind, request)]
    links = any(given.media.url is not None for given in request.inputs)
    data = any(given.media.data is not None for given in request.inputs)
    return links and any(map(_takes_no_links, wires)), data and any(map(_takes_no_data, wires))


def offers_of(
    routes: Sequence[Route], resolved: Resolved, kind: MediaKind, variants: Variants, source: Source | None = None
) -> list[Offer]:
    """In the order of ``routes``. Raises the first ``ClientError`` if nobody can do it as asked: it names the
    parameter."""
    refusal: RelayhubError | None = None
    found: list[Offer] = []
    for route in routes:
        try:
            found.append(_offer(route, kind, variants, source))
        except ClientError as error:
            refusal = refusal or error
    if not found:
        raise refusal or _nobody(resolved, kind)
    return found


def _as_known(request: MediaRequest, source: Source | None, provider: Provider) -> MediaRequest:
    """The provider that made the source is told its own name for it."""
    if source is None or isinstance(request, SpeechRequest):
        return request
    if (source.provider, source.credential) not in ((provider.name, provider.credential), (provider.name, None)):
        return request
    return replace(
        request,
        inputs=tuple(
            replace(given, media=replace(given.media, file_id=source.upstream_id))
            if given.role is InputRole.SOURCE_VIDEO
            else given
            for given in request.inputs
        ),
    )


def _offer(route: Route, kind: MediaKind, variants: Variants, source: Source | None) -> Offer:
    """By the first of the provider's wires that takes the request."""
    refusal: ClientError | None = None
    for jobs, images in _wires(route.provider, kind, variants.asked):
        request = _as_known(variants.for_wire(images or jobs), source, route.provider)
        try:
            usage = _measured(route, jobs, images, request)
            cost_nano = min(route.price.media_nano(usage), MAX_NANO)
            return Offer(route, request, usage, cost_nano, jobs, images)
        except ClientError as error:
            refusal = refusal or error
    raise refusal or _not_made(route.provider, kind)


def _wires(
    provider: Provider, kind: MediaKind, request: MediaRequest
) -> Iterator[tuple[JobWire | None, ImageWire | None]]:
    able = provider.capabilities
    if isinstance(request, ImageRequest) and able.images is not None:
        yield None, able.images
    if (wire := able.jobs.get(kind)) is not None:
        yield wire, None


def _measured(route: Route, jobs: JobWire | None, images: ImageWire | None, request: MediaRequest) -> MediaUsage:
    try:
        if jobs is not None:
            return jobs.measure(route.upstream_model, request)
        assert images is not None
        assert isinstance(request, ImageRequest)
        return images.measure(route.upstream_model, request)
    except RelayhubError:
        raise
    except BaseException as error:
        # Plugin isolation; nothing is awaited here.
        log.exception("provider.failed", provider=route.provider.name)
        raise _not_made(route.provider, MediaKind.SPEECH if isinstance(request, SpeechRequest) else None) from error


def _not_made(provider: Provider, kind: MediaKind | None) -> ClientError:
    what = "this request" if kind is None else f"{kind.value} requests"
    return ClientError(
        ErrorKind.NOT_FOUND,
        f"The provider {provider.name!r} cannot serve {what} for this model.",
        code="operation_not_supported",
        param="model",
    )


def _nobody(resolved: Resolved, kind: MediaKind) -> ClientError:
    return ClientError(
        ErrorKind.NOT_FOUND,
        f"No provider of the model {resolved.model!r} serves {kind.value}.",
        code="operation_not_supported",
        param="model",
    )
