"""Rules for listing the upstream's models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from relayhub.sdk import Effect, HttpReply, HttpRequest, ModelLister, UpstreamError
from relayhub.testing.registration import ProviderCase
from relayhub.testing.requests import check_absolute, check_credential


class ModelListSuite(ProviderCase):
    """``list_bodies``: the upstream's answers, one for each request that listing takes; ``listed``: the models in
    them."""

    list_bodies: ClassVar[Sequence[bytes]]
    listed: ClassVar[Sequence[str]]

    def listing(self, *replies: HttpReply) -> tuple[list[HttpRequest], list[str]]:
        """The requests that were made, and the models that were found."""
        built = self.build()
        assert isinstance(built, ModelLister), "implement list_models()"
        steps = built.list_models()
        requests = [next(steps)]
        for reply in replies:
            try:
                requests.append(steps.send(reply))
            except StopIteration as done:
                return requests, list(done.value)
        raise AssertionError(f"list_models() wanted more than the {len(replies)} answers that there are")

    def _found(self) -> tuple[list[HttpRequest], list[str]]:
        return self.listing(*(HttpReply(200, {"content-type": "application/json"}, body) for body in self.list_bodies))

    def test_the_models_of_every_page_are_listed(self) -> None:
        requests, found = self._found()
        assert found == list(self.listed), f"list_models() returned {found}"
        assert len(requests) == len(self.list_bodies), "list_models() ended before the last page"

    def test_listing_costs_nothing(self) -> None:
        for request in self._found()[0]:
            assert request.method == "GET" and request.effect is Effect.NONE, "listing is a GET with effect=Effect.NONE"

    def test_listing_asks_an_absolute_url_with_the_key_in_a_header(self) -> None:
        for request in self._found()[0]:
            check_absolute(request)
            check_credential(request, self.secrets())

    def test_a_list_that_is_none_is_an_upstream_error(self) -> None:
        wrong = [HttpReply(200, {}, body) for body in (b"", b"<html>", b"[1]", b'{"a": 1}')]
        for reply in (*wrong, HttpReply(401, {}, b"{}")):
            try:
                self.listing(reply)
            except UpstreamError:
                continue
            raise AssertionError(f"{reply.status} with {reply.body!r} was taken for a list: raise UpstreamError")
