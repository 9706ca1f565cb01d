"""Bare base64 and its relatives become data URLs; nothing else changes by a byte."""

from __future__ import annotations

import base64
import json

import pytest

from relayhub.dialects.openai_chat.normalise import normalised
from relayhub.types.errors import ClientError

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(40))
PLAIN = base64.b64encode(PNG).decode()
URL_SAFE = base64.urlsafe_b64encode(PNG).decode().rstrip("=")
PDF = base64.b64encode(b"%PDF-1.7 sample").decode()


def image(url: str) -> bytes:
    part = {"type": "image_url", "image_url": {"url": url, "detail": "low"}}
    content = [{"type": "text", "text": "look"}, part]
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": content}], "seed": 1.50}).encode()


def file(data: str) -> bytes:
    part = {"type": "file", "file": {"file_data": data, "filename": "a.pdf"}}
    return json.dumps({"messages": [{"role": "user", "content": [part]}], "model": "m"}).encode()


@pytest.mark.parametrize(
    "body",
    [
        image("https://example.com/a.png"),
        image("HTTPS://example.com/a.png"),
        image(f"data:image/png;base64,{PLAIN}"),
        file("https://example.com/a.pdf"),
        b'{"messages": [], "tools": [{"url": "not base64"}]}',
        json.dumps({"messages": [{"role": "user", "content": '"url": "x"'}]}).encode(),
    ],
)
def test_regular_requests_are_the_same_object(body: bytes) -> None:
    assert normalised(body) is body


@pytest.mark.parametrize("written", [PLAIN, URL_SAFE, PLAIN[:20] + "\n" + PLAIN[20:]])
def test_bare_images_become_data_urls(written: str) -> None:
    assert json.loads(normalised(image(written))) == json.loads(image(f"data:image/png;base64,{PLAIN}"))


def test_bare_files_become_data_urls() -> None:
    assert json.loads(normalised(file(PDF))) == json.loads(file(f"data:application/pdf;base64,{PDF}"))


def test_what_stands_around_the_messages_keeps_its_bytes() -> None:
    messages = json.dumps(json.loads(image(PLAIN))["messages"]).encode()
    body = b'{ "top_p":1.50,  "messages": ' + messages + b' ,"x" :  0.10}'
    changed = normalised(body)
    assert changed.startswith(b'{ "top_p":1.50,  "messages": [{')
    assert changed.endswith(b'}] ,"x" :  0.10}')


def test_junk_is_refused_by_its_place() -> None:
    with pytest.raises(ClientError) as caught:
        normalised(image("../etc/passwd"))
    assert caught.value.param == "messages[0].content[1].image_url.url"
