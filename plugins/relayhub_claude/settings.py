"""What a provider entry of type ``claude`` says."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from relayhub.sdk import AnthropicThinkingStyle, BaseUrl, HeaderText, KeyHeader, UpstreamKey

Effort = Literal["minimal", "low", "medium", "high", "xhigh", "max"]
Budget = Annotated[int, Field(ge=1024, le=1_000_000)]


class ModelTraits(BaseModel):
    """What is known about models, where it differs from what relayhub assumes."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    max_output_tokens: int | None = Field(None, ge=1, description="The most that the model can write in one answer.")
    thinking: AnthropicThinkingStyle | None = Field(
        None, description="adaptive (guided by an effort), budget (a number of tokens) or none."
    )
    efforts: frozenset[Effort] | None = Field(None, description="Efforts that adaptive thinking takes.")
    disables: bool | None = Field(None, description="Whether thinking can be switched off.")
    sampling: bool | None = Field(None, description="Whether it takes temperature, top_p and top_k.")
    both_samplings: bool | None = Field(None, description="Whether it takes temperature together with top_p.")
    prefill: bool | None = Field(None, description="Whether a conversation may end with the assistant's words.")
    mid_system: bool | None = Field(None, description="Whether it takes system messages between turns.")


class ClaudeSettings(BaseModel):
    """YAML keys beside the ones that every provider has."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, hide_input_in_errors=True)

    base_url: BaseUrl = Field(
        "https://api.anthropic.com", description="Where the API is, without /v1, as Anthropic's own SDK takes it."
    )
    api_key: UpstreamKey = Field(description="The upstream's key.")
    api_key_header: KeyHeader = Field(
        "x-api-key",
        pattern=r"^[a-z0-9-]+$",
        description="Header that carries the key: x-api-key, or authorization (as Bearer).",
    )
    version: HeaderText = Field("2023-06-01", description="The API version of requests whose client names none.")
    betas: list[HeaderText] = Field([], description="Beta features to ask for in every request.")
    thinking_budgets: dict[Effort, Budget] = Field(
        {}, description="Tokens for each reasoning effort, for models whose thinking takes a budget."
    )
    model_traits: dict[str, ModelTraits] = Field(
        {}, description="Upstream model (a final * stands for any rest) and what is to be known about it."
    )

    @field_validator("base_url")
    @classmethod
    def _without_version(cls, value: str) -> str:
        if value.endswith(("/messages", "/models")):
            raise ValueError("it must end before the endpoint, such as https://api.example.com")
        return value.removesuffix("/v1")
