"""The provider: URLs, headers and what is known of the models. The wire itself is the client's own, or the SDK's codec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import orjson

from relayhub.sdk import (
    AnthropicMessages,
    ChatRequest,
    ChatWire,
    Dialect,
    Effect,
    HttpReply,
    HttpRequest,
    NativeCall,
    NativeChatWire,
    Operation,
    ProviderContext,
    Steps,
    TargetedCodec,
    UpstreamError,
    decode_anthropic_count,
    upstream_broke,
)
from relayhub_claude.settings import ClaudeSettings
from relayhub_claude.traits import target_of

PATHS: Mapping[Operation, str] = {
    Operation.CHAT: "/v1/messages",
    Operation.COUNT_TOKENS: "/v1/messages/count_tokens",
}

NOT_FORWARDED = frozenset({"anthropic-organization-id", "anthropic-workspace-id"})
"""They name places in the client's own account."""

_NOT_COUNTED = ("max_tokens", "stream", "temperature", "top_p", "top_k", "stop_sequences", "metadata")

_PAGE = 1_000
_MAX_PAGES = 20


class ClaudeProvider:
    """A :class:`relayhub.sdk.NativeProvider`, a :class:`relayhub.sdk.ChatProvider` for clients of other dialects, a
    :class:`relayhub.sdk.TokenCounter`, and a :class:`relayhub.sdk.ModelLister`."""

    def __init__(self, settings: ClaudeSettings, _context: ProviderContext) -> None:
        self._settings = settings
        self._wire = ClaudeWire(settings)
        self._codec = TargetedCodec(AnthropicMessages(), partial(target_of, settings=settings))

    def native(self, dialect: Dialect) -> ClaudeWire | None:
        return self._wire if dialect is Dialect.ANTHROPIC_MESSAGES else None

    def chat(self) -> ChatWire:
        return NativeChatWire(self._wire, self._codec)

    def count_tokens(self, model: str, request: ChatRequest) -> Steps[int]:
        body = orjson.loads(self._codec.encode_request(request, model=model).body)
        asked = orjson.dumps({key: value for key, value in body.items() if key not in _NOT_COUNTED})
        reply = yield self._wire.request(NativeCall(Operation.COUNT_TOKENS, model, asked))
        if reply.status != 200:
            raise self._wire.error(reply)
        return decode_anthropic_count(reply.body)

    def list_models(self) -> Steps[Sequence[str]]:
        names: list[str] = []
        after = ""
        for _ in range(_MAX_PAGES):
            reply = yield self._wire.list_request(after)
            if reply.status != 200:
                raise self._wire.error(reply)
            page, more = _read_page(reply.body)
            names += page
            if not (more and page):
                break
            after = page[-1]
        return names


class ClaudeWire:
    """A :class:`relayhub.sdk.NativeWire`."""

    steady = True

    def __init__(self, settings: ClaudeSettings) -> None:
        self._settings = settings
        key, header = settings.api_key.get_secret_value(), settings.api_key_header
        self._credential = {header: f"Bearer {key}" if header == "authorization" else key}

    def request(self, call: NativeCall) -> HttpRequest:
        headers = {
            "accept": "text/event-stream" if call.stream else "application/json",
            "content-type": "application/json",
            **self._own_headers(call.headers),
        }
        effect = Effect.NONE if call.operation is Operation.COUNT_TOKENS else Effect.PAID
        return HttpRequest("POST", f"{self._settings.base_url}{PATHS[call.operation]}", headers, call.body, effect)

    def list_request(self, after: str) -> HttpRequest:
        query = f"?limit={_PAGE}" + (f"&after_id={after}" if after else "")
        headers = {"accept": "application/json", **self._own_headers({})}
        return HttpRequest("GET", f"{self._settings.base_url}/v1/models{query}", headers, effect=Effect.NONE)

    def error(self, reply: HttpReply) -> UpstreamError:
        return AnthropicMessages().decode_error(reply)

    def _own_headers(self, given: Mapping[str, str]) -> dict[str, str]:
        """The client's version and betas, the operator's betas, and the key."""
        headers = {name: value for name, value in given.items() if name.startswith("anthropic-")}
        headers = {name: value for name, value in headers.items() if name not in NOT_FORWARDED}
        headers.setdefault("anthropic-version", self._settings.version)
        betas = [beta.strip() for beta in headers.pop("anthropic-beta", "").split(",") if beta.strip()]
        betas += [beta for beta in self._settings.betas if beta not in betas]
        if betas:
            headers["anthropic-beta"] = ",".join(betas)
        return {**headers, **self._credential}


def _read_page(body: bytes) -> tuple[list[str], bool]:
    """Names, and whether there are more."""
    try:
        page = orjson.loads(body)
        return [str(model["id"]) for model in page["data"]], page.get("has_more") is True
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise upstream_broke("its model list is not one", detail=repr(error)) from error
