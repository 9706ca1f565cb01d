"""Images of models that work on a task."""

from __future__ import annotations

from collections.abc import Mapping

from relayhub.sdk import Artifact, ImageRequest, MediaRequest, MediaUsage, invalid_request, upstream_broke
from relayhub_happyhorse.answers import count, images_in
from relayhub_happyhorse.asked import Asked
from relayhub_happyhorse.image_asked import image_asked, image_traits
from relayhub_happyhorse.refusal import refuse
from relayhub_happyhorse.settings import HappyHorseSettings


class ImageTrade:
    """A :class:`relayhub_happyhorse.asked.Trade`."""

    path = "image-generation/generation"

    def __init__(self, settings: HappyHorseSettings) -> None:
        self._settings = settings

    def asked(self, model: str, request: MediaRequest, *, private: bool) -> Asked:
        if not isinstance(request, ImageRequest):
            raise invalid_request("model: this one makes images only.", param="model")
        wanted = image_asked(model, request, self._settings, private=private)
        if image_traits(model, self._settings).at_once:
            refuse("model", "this one answers at once; it is not asked for by a task.")
        return wanted

    def artifacts(self, output: Mapping[str, object]) -> tuple[Artifact, ...]:
        found, _ = images_in(output)
        if not found:
            raise upstream_broke("a task that succeeded has no image")
        return found

    def usage(self, told: Mapping[str, object], made: int, handle: Mapping[str, str]) -> MediaUsage | None:
        billed = count(told.get("image_count"))
        return MediaUsage(
            images=made if billed is None else billed,
            resolution=handle.get("resolution"),
            size=handle.get("size"),
            input_kind=handle.get("input_kind", "text"),
        )
