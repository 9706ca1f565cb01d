"""A stand-in for Kling: it keeps tasks of both generations, makes them wait, run and end, counts their slots, and rejects
what Kling rejects. Tokens are verified: signature, issuer, and both of their times.

Where the documents are silent it takes the strict side: unknown fields and a reference that was used before are refused.
A video to edit is taken to be ``CLIP_S`` long.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import jwt

from relayhub.testing import Answer, JobSimulator, JobStep, Recorded, SimulatedJob, SimulatedState
from relayhub_kling.simulated_rules import KNOWN, SECOND_KINDS, Rejected, check_classic, check_second, require

REQUEST_ID = "c2f6a1d0-5b0e-4a1c-9d7e-3f0b1a2c4d5e"
PNG = b"\x89PNG\r\n\x1a\n simulated image"
CLIP_S = 8
MONTH_S = 30 * 86_400.0
WORDS = {
    SimulatedState.QUEUED: "submitted",
    SimulatedState.RUNNING: "processing",
    SimulatedState.SUCCEEDED: "succeed",
    SimulatedState.FAILED: "failed",
    SimulatedState.CANCELLED: "failed",
    SimulatedState.EXPIRED: "failed",
}
CODES = {400: 1201, 401: 1002, 403: 1103, 404: 1203, 429: 1302, 500: 5000, 503: 5001, 504: 5002}
SECOND = "second"


@dataclass(frozen=True, slots=True)
class _Route:
    """``kind``: the path that a task is made at, which is also where it is polled; ``SECOND`` for its generation."""

    step: JobStep
    kind: str = ""
    id: str = ""


class KlingSimulator(JobSimulator):
    """``accounts``: access key to secret key; ``keys``: single API keys; ``slots``: tasks that the account may have at a
    time, images counted one by one (``None``: any number); ``lists_references``: whether tasks repeat the
    external_task_id."""

    def __init__(
        self,
        *,
        accounts: Mapping[str, str] | None = None,
        keys: tuple[str, ...] = (),
        slots: int | None = None,
        lists_references: bool = True,
        **more: Any,
    ) -> None:
        super().__init__(**{"link_s": MONTH_S, "record_s": MONTH_S, **more})
        self._accounts = dict(accounts or {})
        self._keys = keys
        self._slots = slots
        self._lists_references = lists_references

    def make_id(self, number: int) -> str:
        return f"8492031177640{number:05d}"

    def error(self, status: int) -> Answer:
        return _refusal(status, CODES.get(status, 5000), f"It failed with {status}.")

    def callback(self, job: SimulatedJob) -> object:
        return self._second(job) if job.kind == SECOND else self._classic(job)

    def result(self, job: SimulatedJob, name: str) -> Answer:
        if name.endswith(".png"):
            return Answer(body=PNG, headers={"content-type": "image/png"})
        return super().result(job, name)

    def step(self, request: Recorded) -> JobStep:
        return _route(request).step

    def respond(self, request: Recorded) -> Answer:
        try:
            self._check_key(request)
            return self._served(request, _route(request))
        except Rejected as rejected:
            return _refusal(rejected.status, rejected.code, rejected.message)

    def _served(self, request: Recorded, route: _Route) -> Answer:
        match route.step, route.kind == SECOND:
            case JobStep.SUBMIT, True:
                return self._create_second(request)
            case JobStep.SUBMIT, False:
                return self._create(request, route.kind)
            case JobStep.POLL, True:
                return self._by_ids(request)
            case JobStep.POLL, False:
                return _success(self._classic(self._job(route)))
            case JobStep.LIST, True:
                return self._window(request) if request.method == "POST" else self._by_ids(request)
            case JobStep.LIST, False:
                return self._pages(request, route.kind)
            case _:
                raise Rejected(404, 1202, "request method or path is not supported")

    # --- who asks -----------------------------------------------------------------------------------------------------

    def _check_key(self, request: Recorded) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if not token:
            raise Rejected(401, 1001, "Authorization is empty")
        if scheme != "Bearer":
            raise Rejected(401, 1002, "Authorization is not valid")
        if token not in self._keys:
            self._check_token(token)

    def _check_token(self, token: str) -> None:
        try:
            claims = jwt.decode(token, options={"verify_signature": False})
            secret = self._accounts[claims["iss"]]
        except (jwt.InvalidTokenError, KeyError) as error:
            raise Rejected(401, 1002, "access key not found") from error
        try:
            # The times are checked below, by the simulator's clock.
            jwt.decode(
                token,
                secret,
                algorithms=["HS256"],
                options={"verify_exp": False, "verify_nbf": False, "require": ["exp", "nbf"]},
            )
        except jwt.InvalidTokenError as error:
            raise Rejected(401, 1000, "signature is invalid") from error
        if jwt.get_unverified_header(token) != {"alg": "HS256", "typ": "JWT"} or type(claims["exp"]) is not int:
            raise Rejected(401, 1002, "Authorization is not valid")
        if claims["nbf"] > self.now():
            raise Rejected(401, 1003, "token is not valid yet")
        if claims["exp"] <= self.now():
            raise Rejected(401, 1004, "token is expired")

    # --- making -------------------------------------------------------------------------------------------------------

    def _create(self, request: Recorded, path: str) -> Answer:
        body = request.json()
        slots = check_classic(path, body)
        return _success(self._classic(self._accept(body, body, path, slots), brief=True))

    def _create_second(self, request: Recorded) -> Answer:
        _, kind, model = request.path.split("/")
        body = request.json()
        check_second(kind, model, body)
        options = body.get("options", {})
        job = self._accept(body, options if isinstance(options, dict) else {}, SECOND, 1)
        return _success(self._second(job, brief=True))

    def _accept(self, body: Mapping[str, object], options: Mapping[str, object], kind: str, slots: int) -> SimulatedJob:
        reference, callback_url = options.get("external_task_id"), options.get("callback_url")
        if reference is not None and any(job.asked.get("reference") == reference for job in self.listing()):
            raise Rejected(400, 1201, "external_task_id already exists")
        self._check_slots(slots)
        return self.accept(
            {"body": body, "reference": reference, "slots": slots},
            handle=str(reference or body.get("prompt")),
            kind=kind,
            callback_url=str(callback_url) if callback_url else None,
        )

    def _check_slots(self, wanted: int) -> None:
        busy = sum(int(str(job.asked["slots"])) for job in self.jobs.values() if self.state(job).open)
        if self._slots is not None and busy + wanted > self._slots:
            raise Rejected(429, 1303, "parallel task over resource pack limit")

    # --- looking ------------------------------------------------------------------------------------------------------

    def _job(self, route: _Route) -> SimulatedJob:
        found = [job for job in self.listing() if job.kind == route.kind and self._is(job, route.id)]
        if not found:
            raise Rejected(404, 1203, "task not found")
        return found[0]

    def _is(self, job: SimulatedJob, id_: str) -> bool:
        return id_ in (job.id, job.asked["reference"])

    def _pages(self, request: Recorded, path: str) -> Answer:
        query = parse_qs(request.query)
        page, size = _number(query, "pageNum", 1, 1000), _number(query, "pageSize", 30, 500)
        tasks = [self._classic(job) for job in self.listing() if job.kind == path]
        return _success(tasks[(page - 1) * size : page * size])

    def _by_ids(self, request: Recorded) -> Answer:
        query = parse_qs(request.query)
        ids = ",".join(query.get("task_ids", [])).split(",")
        references = ",".join(query.get("external_task_ids", [])).split(",")
        jobs = [job for job in self.listing() if job.kind == SECOND]
        return _success([self._second(job) for job in jobs if job.id in ids or job.asked["reference"] in references])

    def _window(self, request: Recorded) -> Answer:
        body: dict[str, Any] = request.json()
        require("limit", 1 <= body.get("limit", 100) <= 500)
        first = int(body.get("cursor", 0))
        jobs = [
            job
            for job in self.listing()
            if job.kind == SECOND and body["start_time"] <= job.created_at * 1000 <= body["end_time"]
        ]
        page = jobs[first : first + body.get("limit", 100)]
        more = len(jobs) > first + len(page)
        listed = {"result": [self._second(job) for job in page]} if page else {}
        return _success({**listed, "next_cursor": str(first + len(page)), "has_more": more})

    # --- tasks --------------------------------------------------------------------------------------------------------

    def _classic(self, job: SimulatedJob, *, brief: bool = False) -> dict[str, object]:
        """``brief``: as the submit answers."""
        state = self.state(job)
        reference = job.asked["reference"]
        task: dict[str, object] = {
            "task_id": job.id,
            "task_status": WORDS[state],
            "task_info": {"external_task_id": reference} if reference and self._lists_references else {},
            "created_at": round(job.created_at * 1000),
            "updated_at": round(self.changed_at(job) * 1000),
        }
        if brief:
            return task
        task["task_status_msg"] = job.fate.failure[1] if state is SimulatedState.FAILED and job.fate.failure else ""
        if state is SimulatedState.SUCCEEDED:
            images = job.kind.startswith("/v1/images/")
            task["final_unit_deduction"] = "3.5"
            task["task_result"] = {"images": self._images(job)} if images else {"videos": [self._video(job)]}
        return task

    def _second(self, job: SimulatedJob, *, brief: bool = False) -> dict[str, object]:
        state = self.state(job)
        word = "succeeded" if state is SimulatedState.SUCCEEDED else WORDS[state]
        reference = job.asked["reference"]
        task: dict[str, object] = {
            "id": job.id,
            "status": word,
            "create_time": round(job.created_at * 1000),
            "update_time": round(self.changed_at(job) * 1000),
            **({"external_id": reference} if reference and self._lists_references else {}),
        }
        if brief:
            return task
        task["message"] = job.fate.failure[1] if state is SimulatedState.FAILED and job.fate.failure else ""
        if state is SimulatedState.SUCCEEDED:
            task["outputs"] = [{"type": "video", **self._video(job)}]
            task["billing"] = [{"charge_type": "unit", "package_type": "video", "amount": "3.00"}]
        return task

    def _video(self, job: SimulatedJob) -> dict[str, object]:
        body = job.asked["body"]
        said: dict[str, Any] = body if isinstance(body, dict) else {}
        inner = said.get("settings", said)
        options = said.get("options", said)
        edits = "base_video" in str(said) or "'base'" in str(said.get("video_list"))
        seconds = CLIP_S if edits else int(inner.get("duration", 5))
        marked = options.get("watermark_info", {}).get("enabled")
        return {
            "id": f"{job.id}-v",
            "url": self.link(job, "video.mp4"),
            "watermark_url": self.link(job, "watermarked.mp4") if marked else "",
            "duration": f"{seconds}.041",
        }

    def _images(self, job: SimulatedJob) -> list[dict[str, object]]:
        count = int(str(job.asked["slots"]))
        return [{"index": index, "url": self.link(job, f"{index}.png")} for index in range(count)]


def _route(request: Recorded) -> _Route:
    path, (head, _, tail) = request.path, request.path.rpartition("/")
    posts = request.method == "POST"
    if path == "/tasks":
        polls = not posts and "task_ids=" in request.query and "external_task_ids=" not in request.query
        return _Route(JobStep.POLL if polls else JobStep.LIST, SECOND)
    if posts and path.count("/") == 2 and head.removeprefix("/") in SECOND_KINDS:
        return _Route(JobStep.SUBMIT, SECOND)
    if path in KNOWN:
        return _Route(JobStep.SUBMIT if posts else JobStep.LIST, path)
    if head in KNOWN and request.method == "GET":
        return _Route(JobStep.POLL, head, tail)
    return _Route(JobStep.OTHER)


def _success(data: object) -> Answer:
    return Answer.json({"code": 0, "message": "SUCCEED", "request_id": REQUEST_ID, "data": data})


def _refusal(status: int, code: int, message: str) -> Answer:
    return Answer.json({"code": code, "message": message, "request_id": REQUEST_ID}, status)


def _number(query: Mapping[str, list[str]], name: str, usual: int, most: int) -> int:
    text = query.get(name, [str(usual)])[0]
    require(name, text.isdecimal() and 1 <= int(text) <= most, text)
    return int(text)
