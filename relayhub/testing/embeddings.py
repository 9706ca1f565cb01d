"""Rules for wires that translate embeddings."""

from __future__ import annotations

from typing import ClassVar

from relayhub.sdk import (
    Effect,
    EmbeddingProvider,
    EmbeddingReply,
    EmbeddingRequest,
    EmbeddingWire,
    HttpReply,
    UpstreamError,
)
from relayhub.testing.registration import ProviderCase


class EmbeddingWireSuite(ProviderCase):
    """``embedding_body``: the upstream's answer for two inputs; ``vectors``: the two vectors in it, in the order of the
    inputs."""

    embedding_model: ClassVar[str] = "embedding-1"
    embedding_body: ClassVar[bytes]
    vectors: ClassVar[tuple[tuple[float, ...], ...]]

    def embedding_wire(self) -> EmbeddingWire:
        built = self.build()
        assert isinstance(built, EmbeddingProvider), "implement embeddings()"
        return built.embeddings()

    def _reply(self, body: bytes) -> EmbeddingReply:
        return self.embedding_wire().reply(HttpReply(200, {"content-type": "application/json"}, body))

    def test_every_input_is_in_the_request(self) -> None:
        asked = EmbeddingRequest(self.embedding_model, ("first-needle", "second-needle"))
        body = self.embedding_wire().request(self.embedding_model, asked).body
        assert b"first-needle" in body and b"second-needle" in body, "both inputs belong into the request"

    def test_embeddings_are_marked_as_paid(self) -> None:
        request = self.embedding_wire().request(self.embedding_model, EmbeddingRequest(self.embedding_model, ("a",)))
        assert request.effect is Effect.PAID, "embeddings cost money: effect=Effect.PAID"

    def test_vectors_come_in_the_order_of_the_inputs(self) -> None:
        assert self._reply(self.embedding_body).vectors == self.vectors, "vectors are missing or out of order"

    def test_an_unreadable_embedding_is_an_upstream_error(self) -> None:
        for body in (b"", b"{", b"[]", b'{"data": 1}'):
            try:
                self._reply(body)
            except UpstreamError:
                continue
            raise AssertionError(f"reply() took {body!r} for an answer: raise UpstreamError (see upstream_broke)")
