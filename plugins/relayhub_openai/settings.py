"""What a provider entry of type ``openai`` says."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

ENDPOINTS = ("/chat/completions", "/completions", "/embeddings", "/responses", "/models")
TAKEN_HEADERS = frozenset({"accept", "connection", "content-length", "content-type", "host", "transfer-encoding"})


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
        url = value.strip().rstrip("/")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or not _usable_port(parts.netloc):
            raise ValueError("it must be a URL such as https://api.example.com/v1")
        if parts.username is not None or parts.password is not None or "?" in url or "#" in url:
            raise ValueError("it must have no credentials, query or fragment; see api_key and query")
        if not _is_header_text(url) or " " in url:
            raise ValueError("it has characters that cannot be in a URL; percent-encode them")
        if url.endswith(ENDPOINTS):
            raise ValueError("it must end before the endpoint, such as https://api.example.com/v1")
        return url

    @field_validator("api_key_header")
    @classmethod
    def _free_header(cls, value: str) -> str:
        if value in TAKEN_HEADERS:
            raise ValueError("this header carries something else; a key cannot be in it")
        return value

    @field_validator("api_key")
    @classmethod
    def _usable_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _is_header_text(value.get_secret_value()):
            raise ValueError("it has characters that cannot be in a key (a line end, perhaps)")
        return value if value is not None and value.get_secret_value() else None

    @field_validator("organization", "project")
    @classmethod
    def _usable_header(cls, value: str | None) -> str | None:
        if value is not None and not _is_header_text(value):
            raise ValueError("it has characters that cannot be in a header (a line end, perhaps)")
        return value


def _is_header_text(value: str) -> bool:
    return value.isascii() and value.isprintable()


def _usable_port(netloc: str) -> bool:
    try:
        return urlsplit(f"//{netloc}").port != 0
    except ValueError:
        return False
