"""What an ingress has understood of a request for media, and what of it is kept until the job is finished."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from relayhub.sdk.ordering import CallView
from relayhub.types.call import Operation, Principal
from relayhub.types.chat import Media
from relayhub.types.media import (
    ImageRequest,
    InputRole,
    MediaInput,
    MediaKind,
    MediaRequest,
    SpeechRequest,
    VideoRequest,
)

OPERATIONS: Mapping[MediaKind, Operation] = {
    MediaKind.VIDEO: Operation.VIDEO,
    MediaKind.IMAGE: Operation.IMAGE,
    MediaKind.SPEECH: Operation.SPEECH,
}

_TYPES = {MediaKind.VIDEO: VideoRequest, MediaKind.IMAGE: ImageRequest, MediaKind.SPEECH: SpeechRequest}


@dataclass(frozen=True, slots=True)
class Source:
    """A video of ours that is to be remixed. Its upstream's name for it means something to the account that made it only."""

    job_id: str
    provider: str
    upstream_id: str | None
    credential: str | None = None


@dataclass(frozen=True, slots=True)
class MediaCall:
    """``id``: of the request; ``dialect``: the client shape; ``platform``: the only provider that may serve it;
    ``once``: the client's own name for the request, ``body_hash`` what came with it; ``received_at``: monotonic
    seconds; ``source``: the job whose result goes in."""

    id: str
    principal: Principal
    kind: MediaKind
    dialect: str
    platform: str | None
    request: MediaRequest
    body_hash: str
    received_at: float
    client: str = ""
    user: str | None = None
    once: str | None = None
    callback_url: str | None = None
    source: Source | None = None

    def view(self, model: str) -> CallView:
        """For plugins. ``model``: as it is listed."""
        who, operation = self.principal, OPERATIONS[self.kind].value
        return CallView(
            self.id, who.key_id, who.key_name, who.account_id, operation, self.dialect, model, user=self.user
        )


def pack(request: MediaRequest) -> bytes:
    """For keeping. In the place of inline data stands a byte: nothing looks at it again but for being there."""
    inputs = [
        {"role": given.role, "field": given.field, "url": given.media.url, "media_type": given.media.media_type}
        for given in (() if isinstance(request, SpeechRequest) else request.inputs)
    ]
    return orjson.dumps({"request": request, "inputs": inputs}, default=dict)


def _media(url: str | None, media_type: str | None) -> Media:
    return Media(url, None if url is not None else "AA==", media_type)


def unpack(kind: MediaKind, packed: bytes) -> MediaRequest:
    """The inverse of :func:`pack`."""
    whole = orjson.loads(packed)
    fields = whole["request"]
    if kind is not MediaKind.SPEECH:
        fields["inputs"] = tuple(
            MediaInput(InputRole(one["role"]), _media(one["url"], one["media_type"]), one["field"])
            for one in whole["inputs"]
        )
    request: MediaRequest = _TYPES[kind](**fields)
    return request
