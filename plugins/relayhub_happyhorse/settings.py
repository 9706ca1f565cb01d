"""What a provider entry of type ``happyhorse`` says."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from relayhub.sdk import BaseUrl, PollPace, UpstreamKey
from relayhub_happyhorse.traits import ImageTraits, VideoTraits

Pause = Annotated[float, Field(ge=1, le=3600)]
Region = Literal["cn-beijing", "ap-southeast-1", "us-east-1", "eu-central-1", "cn-hongkong", "ap-northeast-1"]

SHARED_HOSTS = {"cn-beijing": "https://dashscope.aliyuncs.com", "us-east-1": "https://dashscope-us.aliyuncs.com"}
"""Of regions that can be reached without a workspace's own host. Singapore's shared host is announced to end."""

GONE_AFTER_S = 86_400.0
"""From then on the upstream no longer knows a task."""


class Polling(BaseModel):
    """How often the upstream is asked about a job. An account may ask 20 times a second, over all its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    first_s: Pause = Field(10, description="Seconds from the submit to the first poll.")
    every_s: Pause = Field(15, description="Seconds between polls.")
    slow_after_s: Pause = Field(300, description="Seconds after which polls become rarer.")
    slow_every_s: Pause = Field(30, description="Seconds between these rarer polls.")
    patient_after_s: Pause = Field(3600, description="Seconds after which hardly anything is expected.")
    patient_every_s: Pause = Field(300, description="Seconds between polls then.")

    @property
    def pace(self) -> PollPace:
        return PollPace(**self.model_dump(), limit_s=GONE_AFTER_S)


def _image_polling() -> Polling:
    """Images take seconds, not minutes."""
    return Polling(first_s=4, every_s=5, slow_after_s=60, slow_every_s=15, patient_after_s=900)


class HappyHorseSettings(BaseModel):
    """YAML keys beside the ones that every provider has."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, hide_input_in_errors=True)

    api_key: UpstreamKey = Field(description="The Model Studio API key; it belongs to one region.")
    region: Region = Field(
        "cn-beijing",
        description="Where key and models are: cn-beijing, ap-southeast-1 (Singapore), us-east-1 (Virginia), eu-central-1 "
        "(Frankfurt), cn-hongkong, ap-northeast-1 (Tokyo).",
    )
    workspace: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$",
        description="The workspace's id: its own host is used then. Needed outside of Beijing and Virginia.",
    )
    base_url: BaseUrl | None = Field(
        None, description="Where the API is, up to /api/v1; by default it follows from region and workspace."
    )
    poll: Polling = Field(default_factory=Polling, description="How often the upstream is asked about a video.")
    image_poll: Polling = Field(
        default_factory=_image_polling, description="How often the upstream is asked about an image task."
    )
    account_references: bool = Field(
        False, description="Whether clients may name files of the upstream account's temporary store: oss://…"
    )
    model_traits: dict[str, VideoTraits] = Field(
        {}, description="Video model (a final * stands for any rest) and what differs for it."
    )
    image_traits: dict[str, ImageTraits] = Field(
        {}, description="Image model (a final * stands for any rest) and what differs for it."
    )

    @property
    def api_url(self) -> str:
        if self.base_url is not None:
            return self.base_url
        if self.workspace is not None:
            return f"https://{self.workspace}.{self.region}.maas.aliyuncs.com/api/v1"
        return f"{SHARED_HOSTS[self.region]}/api/v1"

    @field_validator("base_url")
    @classmethod
    def _no_endpoint(cls, value: str | None) -> str | None:
        if value is not None and ("/services" in value or value.endswith("/tasks")):
            raise ValueError("it must end before the endpoint, such as https://dashscope.aliyuncs.com/api/v1")
        return value

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.base_url is None and self.workspace is None and self.region not in SHARED_HOSTS:
            raise ValueError(f"the region {self.region} has no shared host: set workspace (or base_url)")
        return self
