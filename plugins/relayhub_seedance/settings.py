"""What a provider entry of type ``seedance`` says."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from relayhub.sdk import BaseUrl, UpstreamKey
from relayhub_seedance.traits import ImageTraits, VideoTraits

Pause = Annotated[float, Field(ge=1, le=3600)]

EXPIRES_S = {"default": 7_200, "flex": 172_800}
"""The flex tier may take hours."""


class Polling(BaseModel):
    """How often the upstream is asked about a job."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    first_s: Pause = Field(5, description="Seconds from the submit to the first poll.")
    every_s: Pause = Field(8, description="Seconds between polls.")
    slow_after_s: Pause = Field(120, description="Seconds after which polls become rarer.")
    slow_every_s: Pause = Field(20, description="Seconds between these rarer polls.")
    patient_after_s: Pause = Field(1800, description="Seconds after which hardly anything is expected.")
    patient_every_s: Pause = Field(300, description="Seconds between polls then.")


class SeedanceSettings(BaseModel):
    """YAML keys beside the ones that every provider has."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, hide_input_in_errors=True)

    base_url: BaseUrl = Field(
        "https://ark.cn-beijing.volces.com/api/v3",
        description="Where the API is; BytePlus: https://ark.ap-southeast.bytepluses.com/api/v3 (other keys, other models).",
    )
    api_key: UpstreamKey = Field(description="The Ark API key; access key and secret key do not work for these routes.")
    service_tier: Literal["default", "flex"] = Field(
        "default", description="The tier that this provider's prices are for; flex is cheaper and takes hours."
    )
    expires_after_s: int | None = Field(
        None,
        ge=3_600,
        le=259_200,
        description="Seconds after which the upstream gives a job up; default: 7200, flex 172800.",
    )
    poll: Polling = Field(default_factory=Polling, description="How often the upstream is asked about a job.")
    mark_jobs: bool = Field(
        True,
        description="Send a hash of the job's id as safety_identifier: a submit without an answer is found again by it.",
    )
    account_references: bool = Field(
        False, description="Whether clients may name things of the upstream account: asset://… and draft_task_id."
    )
    inline_images: bool = Field(False, description="Have images sent in the answer (base64) instead of as links.")
    model_traits: dict[str, VideoTraits] = Field(
        {}, description="Video model or endpoint id (a final * stands for any rest) and what differs for it."
    )
    image_traits: dict[str, ImageTraits] = Field(
        {}, description="Image model or endpoint id (a final * stands for any rest) and what differs for it."
    )

    @property
    def gives_up_s(self) -> int:
        return self.expires_after_s or EXPIRES_S[self.service_tier]

    @field_validator("base_url")
    @classmethod
    def _no_endpoint(cls, value: str) -> str:
        if value.endswith(("/tasks", "/generations")):
            raise ValueError("it must end before the endpoint, such as https://ark.example.com/api/v3")
        return value
