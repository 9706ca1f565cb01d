"""The shapes in which clients ask for videos, and who makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import httpx2

from tests.support.media_hub import PER_SECOND_NANO


@dataclass(frozen=True, slots=True)
class Maker:
    provider: str
    model: str
    seconds: int

    @property
    def cost_nano(self) -> int:
        return self.seconds * PER_SECOND_NANO


MAKERS = {
    maker.provider: maker
    for maker in (
        Maker("demo", "demo-video", 3),
        Maker("up", "sora-2", 4),
        Maker("seedance", "doubao-seedance-2-0-260128", 4),
        Maker("happyhorse", "happyhorse-1.0-t2v", 5),
        Maker("kling", "kling-v2-6", 5),
    )
}
REAL = tuple(name for name in MAKERS if name != "demo")


@dataclass(frozen=True, slots=True)
class Shape:
    """``{platform}``, ``{id}`` stand in the paths; ``created``, ``done``: fixtures."""

    submit: str
    status: str
    dialect: str
    created: str
    done: str
    length: str = "duration"
    form: bool = False


HUB = Shape("/api/video/submit", "/api/video/status?jobId={id}", "hub.video", "s000_submit", "s000_status_succeeded")
VIDEOS = Shape(
    "/v1/videos", "/v1/videos/{id}", "openai.videos", "s003_videos_submit", "s003_videos_get_completed", "seconds"
)
GENERATIONS = Shape(
    "/v1/video/generations",
    "/v1/video/generations/{id}",
    "video.generations",
    "s003_generations_submit",
    "s003_generations_get_success",
)
PLATFORM = Shape(
    "/{platform}/v1/videos", "/{platform}/v1/videos/{id}", "platform.videos", "s004_video_submit", "s004_video_get"
)
SHAPES: Mapping[str, Shape] = {
    "api": HUB,
    "videos": VIDEOS,
    "videos form": Shape(
        VIDEOS.submit, VIDEOS.status, VIDEOS.dialect, VIDEOS.created, VIDEOS.done, "seconds", form=True
    ),
    "generations": GENERATIONS,
    "platform": PLATFORM,
    "platform form": Shape(
        PLATFORM.submit, PLATFORM.status, PLATFORM.dialect, PLATFORM.created, PLATFORM.done, form=True
    ),
}


@dataclass(frozen=True, slots=True)
class Begun:
    maker: Maker
    shape: Shape
    prompt: str
    answer: httpx2.Response

    @property
    def id(self) -> str:
        body = self.answer.json()
        return str(body["data"]["jobId"] if "data" in body else body["id"])

    @property
    def status(self) -> str:
        return self.shape.status.format(platform=self.maker.provider, id=self.id)

    @property
    def content(self) -> str:
        return f"/{self.maker.provider}/v1/videos/{self.id}/content"


def begin(client: httpx2.Client, maker: Maker, shape: Shape, prompt: str, **more: object) -> Begun:
    body = {"model": maker.model, "prompt": prompt, shape.length: maker.seconds, **more}
    if shape is HUB:
        body |= {"provider": maker.provider, "user_identifier": "user_123"}
    path = shape.submit.format(platform=maker.provider)
    if shape.form:
        answer = client.post(path, files=[(name, (None, str(value))) for name, value in body.items()])
    else:
        answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return Begun(maker, shape, prompt, answer)
