"""The pretended server's video jobs. It keeps no list: all that it must know of a job stands in the job's id, and the
clock does the rest. So jobs go on through a restart, and no time passes but the clock's."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from relayhub.sdk import Clock
from relayhub_demo.answer import JSON, Answer
from relayhub_demo.clips import clip
from relayhub_demo.h264 import Colour
from relayhub_demo.models import JOB_FAILED, VIDEO_MODELS
from relayhub_demo.studio import size_of, text_of
from relayhub_demo.wire import Refusal, model_of, whole_number

LONGEST_S = 15
USUAL_S, USUAL_SIZE = 4, "1280x720"
RECORD_S = 7 * 86_400.0
MOST_CANCELLED = 10_000
ID = re.compile(r"video-(film|fail)-([0-9a-f]{8,12})-(\d{1,2})-(\d{2,4})x(\d{2,4})-([0-9a-f]{16})")


@dataclass(frozen=True, slots=True)
class Film:
    """``created_ms``: unix time; ``mark``: of what was asked, and by whom."""

    fails: bool
    created_ms: int
    seconds: int
    width: int
    height: int
    mark: str

    @property
    def id(self) -> str:
        kind = "fail" if self.fails else "film"
        return f"video-{kind}-{self.created_ms:08x}-{self.seconds}-{self.width}x{self.height}-{self.mark}"

    @property
    def content(self) -> bytes:
        y, cb, cr = bytes.fromhex(self.mark)[:3]
        return clip(self.width, self.height, self.seconds, Colour(64 + y // 2, 64 + cb // 2, 64 + cr // 2))


class FilmStudio:
    """``queue_s``, ``run_s``: how long a job waits and runs."""

    def __init__(self, clock: Clock, queue_s: float, run_s: float) -> None:
        self._clock = clock
        self._queue_s = queue_s
        self._run_s = run_s
        self._cancelled: dict[str, None] = {}
        """In the order in which they were; the oldest are forgotten."""

    def create(self, body: Mapping[str, object]) -> Answer:
        """Raises ``Refusal``."""
        model = model_of(body, VIDEO_MODELS)
        text_of(body, "prompt")
        width, height = size_of(body, USUAL_SIZE)
        seconds = whole_number(body, "seconds", 1, LONGEST_S) or USUAL_S
        mark = hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
        now_ms = int(self._clock.now() * 1000)
        return self._told(Film(model == JOB_FAILED, now_ms, seconds, width - width % 2, height - height % 2, mark))

    def look(self, id_: str) -> Answer:
        return self._told(self._film(id_))

    def content(self, id_: str) -> Answer:
        film = self._film(id_)
        if self._status(film)[0] != "completed":
            raise Refusal(409, "The video is not finished.", code="video_not_ready")
        return Answer(200, "video/mp4", [film.content])

    def cancel(self, id_: str) -> Answer:
        film = self._film(id_)
        if self._status(film)[0] not in ("queued", "in_progress"):
            raise Refusal(409, "The video is not being made any more.", code="video_finished")
        self._cancelled[id_] = None
        if len(self._cancelled) > MOST_CANCELLED:
            del self._cancelled[next(iter(self._cancelled))]
        return Answer(200, JSON, [orjson.dumps({"id": id_, "object": "video.deleted", "deleted": True})])

    def _film(self, id_: str) -> Film:
        found = ID.fullmatch(id_)
        if found is None:
            raise Refusal(404, f"There is no video '{id_}'.", code="video_not_found")
        kind, created, seconds, width, height, mark = found.groups()
        film = Film(kind == "fail", int(created, 16), int(seconds), int(width), int(height), mark)
        if self._clock.now() > film.created_ms / 1000 + RECORD_S:
            raise Refusal(404, f"There is no video '{id_}' any more.", code="video_not_found")
        return film

    def _status(self, film: Film) -> tuple[str, int]:
        """And how much of it is done, in per cent."""
        if film.id in self._cancelled:
            return "cancelled", 0
        running_s = self._clock.now() - film.created_ms / 1000 - self._queue_s
        if running_s < 0:
            return "queued", 0
        if running_s < self._run_s:
            return "in_progress", min(99, int(100 * running_s / self._run_s))
        return ("failed", 0) if film.fails else ("completed", 100)

    def _told(self, film: Film) -> Answer:
        status, progress = self._status(film)
        error = {"code": "demo_failed", "message": "The demo made this job fail, as asked."}
        video = {
            "id": film.id,
            "object": "video",
            "status": status,
            "progress": progress,
            "created_at": film.created_ms // 1000,
            "seconds": str(film.seconds),
            "size": f"{film.width}x{film.height}",
            "error": error if status == "failed" else None,
        }
        return Answer(200, JSON, [orjson.dumps(video)])
