"""What a provider entry of type ``openai`` says."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from relayhub.sdk import BaseUrl, HeaderText, KeyHeader, UpstreamKey
from relayhub_openai.media_traits import ImageTraits, SpeechTraits, VideoTraits
from relayhub_openai.video_settings import VideoSettings

OPENAI_HOST = "api.openai.com"

ENDPOINTS = (
    "/chat/completions",
    "/completions",
    "/embeddings",
    "/responses",
    "/models",
    "/audio/speech",
    "/images/generations",
    "/images/edits",
    "/videos",
)


class OpenAISettings(BaseModel):
    """YAML keys beside the ones that every provider has."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, hide_input_in_errors=True)

    base_url: BaseUrl = Field(
        "https://api.openai.com/v1", description="Where the API is, with its version: …/v1, no endpoint."
    )
    api_key: UpstreamKey | None = Field(None, description="The upstream's key; a local server may need none.")
    api_key_header: KeyHeader = Field(
        "authorization",
        pattern=r"^[a-z0-9-]+$",
        description="Header that carries the key: authorization (as Bearer), or another one, such as api-key.",
    )
    organization: HeaderText | None = Field(None, description="Sent as OpenAI-Organization.")
    project: HeaderText | None = Field(None, description="Sent as OpenAI-Project.")
    responses: bool | None = Field(
        None, description="Whether the upstream serves /responses itself; default: only OpenAI's own address does."
    )
    translate_to: Literal["chat", "responses"] = Field(
        "chat",
        description="Which of its APIs clients of other dialects are translated to; some models take tools only in one.",
    )
    query: dict[str, str] = Field({}, description="Added to every URL, such as api-version for Azure.")
    videos: VideoSettings = Field(default_factory=VideoSettings, description="How the upstream serves /videos.")
    speech_traits: dict[str, SpeechTraits] = Field(
        {}, description="Speech model (a final * stands for any rest) and what differs for it."
    )
    image_traits: dict[str, ImageTraits] = Field(
        {}, description="Image model (a final * stands for any rest) and what differs for it."
    )
    video_traits: dict[str, VideoTraits] = Field(
        {}, description="Video model (a final * stands for any rest) and what differs for it."
    )

    @property
    def serves_responses(self) -> bool:
        if self.responses is not None:
            return self.responses
        return urlsplit(self.base_url).hostname == OPENAI_HOST or self.translate_to == "responses"

    @field_validator("base_url")
    @classmethod
    def _no_endpoint(cls, value: str) -> str:
        if value.endswith(ENDPOINTS):
            raise ValueError("it must end before the endpoint, such as https://api.example.com/v1")
        return value

    @field_validator("api_key", mode="before")
    @classmethod
    def _empty_key(cls, value: object) -> object:
        """An empty variable in the environment means: no key."""
        return None if value == "" else value
