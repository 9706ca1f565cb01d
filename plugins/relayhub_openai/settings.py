"""What a provider entry of type ``openai`` says."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator


class OpenAISettings(BaseModel):
    """YAML keys beside the ones that every provider has."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    base_url: str = Field(
        "https://api.openai.com/v1", description="Where the API is, with its version: …/v1, no endpoint."
    )
    api_key: SecretStr | None = Field(None, description="The upstream's key; a local server may need none.")
    api_key_header: str = Field(
        "authorization",
        pattern=r"^[a-z0-9-]+$",
        description="Header that carries the key: authorization (as Bearer), or another one, such as api-key.",
    )
    organization: str | None = Field(None, description="Sent as OpenAI-Organization.")
    project: str | None = Field(None, description="Sent as OpenAI-Project.")
    query: dict[str, str] = Field({}, description="Added to every URL, such as api-version for Azure.")

    @field_validator("base_url")
    @classmethod
    def _plain_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("it must be a URL such as https://api.example.com/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("it must have no credentials, query or fragment; see api_key and query")
        return value.rstrip("/")

    @field_validator("api_key")
    @classmethod
    def _usable_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not (value.get_secret_value().isascii() and value.get_secret_value().isprintable()):
            raise ValueError("it has characters that cannot be in a key (a line end, perhaps)")
        return value if value is not None and value.get_secret_value() else None
