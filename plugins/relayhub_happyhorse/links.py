"""What a client gives beside its prompt, as DashScope takes it."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from relayhub.sdk import ClientError, Media, MediaInput
from relayhub_happyhorse.refusal import refusal

INVALID_LINK = "invalid_media_url"
SIGNATURES = (
    ("iVBOR", "image/png"),
    ("/9j/", "image/jpeg"),
    ("UklGR", "image/webp"),
    ("Qk", "image/bmp"),
    ("SUkq", "image/tiff"),
    ("TU0AK", "image/tiff"),
)
"""How base64 of a picture begins."""


def link(given: MediaInput, *, account_references: bool, private: bool) -> str:
    """A link that the upstream can fetch. ``private``: it may be one into the hub's own network. Raises
    ``ClientError``."""
    url = given.media.url
    if url is None:
        raise _invalid(given, "the upstream takes links only; give a public http or https address.")
    if url.startswith("oss://"):
        if not account_references:
            raise _invalid(given, "files of the upstream account cannot be named here; give a link.")
        return url
    parts = _parts(given, url)
    if parts[0] not in ("http", "https") or not parts[1]:
        raise _invalid(given, "it must be a public http or https address.")
    if not private and is_private(parts[1]):
        raise _invalid(given, "the upstream cannot reach an address inside of a private network.")
    return url


def picture(given: MediaInput, *, account_references: bool, private: bool) -> str:
    """A link, or a data URL; empty for what the hub has left out of a job that it keeps, which is never sent again.
    Raises ``ClientError``."""
    data = given.media.data
    if given.media == Media(media_type=given.media.media_type):
        return ""
    if data is None:
        return link(given, account_references=account_references, private=private)
    media_type = given.media.media_type or next((name for start, name in SIGNATURES if data.startswith(start)), None)
    if media_type is None or not media_type.startswith("image/"):
        raise refusal(given.field, "say what image type the data is, as in data:image/png;base64,….")
    return f"data:{media_type};base64,{data}"


def is_private(host: str) -> bool:
    """By what stands there; names are not looked up."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith((".localhost", ".local", ".internal")):
        return True
    try:
        return not ip_address(name).is_global
    except ValueError:
        return False


def _parts(given: MediaInput, url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url)
        return parts.scheme.lower(), parts.hostname or ""
    except ValueError as error:
        raise _invalid(given, "it is not an address.") from error


def _invalid(given: MediaInput, why: str) -> ClientError:
    return refusal(given.field, why, INVALID_LINK)
