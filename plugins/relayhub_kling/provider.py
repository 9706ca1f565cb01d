"""The provider: videos and images, both as jobs."""

from __future__ import annotations

from relayhub.sdk import MediaKind, ProviderContext
from relayhub_kling.account import Account
from relayhub_kling.settings import KlingSettings
from relayhub_kling.wire import KlingWire


class KlingProvider:
    """A :class:`relayhub.sdk.JobProvider`."""

    def __init__(self, settings: KlingSettings, context: ProviderContext) -> None:
        self._settings = settings
        self._account = Account(settings, context.clock)

    def jobs(self, kind: MediaKind) -> KlingWire | None:
        if kind is MediaKind.SPEECH:
            return None
        return KlingWire(self._settings, self._account, kind)
