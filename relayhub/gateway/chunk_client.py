"""Clients that are sent HTTP/1.1 chunks."""

from __future__ import annotations

from abc import abstractmethod

from relayhub.dialects.comparing import Comparing
from relayhub.upstream.lean.sink import Express


class ChunkClient:
    """A :class:`relayhub.gateway.call.Client` that takes frames with the framing of an upstream, where that is its own. A
    plain class, as :class:`Comparing` is."""

    @abstractmethod
    def lane(self, stream: Comparing) -> Express:
        """For the chunks of ``stream`` that hold one event like the ones before."""
