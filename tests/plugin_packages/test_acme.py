"""A third party's package, from the suites to the installed wheel."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "acme"))
relayhub_acme = pytest.importorskip("relayhub_acme")

from relayhub.sdk import Usage  # noqa: E402
from relayhub.testing import ChatWireSuite, EmbeddingWireSuite, RegistrationSuite  # noqa: E402

LINES = [{"machine": "parrot"}, {"says": "Hello, "}, {"says": "世界!"}, {"over": True, "heard": 4, "spoken": 3}]


class TestAcme(RegistrationSuite, ChatWireSuite, EmbeddingWireSuite):
    provider_type = relayhub_acme.ACME
    package = relayhub_acme
    settings = {"api_key": "acme-canary-0123456789"}
    error_body = '{"problem": "{message}"}'
    reply_body = json.dumps({"machine": "parrot", "says": "Hello, 世界!", "heard": 4, "spoken": 3}).encode()
    stream_body = b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in LINES)
    stream_error_body = b'{"machine": "parrot"}\n{"says": "Hel"}\n{"problem": "the machine is broken"}\n'
    text = "Hello, 世界!"
    usage = Usage(input_tokens=4, output_tokens=3)
    embedding_body = b'{"machine": "compass", "places": [[1, 0], [0.5, -0.25]], "heard": 2}'
    vectors = ((1.0, 0.0), (0.5, -0.25))
