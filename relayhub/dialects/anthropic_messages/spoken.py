"""How the hub's parts of an answer look to a client of this dialect, in one piece or streamed."""

from __future__ import annotations

from relayhub.dialects import signatures
from relayhub.dialects.anthropic_messages.names import NAME
from relayhub.dialects.codec import ClientView
from relayhub.dialects.media import data_url
from relayhub.types.chat import ImagePart


def message_id(view: ClientView) -> str:
    """For an answer whose upstream does not speak this dialect."""
    return f"msg_{view.call_id}"


def signature_text(signature: str | None, signer: str | None) -> str:
    """A signature of another upstream is marked, so that it finds its way back there only."""
    if signer in (None, NAME):
        return signature or ""
    return signatures.mark(str(signer), signature or "")


def reasoning_data(redacted: str, signer: str | None) -> str:
    """As :func:`signature_text`, for thinking that is opaque altogether."""
    return redacted if signer in (None, NAME) else signatures.mark(str(signer), redacted)


def image_text(part: ImagePart) -> str:
    """Answers of this dialect have no images: a link in Markdown."""
    media = part.media
    link = media.url or (data_url(media.data, media.media_type) if media.data else "")
    return f"![image]({link})"
