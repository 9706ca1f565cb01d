"""How large a call is, in bytes that a model reads."""

from __future__ import annotations

import pytest

from relayhub.dialects.codec import Envelope
from relayhub.gateway.call import Call
from relayhub.types.call import Dialect, Operation, Principal
from relayhub.types.http import Body


@pytest.mark.parametrize(
    ("body", "text_bytes", "size"),
    [(b"12345", None, 5), ((b"123", b"45"), None, 5), ((b"12345",), None, 5), ((), None, 0), (b"12345", 3, 3)],
)
def test_bytes_are_counted_and_not_pieces(body: Body, text_bytes: int | None, size: int) -> None:
    envelope = Envelope("m", False, False, None, 1, None, text_bytes=text_bytes)
    call = Call("req_1", Principal("k", "n", "a"), Operation.CHAT, Dialect.OPENAI_CHAT, body, envelope, 0.0)
    assert call.size() == size
