"""Rules for wires that translate embeddings."""

from __future__ import annotations

from typing import ClassVar

from relayhub.sdk import (
    EmbeddingProvider,
    EmbeddingReply,
    EmbeddingRequest,
    EmbeddingWire,
    HttpReply,
    HttpRequest,
    UpstreamError,
)
from relayhub.testing.errors import ErrorReader, ErrorSuite
from relayhub.testing.requests import RequestSuite


class EmbeddingWireSuite(RequestSuite, ErrorSuite):
    """``embedding_body``: the upstream's answer for two inputs; ``vectors``: the two vectors in it, in the order of the
    inputs."""

    embedding_model: ClassVar[str] = "embedding-1"
    embedding_body: ClassVar[bytes]
    vectors: ClassVar[tuple[tuple[float, ...], ...]]

    def embedding_wire(self) -> EmbeddingWire:
        built = self.build()
        assert isinstance(built, EmbeddingProvider), "implement embeddings()"
        return built.embeddings()

    def embedding_request(self, *inputs: str) -> HttpRequest:
        return self.embedding_wire().request(self.embedding_model, EmbeddingRequest(self.embedding_model, inputs))

    def paid_requests(self) -> list[HttpRequest]:
        return [*super().paid_requests(), self.embedding_request("a")]

    def error_readers(self) -> list[ErrorReader]:
        return [*super().error_readers(), self.embedding_wire().error]

    def _reply(self, body: bytes) -> EmbeddingReply:
        return self.embedding_wire().reply(HttpReply(200, {"content-type": "application/json"}, body))

    def test_every_input_is_in_the_request(self) -> None:
        body = self.embedding_request("first-needle", "second-needle").body
        assert isinstance(body, bytes), "a request for embeddings is JSON in one piece"
        first, second = body.find(b"first-needle"), body.find(b"second-needle")
        assert 0 <= first < second, "both inputs belong into the request, in their order"

    def test_vectors_come_in_the_order_of_the_inputs(self) -> None:
        assert self._reply(self.embedding_body).vectors == self.vectors, "vectors are missing or out of order"

    def test_an_unreadable_embedding_is_an_upstream_error(self) -> None:
        for body in (b"", b"{", b"[]", b'{"data": 1}', self.embedding_body[:-1]):
            try:
                self._reply(body)
            except UpstreamError:
                continue
            raise AssertionError(f"reply() took {body!r} for an answer: raise UpstreamError (see upstream_broke)")
