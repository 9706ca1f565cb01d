"""A stand-in for DashScope: it keeps tasks, makes them wait and run, forgets them after a day, bills seconds and images,
and rejects what DashScope rejects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qs

import orjson

from relayhub.testing import Answer, JobSimulator, JobStep, Recorded, SimulatedJob, SimulatedState
from relayhub_happyhorse.simulated_rules import Rejected, check_image, check_video, prompt_of, require, video_usage

VIDEOS = "/services/aigc/video-generation/video-synthesis"
IMAGE_TASKS = "/services/aigc/image-generation/generation"
IMAGES = "/services/aigc/multimodal-generation/generation"
TASKS = "/tasks"
REQUEST_ID = "6a1f0d3c-77b2-9e40-b2c1-8d55e0f4a901"
PNG = b"\x89PNG\r\n\x1a\n simulated image"
BEIJING = timezone(timedelta(hours=8))
DAY_S = 86_400.0
MAX_PAGE_SIZE = 100

STATUS_CODES = {
    400: "InvalidParameter",
    401: "InvalidApiKey",
    403: "AccessDenied",
    404: "ModelNotFound",
    429: "Throttling.RateQuota",
    503: "ServiceUnavailable",
}
WORDS: Mapping[SimulatedState, str] = {
    SimulatedState.QUEUED: "PENDING",
    SimulatedState.RUNNING: "RUNNING",
    SimulatedState.SUCCEEDED: "SUCCEEDED",
    SimulatedState.FAILED: "FAILED",
    SimulatedState.CANCELLED: "CANCELED",
    SimulatedState.EXPIRED: "FAILED",
}


class DashScopeSimulator(JobSimulator):
    """``keys``: what is accepted as an API key; ``workspaces``: those that the keys may name. ``root``: the path of the
    base URL."""

    def __init__(
        self,
        *,
        keys: tuple[str, ...] = ("sk-dashscope",),
        workspaces: tuple[str, ...] = (),
        root: str = "/api/v1",
        record_s: float = DAY_S,
        **more: Any,
    ) -> None:
        super().__init__(record_s=record_s, **more)
        self._keys = keys
        self._workspaces = workspaces
        self._root = root

    def make_id(self, number: int) -> str:
        return f"0b7f1c52-9a3e-4d10-8c77-{number:012d}"

    def lane(self, job: SimulatedJob) -> str:
        return str(job.asked["model"])

    def result(self, job: SimulatedJob, name: str) -> Answer:
        return _png() if job.kind == "image" else super().result(job, name)

    def error(self, status: int) -> Answer:
        return _error(status, STATUS_CODES.get(status, "InternalError"), f"It failed with {status}.")

    def step(self, request: Recorded) -> JobStep:
        path = request.path.removeprefix(self._root).rstrip("/")
        match request.method:
            case "POST" if path in (VIDEOS, IMAGE_TASKS):
                return JobStep.SUBMIT
            case "POST" if path == IMAGES:
                return JobStep.PAY
            case "POST" if path.startswith(f"{TASKS}/") and path.endswith("/cancel"):
                return JobStep.CANCEL
            case "GET" if path == TASKS:
                return JobStep.LIST
            case "GET" if path.startswith(f"{TASKS}/"):
                return JobStep.POLL
            case _:
                return JobStep.OTHER

    def respond(self, request: Recorded) -> Answer:
        try:
            self._check_caller(request)
            return self._served(request)
        except Rejected as rejected:
            return _error(rejected.status, rejected.code, rejected.message)

    def _served(self, request: Recorded) -> Answer:
        serve: Mapping[JobStep, Callable[[Recorded], Answer]] = {
            JobStep.SUBMIT: self._create,
            JobStep.LIST: self._list,
            JobStep.POLL: self._poll,
            JobStep.CANCEL: self._cancel,
            JobStep.PAY: self._paint,
        }
        return serve.get(self.step(request), _no_route)(request)

    def _check_caller(self, request: Recorded) -> None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or key not in self._keys:
            raise Rejected(401, "InvalidApiKey", "Invalid API-key provided.")
        workspace = request.headers.get("x-dashscope-workspace")
        if workspace is not None and workspace not in self._workspaces:
            raise Rejected(403, "Workspace.AccessDenied", "Workspace access denied.")

    # --- tasks --------------------------------------------------------------------------------------------------------

    def _create(self, request: Recorded) -> Answer:
        if request.headers.get("x-dashscope-async") != "enable":
            raise Rejected(403, "AccessDenied", "current user api does not support synchronous calls.")
        body = _said(request)
        video = request.path.removeprefix(self._root) == VIDEOS
        if video:
            check_video(body)
        else:
            check_image(body, task=True)
        job = self.accept(body, handle=prompt_of(body), kind="video" if video else "image")
        return _answer({"output": {"task_status": "PENDING", "task_id": job.id}})

    def _poll(self, request: Recorded) -> Answer:
        id_ = request.path.rpartition("/")[2]
        job = self.known(id_)
        if job is None:
            return _answer({"output": {"task_id": id_, "task_status": "UNKNOWN"}})
        return _answer(self.task(job))

    def _cancel(self, request: Recorded) -> Answer:
        job = self.known(request.path.split("/")[-2])
        if job is None or self.state(job) is not SimulatedState.QUEUED:
            wrong = "Failed to cancel the task, please confirm if the task is in PENDING status."
            raise Rejected(400, "UnsupportedOperation", wrong)
        self.cancel(job)
        return _answer({})

    def _list(self, request: Recorded) -> Answer:
        query = {name: values[0] for name, values in parse_qs(request.query).items()}
        page, size = (_whole(query, name, usual) for name, usual in (("page_no", 1), ("page_size", 10)))
        require("page_size", size <= MAX_PAGE_SIZE)
        since, until = (_time(query.get(name)) for name in ("start_time", "end_time"))
        fitting = [
            self._row(job)
            for job in self.listing()
            if (since or self.now() - DAY_S) <= job.created_at <= (until or self.now())
            and query.get("model_name") in (None, job.asked["model"])
            and query.get("status") in (None, WORDS[self.state(job)])
        ]
        pages = {"total": len(fitting), "total_page": -(-len(fitting) // size), "page_no": page, "page_size": size}
        return _answer({**pages, "data": fitting[(page - 1) * size : page * size]})

    def _row(self, job: SimulatedJob) -> dict[str, object]:
        """Of the listing: much less than the task itself."""
        return {
            "api_key_id": "1",
            "caller_parent_id": "2",
            "caller_uid": "2",
            "gmt_create": int(job.created_at * 1000),
            "model_name": job.asked["model"],
            "region": "cn-beijing",
            "request_id": REQUEST_ID,
            "status": WORDS[self.state(job)],
            "task_id": job.id,
            "user_api_unique_key": f"apikey:v1:aigc:{job.kind}:{job.asked['model']}",
        }

    def task(self, job: SimulatedJob) -> dict[str, object]:
        """What a poll answers."""
        state = self.state(job)
        output: dict[str, object] = {
            "task_id": job.id,
            "task_status": WORDS[state],
            "submit_time": _shown(job.created_at),
        }
        if not state.open:
            output["end_time"] = _shown(self.changed_at(job))
        if state is SimulatedState.FAILED and job.fate.failure is not None:
            output["code"], output["message"] = job.fate.failure
        if state is not SimulatedState.SUCCEEDED:
            return {"output": output}
        return self._image_done(job, output) if job.kind == "image" else self._video_done(job, output)

    def _video_done(self, job: SimulatedJob, output: dict[str, object]) -> dict[str, object]:
        done = {"orig_prompt": prompt_of(job.asked), "video_url": self.link(job, "video.mp4")}
        return {"output": {**output, **done}, "usage": video_usage(job.asked)}

    def _image_done(self, job: SimulatedJob, output: dict[str, object]) -> dict[str, object]:
        count = check_image(job.asked, task=True)
        links = [self.link(job, f"{number}.png") for number in range(count)]
        return {"output": {**output, **_choices(links)}, "usage": _image_usage(job.asked, count)}

    # --- images at once -----------------------------------------------------------------------------------------------

    def _paint(self, request: Recorded) -> Answer:
        if "x-dashscope-async" in request.headers:
            raise Rejected(403, "AccessDenied", "current user api does not support asynchronous calls.")
        body = _said(request)
        count = check_image(body, task=False)
        links = [self.publish(_png(), "image.png") for _ in range(count)]
        self.executions[prompt_of(body)] += 1
        done = _answer({"output": _choices(links), "usage": _image_usage(body, count)})
        return Answer(done.status, done.body, done.headers, executed=True)


# --- pieces -----------------------------------------------------------------------------------------------------------


def _said(request: Recorded) -> dict[str, Any]:
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise Rejected(400, "InvalidParameter", "The content type must be application/json.")
    try:
        return request.json()
    except ValueError as error:
        raise Rejected(
            400, "InvalidParameter", "Required body invalid, please check the request body format."
        ) from error


def _answer(value: Mapping[str, object], status: int = 200) -> Answer:
    return Answer(status, orjson.dumps({"request_id": REQUEST_ID, **value}))


def _error(status: int, code: str, message: str) -> Answer:
    return _answer({"code": code, "message": message}, status)


def _no_route(_request: Recorded) -> Answer:
    return _error(404, "InvalidURL", "There is nothing at this path.")


def _png() -> Answer:
    return Answer(body=PNG, headers={"content-type": "image/png"})


def _choices(links: list[str]) -> dict[str, object]:
    messages = [{"role": "assistant", "content": [{"image": link, "type": "image"}]} for link in links]
    return {"finished": True, "choices": [{"finish_reason": "stop", "message": message} for message in messages]}


def _image_usage(body: Mapping[str, Any], count: int) -> dict[str, object]:
    return {"image_count": count, "size": body.get("parameters", {}).get("size", "1024*1024")}


def _shown(moment: float) -> str:
    """Without a zone, as there."""
    return datetime.fromtimestamp(moment, UTC).astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def _time(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=BEIJING).timestamp()
    except ValueError as error:
        raise Rejected(400, "InvalidParameter", f"{text} is not a time such as 20261120193000") from error


def _whole(query: Mapping[str, str], name: str, usual: int) -> int:
    text = query.get(name, str(usual))
    require(name, text.isdecimal() and int(text) >= 1)
    return int(text)
