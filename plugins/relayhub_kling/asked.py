"""A request in Kling's terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from relayhub.sdk import MediaUsage


class Api(StrEnum):
    """The generation of the API: they differ in paths, fields, words and answers."""

    CLASSIC = "classic"
    SECOND = "second"


@dataclass(frozen=True, slots=True)
class Asked:
    """``path``: where it is made, without a host; ``body``: all but the hub's reference and callback; ``usage``: at most;
    ``video_ms``: what is billed, ``None`` where what goes in decides it; ``watermarked``: the result that is wanted is the
    one with the watermark."""

    api: Api
    path: str
    body: Mapping[str, object]
    usage: MediaUsage
    video_ms: int | None = None
    watermarked: bool = False

    def sent(self, reference: str, callback_url: str | None) -> dict[str, object]:
        """The whole body."""
        own = {"external_task_id": reference, **({"callback_url": callback_url} if callback_url else {})}
        if self.api is Api.CLASSIC:
            return {**self.body, **own}
        options = self.body.get("options")
        return {**self.body, "options": {**(options if isinstance(options, dict) else {}), **own}}

    @property
    def handle(self) -> Mapping[str, str]:
        """What polling needs: where to ask, in which language, and what chooses the price."""
        usage = self.usage
        terms = {
            "video_ms": None if self.video_ms is None else str(self.video_ms),
            "most_ms": str(usage.video_ms) if usage.video_ms and self.video_ms is None else None,
            "images": str(usage.images) if usage.images else None,
            "resolution": usage.resolution,
            "size": usage.size,
            "quality": usage.quality,
            "audio": None if usage.audio is None else str(usage.audio).lower(),
            "watermarked": "true" if self.watermarked else None,
        }
        known = {name: text for name, text in terms.items() if text is not None}
        return {"api": self.api.value, "path": self.path, "input_kind": usage.input_kind, **known}
