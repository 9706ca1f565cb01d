"""The provider: videos and slow images as tasks, other images at once."""

from __future__ import annotations

from relayhub.sdk import MediaKind, ProviderContext
from relayhub_happyhorse.endpoint import Endpoint
from relayhub_happyhorse.image_task import ImageTrade
from relayhub_happyhorse.images import ImagesAtOnce
from relayhub_happyhorse.settings import HappyHorseSettings
from relayhub_happyhorse.tasks import TaskWire
from relayhub_happyhorse.video_task import VideoTrade


class HappyHorseProvider:
    """A :class:`relayhub.sdk.JobProvider` (videos, images) and a :class:`relayhub.sdk.ImageProvider`.

    A model's images come one way or the other, as its traits say; the wire that it is not for refuses it last, when
    everything else in the request is known to be right."""

    def __init__(self, settings: HappyHorseSettings, context: ProviderContext) -> None:
        self._settings = settings
        self._endpoint = Endpoint(settings)
        self._clock = context.clock

    def jobs(self, kind: MediaKind) -> TaskWire | None:
        match kind:
            case MediaKind.VIDEO:
                pace = self._settings.poll.pace
                return TaskWire(self._endpoint, VideoTrade(self._settings), pace, self._clock, takes_data=False)
            case MediaKind.IMAGE:
                pace = self._settings.image_poll.pace
                return TaskWire(self._endpoint, ImageTrade(self._settings), pace, self._clock, takes_data=True)
            case MediaKind.SPEECH:
                return None

    def images(self) -> ImagesAtOnce:
        return ImagesAtOnce(self._endpoint, self._settings)
