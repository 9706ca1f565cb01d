"""What a provider entry of type tts may say."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from relayhub_tts.settings import TtsSettings


def parsed(**said: Any) -> TtsSettings:
    return TtsSettings.model_validate({"vendor": "qwen", "api_key": "k", **said})


@pytest.mark.parametrize(
    ("vendor", "url"),
    [("qwen", "https://dashscope.aliyuncs.com/api/v1"), ("minimax", "https://api.minimax.io/v1")],
)
def test_each_vendor_has_its_address(vendor: str, url: str) -> None:
    assert parsed(vendor=vendor).url == url
    assert parsed(vendor=vendor, base_url="https://relay.example.com/v1/").url == "https://relay.example.com/v1"


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ({"vendor": "acme"}, "vendor"),
        ({"api_key": ""}, "api_key"),
        ({"group_id": "1"}, "group_id"),
        ({"sample_rate": 24000}, "sample_rate"),
        ({"bitrate": 64000}, "bitrate"),
        ({"vendor": "minimax", "workspace": "ws"}, "workspace"),
        ({"vendor": "minimax", "sample_rate": 48000}, "sample_rate"),
        ({"vendor": "minimax", "base_url": "https://api.minimax.io/v1/t2a_v2"}, "base_url"),
        ({"base_url": "https://x/api/v1/services/aigc/multimodal-generation/generation"}, "base_url"),
        ({"language": "auto"}, "language"),
        ({"ignore": ["voice"]}, "ignore"),
        ({"voices": {"alloy": ""}}, "voices"),
        ({"model_traits": {"m": {"max_characters": 0}}}, "max_characters"),
    ],
)
def test_mistakes_are_named(said: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        parsed(**said)
