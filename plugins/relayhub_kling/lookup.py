"""Finding a task whose submit had no answer: by the reference that was sent with it.

The upstream looks a task up by that reference itself. What it says of a reference that it does not know is not confirmed, so
a "no" is only believed when the listing of that time has no such task either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

import orjson

from relayhub.sdk import Found, HttpReply, Steps, UpstreamError, upstream_broke
from relayhub_kling.account import Account
from relayhub_kling.asked import Api, Asked
from relayhub_kling.errors import NOT_FOUND, json_of, said_in
from relayhub_kling.tasks import Task, payload, task_of

PAGE_SIZE = 500
MAX_PAGES = 10
SKEW_S = 60.0
"""Between the upstream's clock and the hub's."""
TASKS = "/tasks"


@dataclass(frozen=True, slots=True)
class Lookup:
    """``since``, ``until``: when it was sent, unix seconds."""

    account: Account
    asked: Asked
    reference: str
    since: float
    until: float
    owned: frozenset[str] = frozenset()

    def run(self) -> Steps[str | Found]:
        """The upstream's id. Raises ``UpstreamError`` for what cannot be read."""
        if self.asked.api is Api.CLASSIC:
            found = yield from self._direct()
            return found if found is not None else (yield from self._pages())
        found = yield from self._direct_second()
        return found if found is not None else (yield from self._windows())

    # --- by the reference ---------------------------------------------------------------------------------------------

    def _direct(self) -> Steps[str | None]:
        reply = yield from self.account.ask("GET", f"{self.asked.path}/{quote(self.reference, safe='')}")
        if _is_unknown(reply):
            return None
        data = payload(reply, self.account.secrets())
        if not data:
            return None
        task = task_of(data, Api.CLASSIC)
        return task.id if task.external_id in (None, self.reference) else None

    def _direct_second(self) -> Steps[str | None]:
        reply = yield from self.account.ask("GET", f"{TASKS}?external_task_ids={quote(self.reference, safe='')}")
        if _is_unknown(reply):
            return None
        data = payload(reply, self.account.secrets())
        if not isinstance(data, list):
            raise upstream_broke("it is not a list of tasks")
        tasks = [task_of(item, Api.SECOND) for item in data]
        return next((task.id for task in tasks if task.external_id == self.reference), None)

    # --- by the listing -----------------------------------------------------------------------------------------------

    def _pages(self) -> Steps[str | Found]:
        """To an empty page: a short one may be all that the upstream gives at a time."""
        unsure = False
        for page in range(1, MAX_PAGES + 1):
            path = f"{self.asked.path}?pageNum={page}&pageSize={PAGE_SIZE}"
            data = payload((yield from self.account.ask("GET", path)), self.account.secrets())
            if not isinstance(data, list):
                raise upstream_broke("it is not a listing")
            tasks = [_readable(item, Api.CLASSIC) for item in data]
            mine = self._mine(tasks)
            if mine is not None:
                return mine
            unsure = unsure or any(self._may_be_mine(task) for task in tasks)
            if not tasks or self._is_past(tasks):
                return Found.UNSURE if unsure else Found.NO
        return Found.UNSURE

    def _windows(self) -> Steps[str | Found]:
        cursor: object = None
        unsure = False
        for _ in range(MAX_PAGES):
            body = orjson.dumps(self._window(cursor))
            data = payload((yield from self.account.ask("POST", TASKS, body)), self.account.secrets())
            if not isinstance(data, dict):
                raise upstream_broke("it is not a listing")
            # Where nothing matches, the list is not there at all.
            items = data.get("result")
            tasks = [_readable(item, Api.SECOND) for item in items] if isinstance(items, list) else []
            mine = self._mine(tasks)
            if mine is not None:
                return mine
            unsure = unsure or any(self._may_be_mine(task) for task in tasks)
            cursor = data.get("next_cursor")
            if not data.get("has_more"):
                return Found.UNSURE if unsure else Found.NO
        return Found.UNSURE

    def _window(self, cursor: object) -> Mapping[str, object]:
        """In milliseconds, as all times of this API."""
        return {
            "start_time": int((self.since - SKEW_S) * 1000),
            "end_time": int((self.until + SKEW_S) * 1000),
            "limit": PAGE_SIZE,
            **({} if cursor is None else {"cursor": cursor}),
        }

    # --- judging ------------------------------------------------------------------------------------------------------

    def _mine(self, tasks: list[Task | None]) -> str | None:
        return next((task.id for task in tasks if task is not None and task.external_id == self.reference), None)

    def _may_be_mine(self, task: Task | None) -> bool:
        """Of that time, and without a word of whose it is."""
        if task is None or task.created_s is None:
            return True
        in_time = self.since - SKEW_S <= task.created_s <= self.until + SKEW_S
        return in_time and task.external_id is None and task.id not in self.owned

    def _is_past(self, tasks: list[Task | None]) -> bool:
        """The listing is newest first, and what follows is older than the submit."""
        times = [task.created_s for task in tasks if task is not None and task.created_s is not None]
        ordered = len(times) == len(tasks) and times == sorted(times, reverse=True)
        return ordered and times[-1] < self.since - SKEW_S


def _is_unknown(reply: HttpReply) -> bool:
    return reply.status in (200, 400, 404) and said_in(json_of(reply.body)).code in NOT_FOUND


def _readable(item: object, api: Api) -> Task | None:
    try:
        return task_of(item, api)
    except UpstreamError:
        return None
