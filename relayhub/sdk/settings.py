"""Checks for the settings that most providers have: an address, a key, text for a header.

::

    class AcmeSettings(BaseModel):
        base_url: BaseUrl = Field("https://api.acme.example/v1", description="Where the API is.")
        api_key: UpstreamKey = Field(description="The upstream's key.")
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr

TAKEN_HEADERS = frozenset({"accept", "connection", "content-length", "content-type", "host", "transfer-encoding"})


def checked_base_url(value: str) -> str:
    """Without spaces and slashes at its ends. Raises ``ValueError`` for anything but a plain HTTP address."""
    url = value.strip().rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or not _usable_port(parts.netloc):
        raise ValueError("it must be a URL such as https://api.example.com/v1")
    if parts.username is not None or parts.password is not None or "?" in url or "#" in url:
        raise ValueError("it must have no credentials, query or fragment")
    if not is_header_text(url) or " " in url:
        raise ValueError("it has characters that cannot be in a URL; percent-encode them")
    return url


def checked_key(value: SecretStr) -> SecretStr:
    """Raises ``ValueError`` for an empty key, and for one that cannot be sent."""
    text = value.get_secret_value()
    if not text:
        raise ValueError("it is empty")
    if not is_header_text(text):
        raise ValueError("it has characters that cannot be in a key (a line end, perhaps)")
    return value


def checked_header_text(value: str) -> str:
    if not is_header_text(value):
        raise ValueError("it has characters that cannot be in a header (a line end, perhaps)")
    return value


def checked_key_header(value: str) -> str:
    """A header's name, lower case, that nothing else needs."""
    if value in TAKEN_HEADERS:
        raise ValueError("this header carries something else; a key cannot be in it")
    return value


def is_header_text(value: str) -> bool:
    return value.isascii() and value.isprintable()


def _usable_port(netloc: str) -> bool:
    try:
        return urlsplit(f"//{netloc}").port != 0
    except ValueError:
        return False


BaseUrl = Annotated[str, AfterValidator(checked_base_url)]
UpstreamKey = Annotated[SecretStr, AfterValidator(checked_key)]
HeaderText = Annotated[str, AfterValidator(checked_header_text)]
KeyHeader = Annotated[str, AfterValidator(checked_key_header)]
