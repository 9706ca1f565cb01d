"""What a provider entry of type ``gemini`` says."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from relayhub.sdk import BaseUrl, GeminiThinkingStyle, UpstreamKey
from relayhub_gemini.image_traits import ImageTraits

Effort = Literal["minimal", "low", "medium", "high", "xhigh"]
Budget = Annotated[int, Field(ge=1, le=1_000_000)]
Level = Literal["MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH"]


class ModelTraits(BaseModel):
    """What is known about models, where it differs from what relayhub assumes."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    thinking: GeminiThinkingStyle | None = Field(None, description="level, budget (a number of tokens) or none.")
    levels: frozenset[Level] | None = Field(None, description="The thinking levels that it takes.")
    min_budget: int | None = Field(None, ge=0, description="The smallest thinking budget, when thinking is on.")
    max_budget: int | None = Field(None, ge=1, description="The largest thinking budget.")
    disables: bool | None = Field(None, description="Whether thinking can be switched off.")
    max_output_tokens: int | None = Field(None, ge=1, description="The most that the model can write in one answer.")
    json_schema: bool | None = Field(None, description="Whether it takes JSON Schema as it is.")
    validated: bool | None = Field(None, description="Whether it takes the calling mode VALIDATED.")
    signatures: bool | None = Field(None, description="Whether it refuses earlier calls without their signature.")
    result_media: bool | None = Field(None, description="Whether it takes media inside tool results.")
    part_resolution: bool | None = Field(None, description="Whether it takes a media resolution for single parts.")
    penalties: bool | None = Field(None, description="Whether it takes presence and frequency penalties.")


class GeminiSettings(BaseModel):
    """YAML keys beside the ones that every provider has."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, hide_input_in_errors=True)

    base_url: BaseUrl = Field(
        "https://generativelanguage.googleapis.com", description="Where the API is, without its version."
    )
    version: str = Field(
        "v1beta", pattern=r"^v1(alpha|beta)?$", description="The API's version: v1beta, v1 or v1alpha."
    )
    api_key: UpstreamKey = Field(description="The upstream's key.")
    thinking_budgets: dict[Effort, Budget] = Field(
        {}, description="Tokens for each reasoning effort, for models whose thinking takes a budget."
    )
    model_traits: dict[str, ModelTraits] = Field(
        {}, description="Upstream model (a final * stands for any rest) and what is to be known about it."
    )
    image_traits: dict[str, ImageTraits] = Field(
        {}, description="Image model (a final * stands for any rest) and what differs for it."
    )

    @field_validator("base_url")
    @classmethod
    def _without_version(cls, value: str) -> str:
        for version in ("/v1beta", "/v1alpha", "/v1"):
            value = value.removesuffix(version)
        return value
