"""What a provider entry of type ``kling`` says."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from relayhub.sdk import BaseUrl, UpstreamKey
from relayhub_kling.traits import ImageTraits, VideoTraits

Pause = Annotated[float, Field(ge=1, le=3600)]


class Polling(BaseModel):
    """How often the upstream is asked about a job."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    first_s: Pause = Field(5, description="Seconds from the submit to the first poll.")
    every_s: Pause = Field(8, description="Seconds between polls.")
    slow_after_s: Pause = Field(180, description="Seconds after which polls become rarer.")
    slow_every_s: Pause = Field(15, description="Seconds between these rarer polls.")
    patient_after_s: Pause = Field(1800, description="Seconds after which hardly anything is expected.")
    patient_every_s: Pause = Field(300, description="Seconds between polls then.")

    @model_validator(mode="after")
    def _rarer(self) -> Self:
        if not self.every_s <= self.slow_every_s <= self.patient_every_s:
            raise ValueError("every_s, slow_every_s and patient_every_s must not become shorter")
        if self.slow_after_s > self.patient_after_s:
            raise ValueError("slow_after_s must not be after patient_after_s")
        return self


class KlingSettings(BaseModel):
    """YAML keys beside the ones that every provider has."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, hide_input_in_errors=True)

    base_url: BaseUrl = Field(
        "https://api-singapore.klingai.com",
        description="Where the API is, without a version; mainland China: https://api-beijing.klingai.com (other keys).",
    )
    access_key: UpstreamKey | None = Field(None, description="The access key; it goes with secret_key.")
    secret_key: UpstreamKey | None = Field(None, description="The secret key: it signs requests and is never sent.")
    api_key: UpstreamKey | None = Field(
        None, description="A single API key, in place of access_key and secret_key; it is sent as it is."
    )
    gives_up_s: int = Field(
        86_400, ge=3_600, le=2_592_000, description="Seconds after which a job that has not ended is given up."
    )
    poll: Polling = Field(default_factory=Polling, description="How often the upstream is asked about a job.")
    account_references: bool = Field(
        False,
        description="Whether clients may name things of the upstream account: element_list, voice_list and video_id.",
    )
    model_traits: dict[str, VideoTraits] = Field(
        {}, description="Video model (a final * stands for any rest) and what differs for it."
    )
    image_traits: dict[str, ImageTraits] = Field(
        {}, description="Image model (a final * stands for any rest) and what differs for it."
    )

    @field_validator("base_url")
    @classmethod
    def _no_version(cls, value: str) -> str:
        if value.endswith(("/v1", "/videos", "/images", "/tasks", "/generations")):
            raise ValueError("it must end before the version, such as https://api-singapore.klingai.com")
        return value

    @model_validator(mode="after")
    def _one_credential(self) -> Self:
        if (self.access_key is None) is not (self.secret_key is None):
            raise ValueError("access_key and secret_key belong together; give both, or an api_key")
        if (self.api_key is None) is (self.access_key is None):
            raise ValueError("give access_key and secret_key, or an api_key, one of the two")
        return self

    def secrets(self) -> list[str]:
        """The texts that must never be shown."""
        given = (self.access_key, self.secret_key, self.api_key)
        return [key.get_secret_value() for key in given if key is not None]
