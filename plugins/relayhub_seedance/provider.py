"""The provider: videos as jobs, images at once."""

from __future__ import annotations

from relayhub.sdk import MediaKind, ProviderContext
from relayhub_seedance.images import SeedreamWire
from relayhub_seedance.settings import SeedanceSettings
from relayhub_seedance.video import SeedanceWire


class SeedanceProvider:
    """A :class:`relayhub.sdk.JobProvider` and a :class:`relayhub.sdk.ImageProvider`."""

    def __init__(self, settings: SeedanceSettings, _context: ProviderContext) -> None:
        self._settings = settings

    def jobs(self, kind: MediaKind) -> SeedanceWire | None:
        return SeedanceWire(self._settings) if kind is MediaKind.VIDEO else None

    def images(self) -> SeedreamWire:
        return SeedreamWire(self._settings)
