"""Finding a video whose submit was not answered, in the upstream's own list."""

from __future__ import annotations

from collections.abc import Mapping

from relayhub.sdk import Found, upstream_broke

PAGE = 100
MAX_PAGES = 20
EARLY_S = 10.0
LATE_S = 60.0
"""How far the upstream's clock may be off, and how late it may note what it has accepted."""
NAMED = ("model", "seconds", "size")


class Search:
    """``wanted``: what the submit said; ``owned``: videos of other jobs of the hub. Fed with pages, newest first. What the
    list does not tell of a job that may be the one makes it unsure."""

    def __init__(
        self, wanted: Mapping[str, object], since: float, until: float, owned: frozenset[str] = frozenset()
    ) -> None:
        self._owned = owned
        self._wanted = wanted
        self._since = since - EARLY_S
        self._until = until + LATE_S
        self._candidates: list[str] = []
        self._doubtful = False
        self._complete = False
        self._newest_after = float("inf")

    def feed(self, page: Mapping[str, object]) -> str | None:
        """The id after which the next page begins, if it is needed. Raises ``UpstreamError`` for what is no page."""
        items = page.get("data")
        if not isinstance(items, list):
            raise upstream_broke("it is not a listing")
        for item in items:
            self._see(item if isinstance(item, dict) else {})
        more = page.get("has_more") is True
        last = items[-1].get("id") if items and isinstance(items[-1], dict) else None
        self._complete = self._complete or not more
        return last if more and not self._complete and isinstance(last, str) else None

    @property
    def result(self) -> str | Found:
        if not self._complete or self._doubtful or len(self._candidates) > 1:
            return Found.UNSURE
        return self._candidates[0] if self._candidates else Found.NO

    def _see(self, item: Mapping[str, object]) -> None:
        id_, at = item.get("id"), item.get("created_at")
        if not isinstance(id_, str) or isinstance(at, bool) or not isinstance(at, int | float):
            self._doubtful = True
            return
        if at > self._newest_after:
            self._doubtful = True  # not newest first: older ones prove nothing about the rest
        self._newest_after = min(self._newest_after, at)
        if at < self._since:
            self._complete = True
        elif at <= self._until and id_ not in self._owned:
            self._compare(id_, item)

    def _compare(self, id_: str, item: Mapping[str, object]) -> None:
        """A remix is another job, and so is what has another prompt. Whatever else differs may be told in other words."""
        prompt = item.get("prompt")
        if isinstance(prompt, str) and prompt.strip() != str(self._wanted["prompt"]).strip():
            return
        if item.get("remixed_from_video_id") is not None:
            return
        named = all(name not in self._wanted or str(item.get(name)) == self._wanted[name] for name in NAMED)
        if prompt is None or not named:
            self._doubtful = True
        self._candidates.append(id_)
