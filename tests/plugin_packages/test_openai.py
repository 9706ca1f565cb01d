from __future__ import annotations

import pytest
from pydantic import ValidationError

import relayhub_openai
from relayhub.sdk import Dialect, HttpRequest, NativeCall, Operation, ProviderContext
from relayhub.testing import FakeClock, ModelListSuite, NativeSuite, RegistrationSuite
from relayhub_openai.provider import OpenAIProvider
from relayhub_openai.settings import OpenAISettings


class TestOpenAI(RegistrationSuite, NativeSuite, ModelListSuite):
    provider_type = relayhub_openai.OPENAI
    package = relayhub_openai
    settings = {"base_url": "https://api.example.com/v1/", "api_key": "sk-canary-openai-0123456789"}
    served = {
        Dialect.OPENAI_CHAT: (Operation.CHAT,),
        Dialect.OPENAI_EMBEDDINGS: (Operation.EMBEDDINGS,),
        Dialect.OPENAI_COMPLETIONS: (Operation.COMPLETIONS,),
        Dialect.OPENAI_MODERATIONS: (Operation.MODERATIONS,),
        Dialect.OPENAI_AUDIO: (Operation.TRANSCRIPTION, Operation.TRANSLATION),
        Dialect.JINA_RERANK: (Operation.RERANK,),
    }
    list_bodies = (b'{"object":"list","data":[{"id":"b","object":"model"},{"id":"a"}]}',)
    listed = ("b", "a")


class TestOpenAIWithResponses(TestOpenAI):
    settings = {**TestOpenAI.settings, "responses": True}
    served = {**TestOpenAI.served, Dialect.OPENAI_RESPONSES: (Operation.CHAT, Operation.COUNT_TOKENS)}


def provider(**settings: object) -> OpenAIProvider:
    return OpenAIProvider(OpenAISettings.model_validate(settings), ProviderContext("p", FakeClock(), "relayhub/test"))


def chat_request(**settings: object) -> HttpRequest:
    wire = provider(**settings).native(Dialect.OPENAI_CHAT)
    assert wire is not None
    return wire.request(NativeCall(Operation.CHAT, "m", b"{}"))


def test_the_url_is_the_base_and_the_endpoint() -> None:
    assert chat_request(base_url="http://local:8000/v1/").url == "http://local:8000/v1/chat/completions"


def test_a_key_may_travel_in_another_header_with_a_query() -> None:
    request = chat_request(api_key="k", api_key_header="api-key", query={"api-version": "2024-10-21"})
    assert request.headers["api-key"] == "k"
    assert "authorization" not in request.headers
    assert request.url.endswith("/chat/completions?api-version=2024-10-21")


def test_a_local_server_needs_no_key() -> None:
    assert "authorization" not in chat_request().headers


def test_organization_and_project_are_sent() -> None:
    headers = chat_request(organization="org", project="proj").headers
    assert (headers["openai-organization"], headers["openai-project"]) == ("org", "proj")


@pytest.mark.parametrize(
    "url",
    [
        "api.example.com",
        "ftp://x/v1",
        "https://u:p@x/v1",
        "https://@x/v1",
        "https://x/v1?a=b",
        "https://x/v1?",
        "https://x/v1#",
        "https://",
        "https://x:99999/v1",
        "https://[::1/v1",
        "https://a b/v1",
        "https://x/v1\r\nx-evil: 1",
        "https://x/v1/chat/completions",
    ],
)
def test_a_base_url_that_cannot_work_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        provider(base_url=url)


def test_blanks_around_a_base_url_do_no_harm() -> None:
    assert chat_request(base_url=" http://[::1]:8000/v1/\n").url == "http://[::1]:8000/v1/chat/completions"


@pytest.mark.parametrize(
    "settings", [{"organization": "o\nx-evil: 1"}, {"project": "p\r"}, {"api_key_header": "content-type"}]
)
def test_a_header_that_cannot_be_sent_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        provider(**settings)


def test_an_empty_key_is_no_key() -> None:
    assert "authorization" not in chat_request(api_key="").headers


def test_a_key_with_a_line_end_in_it_is_refused() -> None:
    with pytest.raises(ValidationError) as caught:
        provider(api_key="sk-1\nx-evil: 1")
    assert "x-evil" not in str(caught.value)


def test_models_are_listed_where_chat_is() -> None:
    request = next(provider(base_url="https://x/v1", api_key="k", query={"api-version": "1"}).list_models())
    assert (request.method, request.url) == ("GET", "https://x/v1/models?api-version=1")
