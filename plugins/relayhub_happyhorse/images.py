"""Images of models that answer at once: the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from relayhub.sdk import ImageRequest, MediaResult, MediaUsage, Steps, upstream_broke
from relayhub_happyhorse.answers import count, images_in, usage_of
from relayhub_happyhorse.asked import Asked
from relayhub_happyhorse.endpoint import Endpoint
from relayhub_happyhorse.errors import blocked, said_in
from relayhub_happyhorse.image_asked import image_asked, image_traits
from relayhub_happyhorse.refusal import refuse
from relayhub_happyhorse.settings import HappyHorseSettings

PATH = "multimodal-generation/generation"


class ImagesAtOnce:
    """A :class:`relayhub.sdk.ImageWire`."""

    def __init__(self, endpoint: Endpoint, settings: HappyHorseSettings) -> None:
        self._endpoint = endpoint
        self._settings = settings

    def measure(self, model: str, request: ImageRequest) -> MediaUsage:
        return self._asked(model, request).usage

    def generate(self, model: str, request: ImageRequest) -> Steps[MediaResult]:
        wanted = self._asked(model, request)
        reply = yield self._endpoint.create(PATH, wanted.body, task=False)
        return _result(self._endpoint.read(reply), wanted.usage)

    def _asked(self, model: str, request: ImageRequest) -> Asked:
        wanted = image_asked(model, request, self._settings, private=self._endpoint.beside_us)
        if not image_traits(model, self._settings).at_once:
            refuse("model", "this one does not answer at once; it is asked for by a task.")
        return wanted


def _result(answer: Mapping[str, object], measured: MediaUsage) -> MediaResult:
    """Raises ``UpstreamError`` if there is no image in it. What was made is billed, at the price that was measured
    for."""
    output = answer.get("output")
    artifacts, others = images_in(output if isinstance(output, dict) else {})
    if artifacts:
        billed = count(usage_of(answer).get("image_count"))
        return MediaResult(artifacts, replace(measured, images=len(artifacts) if billed is None else billed))
    said = next((said for said in map(said_in, (*others, output, answer)) if said.code), None)
    raise blocked(said) if said is not None else upstream_broke("it has no image")
