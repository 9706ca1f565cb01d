"""What a provider entry of type ``tts`` says."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from relayhub.sdk import BaseUrl, HeaderText, UpstreamKey
from relayhub_tts.traits import LANGUAGES, SpeechTraits
from relayhub_tts.vendor import Vendor
from relayhub_tts.voices import VOICES

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=256)]
SampleRate = Literal[8000, 16000, 22050, 24000, 32000, 44100]
BitRate = Literal[32000, 64000, 128000, 256000]


class Ignorable(StrEnum):
    SPEED = "speed"
    INSTRUCTIONS = "instructions"


BASE_URLS: Mapping[Vendor, str] = {
    Vendor.QWEN: "https://dashscope.aliyuncs.com/api/v1",
    Vendor.MINIMAX: "https://api.minimax.io/v1",
}
ENDPOINTS = ("/generation", "/t2a_v2")
ONLY_FOR: Mapping[str, Vendor] = {
    "workspace": Vendor.QWEN,
    "group_id": Vendor.MINIMAX,
    "sample_rate": Vendor.MINIMAX,
    "bitrate": Vendor.MINIMAX,
}


class TtsSettings(BaseModel):
    """YAML keys beside the ones that every provider has."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, hide_input_in_errors=True)

    vendor: Vendor = Field(description="Whose API it is: qwen (DashScope) or minimax (T2A v2).")
    api_key: UpstreamKey = Field(description="The vendor's API key.")
    base_url: BaseUrl | None = Field(
        None,
        description="Where the API is; default: https://dashscope.aliyuncs.com/api/v1 or https://api.minimax.io/v1.",
    )
    voices: dict[Name, Name] = Field(
        {}, description="Voice that a client names and the vendor's voice, beside the built-in map of OpenAI's names."
    )
    only_mapped_voices: bool = Field(
        False, description="Whether clients may name mapped voices only; otherwise any voice of the account."
    )
    language: Name | None = Field(
        None, description="Language that is spoken unless a client names one; default: the vendor finds out by itself."
    )
    ignore: tuple[Ignorable, ...] = Field(
        (), description="Parameters to leave out where the model does not have them, instead of refusing the request."
    )
    workspace: HeaderText | None = Field(None, description="qwen: the DashScope workspace that calls are made in.")
    group_id: Name | None = Field(None, description="minimax: the GroupId, which older accounts need.")
    sample_rate: SampleRate = Field(
        32000, description="minimax: samples per second, where a client names none (pcm has always 24000)."
    )
    bitrate: BitRate = Field(128000, description="minimax: bits per second of mp3, where a client names none.")
    model_traits: dict[str, SpeechTraits] = Field(
        {}, description="Model id (a final * stands for any rest) and what differs for it."
    )

    @property
    def url(self) -> str:
        return self.base_url or BASE_URLS[self.vendor]

    @property
    def key(self) -> str:
        return self.api_key.get_secret_value()

    def voice_of(self, name: str) -> str | None:
        """The vendor's name of a voice; ``None`` where clients may not name it."""
        mapped = self.voices.get(name) or VOICES[self.vendor].get(name)
        return mapped or (None if self.only_mapped_voices and name not in self.voices.values() else name)

    @model_validator(mode="after")
    def _one_vendors(self) -> Self:
        for name, vendor in ONLY_FOR.items():
            if name in self.model_fields_set and self.vendor is not vendor:
                raise ValueError(f"{name} is for vendor {vendor} only")
        if self.base_url is not None and self.base_url.endswith(ENDPOINTS):
            raise ValueError(f"base_url must end before the endpoint, such as {BASE_URLS[self.vendor]}")
        if self.language is not None and self.language not in LANGUAGES[self.vendor]:
            raise ValueError(f"language must be one of {', '.join(LANGUAGES[self.vendor])}")
        return self
