"""A stand-in for Ark: it keeps tasks, makes them wait, run and expire, bills tokens, and rejects what Ark rejects.

Strict where Ark is: top-level parameters. Lax where Ark is: flags in the prompt (`` --dur 12``) override them unseen, and the
bill follows. Reference videos are taken to be ``REFERENCE_S`` (see :mod:`simulated_rules`) long each.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from relayhub.testing import Answer, JobSimulator, JobStep, Recorded, SimulatedJob, SimulatedState
from relayhub_seedance.simulated_rules import (
    Rejected,
    check_image,
    check_video,
    flags_in,
    input_s,
    number,
    prompt_of,
    require,
    tokens_of,
    video_model,
)

TASKS = "/contents/generations/tasks"
IMAGES = "/images/generations"
REQUEST_ID = "0217943000001237f1e0c9b2a"
PNG = b"\x89PNG\r\n\x1a\n simulated image"
JPEG = b"\xff\xd8\xff\xe0 simulated image"


STATUS_CODES = {
    400: ("InvalidParameter", "BadRequest"),
    401: ("AuthenticationError", "Unauthorized"),
    403: ("AccountOverdueError", "Forbidden"),
    404: ("InvalidEndpointOrModel.NotFound", "NotFound"),
    409: ("InvalidAction.RunningTaskDeletion", "Conflict"),
    429: ("ModelAccountRpmRateLimitExceeded", "TooManyRequests"),
    503: ("ServerOverloaded", "ServiceUnavailable"),
}


class ArkSimulator(JobSimulator):
    """``keys``: what is accepted as an API key. ``root``: the path of the base URL. ``echoes``: whether tasks repeat the
    safety_identifier that they were made with."""

    def __init__(
        self, *, keys: tuple[str, ...] = ("ark-key",), root: str = "/api/v3", echoes: bool = True, **more: Any
    ) -> None:
        super().__init__(**more)
        self._keys = keys
        self._root = root
        self._echoes = echoes

    def make_id(self, number: int) -> str:
        return f"cgt-20261120193001-{number:05d}"

    def lane(self, job: SimulatedJob) -> str:
        return str(job.asked["model"])

    def callback(self, job: SimulatedJob) -> object:
        return self.task(job)

    def error(self, status: int) -> Answer:
        code, kind = STATUS_CODES.get(status, ("InternalServiceError", "InternalServerError"))
        return _error(status, code, f"It failed with {status}.", kind)

    def step(self, request: Recorded) -> JobStep:
        path = request.path.removeprefix(self._root)
        match request.method, path == TASKS, path.startswith(f"{TASKS}/"):
            case "POST", True, _:
                return JobStep.SUBMIT
            case "GET", True, _:
                return JobStep.LIST
            case "GET", _, True:
                return JobStep.POLL
            case "DELETE", _, True:
                return JobStep.CANCEL
            case _:
                return JobStep.PAY if path == IMAGES else JobStep.OTHER

    def respond(self, request: Recorded) -> Answer:
        try:
            self._check_key(request)
            return self._served(request)
        except Rejected as rejected:
            kind = STATUS_CODES.get(rejected.status, ("", "BadRequest"))[1]
            return _error(rejected.status, rejected.code, rejected.message, kind)

    def _served(self, request: Recorded) -> Answer:
        serve: Mapping[JobStep, Callable[[Recorded], Answer]] = {
            JobStep.SUBMIT: self._create,
            JobStep.LIST: self._list,
            JobStep.POLL: lambda asked: Answer.json(self.task(self._job(asked))),
            JobStep.CANCEL: self._delete,
            JobStep.PAY: self._paint,
        }
        return serve.get(self.step(request), _no_route)(request)

    def _check_key(self, request: Recorded) -> None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or key not in self._keys:
            raise Rejected(401, "AuthenticationError", "The API key in the request is missing or invalid.")

    # --- tasks --------------------------------------------------------------------------------------------------------

    def _create(self, request: Recorded) -> Answer:
        body = _said(request)
        check_video(body)
        asked = {**body, **flags_in(prompt_of(body))}
        identifier = body.get("safety_identifier")
        job = self.accept(
            asked,
            handle=str(identifier or prompt_of(body)),
            callback_url=_text_or_none(body.get("callback_url")),
            expires_s=number(body.get("execution_expires_after"), 172_800),
        )
        return Answer.json({"id": job.id, **({"safety_identifier": identifier} if self._echoes and identifier else {})})

    def _job(self, request: Recorded) -> SimulatedJob:
        job = self.known(request.path.rpartition("/")[2])
        if job is None:
            raise Rejected(404, "ResourceNotFound", "The specified task is not found.")
        return job

    def _delete(self, request: Recorded) -> Answer:
        job = self._job(request)
        match self.state(job):
            case SimulatedState.QUEUED:
                self.cancel(job)
            case SimulatedState.RUNNING | SimulatedState.CANCELLED:
                raise Rejected(409, "InvalidAction.RunningTaskDeletion", "The task is running and cannot be deleted.")
            case _:
                self.forget(job)
        return Answer.json({})

    def _list(self, request: Recorded) -> Answer:
        query = parse_qs(request.query, keep_blank_values=True)
        number, size = (_page(query, name, usual) for name, usual in (("page_num", 1), ("page_size", 10)))
        filters = {name.removeprefix("filter."): values for name, values in query.items() if name.startswith("filter.")}
        tasks = [self.task(job) for job in self.listing()]
        fitting = [task for task in tasks if all(_passes(task, name, values) for name, values in filters.items())]
        return Answer.json({"total": len(fitting), "items": fitting[(number - 1) * size : number * size]})

    def task(self, job: SimulatedJob) -> dict[str, object]:
        """The object of the GET answer, the listing and the callbacks."""
        state = self.state(job)
        identifier = job.asked.get("safety_identifier")
        task: dict[str, object] = {
            "id": job.id,
            "model": job.asked["model"],
            "status": state.value,
            "created_at": int(job.created_at),
            "updated_at": int(self.changed_at(job)),
            "service_tier": job.asked.get("service_tier", "default"),
            "execution_expires_after": job.asked.get("execution_expires_after", 172_800),
            **({"safety_identifier": identifier} if self._echoes and identifier else {}),
        }
        if state is SimulatedState.FAILED and job.fate.failure is not None:
            code, message = job.fate.failure
            task["error"] = {"code": code, "message": f"{message} Request id: {REQUEST_ID}"}
        return {**task, **self._done(job)} if state is SimulatedState.SUCCEEDED else task

    def _done(self, job: SimulatedJob) -> dict[str, object]:
        asked, traits = job.asked, video_model(job.asked)
        frames = asked.get("frames")
        seconds = number(asked.get("duration"), 5)
        count = int(number(frames, 0)) or int((traits.max_s if seconds == -1 else seconds) * 24) + 1
        resolution = str(asked.get("resolution", traits.resolution))
        suffix = str(asked.get("output_format", "mp4"))
        content = {"video_url": self.link(job, f"video.{suffix}")}
        if asked.get("return_last_frame"):
            content["last_frame_url"] = self.link(job, "last.jpg")
        tokens = tokens_of(resolution, str(asked.get("ratio", "adaptive")), count + 24 * input_s(asked, traits))
        length = {"frames": frames} if frames else {"duration": int((count - 1) / 24)}
        return {
            "content": content,
            "seed": asked.get("seed", 58_944),
            "resolution": resolution,
            "ratio": asked.get("ratio", "16:9"),
            **length,
            "framespersecond": 24,
            "generate_audio": traits.audio and bool(asked.get("generate_audio", True)),
            "usage": {"completion_tokens": tokens, "total_tokens": tokens},
            **({"output_format": suffix} if "output_format" in asked else {}),
        }

    # --- images -------------------------------------------------------------------------------------------------------

    def _paint(self, request: Recorded) -> Answer:
        body = _said(request)
        pixels, count = check_image(body)
        inline = body.get("response_format") == "b64_json"
        kind = str(body.get("output_format", "jpeg"))
        raw = PNG if kind == "png" else JPEG
        side = math.isqrt(pixels)
        items = [
            {"b64_json": base64.b64encode(raw).decode()}
            if inline
            else {"url": self.publish(Answer(body=raw, headers={"content-type": f"image/{kind}"}), f"image.{kind}")}
            for _ in range(count)
        ]
        usage = {
            "generated_images": count,
            "output_tokens": count * pixels // 256,
            "total_tokens": count * pixels // 256,
        }
        data = [{**item, "size": f"{side}x{side}"} for item in items]
        answer = Answer.json({"model": body["model"], "created": int(self.now()), "data": data, "usage": usage})
        self.executions[str(body["prompt"])] += 1
        return Answer(answer.status, answer.body, answer.headers, executed=True)


def _said(request: Recorded) -> dict[str, object]:
    """The official SDK sends what is not said as null."""
    return {name: value for name, value in request.json().items() if value is not None}


# --- what is checked --------------------------------------------------------------------------------------------------


def _error(status: int, code: str, message: str, kind: str) -> Answer:
    said = f"{message} Request id: {REQUEST_ID}"
    return Answer.json({"error": {"code": code, "message": said, "param": "", "type": kind}}, status)


def _no_route(_request: Recorded) -> Answer:
    return _error(404, "InvalidAction.NotFound", "There is nothing at this path.", "NotFound")


def _passes(task: Mapping[str, object], name: str, values: list[str]) -> bool:
    field = {"task_ids": "id"}.get(name, name)
    return str(task.get(field)) in values


def _page(query: Mapping[str, list[str]], name: str, usual: int) -> int:
    text = query.get(name, [str(usual)])[0]
    require(name, text.isdecimal() and 1 <= int(text) <= 500)
    return int(text)


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None
