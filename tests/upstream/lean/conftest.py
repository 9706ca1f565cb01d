from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from relayhub.upstream.lean.transport import LeanTransport
from relayhub.upstream.options import NetworkOptions


@pytest.fixture
async def transport() -> AsyncIterator[LeanTransport]:
    transport = LeanTransport(NetworkOptions(), "relayhub/test")
    yield transport
    await transport.close()
