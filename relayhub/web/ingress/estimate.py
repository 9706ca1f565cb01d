"""``POST /api/user/estimate``: what a request would hold of the quota, without sending it.

The body is the very body that the endpoint itself takes. ``?endpoint=`` says which one; without it the model's first
operation does. ``?platform=`` pins a provider, as it does in a path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import orjson
from aiohttp import web

from relayhub.accounts.quote import Quote
from relayhub.dialects.codec import Envelope
from relayhub.dialects.fields import invalid_value
from relayhub.dialects.jsontext import parse_object
from relayhub.dialects.media_api.given import Given
from relayhub.dialects.media_api.images import read_images
from relayhub.dialects.media_api.speech import read_speech
from relayhub.dialects.media_api.videos import read_video
from relayhub.gateway.call import Call
from relayhub.jobs.quoting import quote_job
from relayhub.types.call import Dialect, Operation, Principal
from relayhub.types.errors import ClientError
from relayhub.types.json import Json, JsonObject
from relayhub.types.media import MediaKind, MediaUsage
from relayhub.types.money import nano_to_usd, units_rounded_up
from relayhub.web.body import defer_expectation
from relayhub.web.context import CONTEXT, REQUEST_ID, WebContext
from relayhub.web.given import receive
from relayhub.web.ingress.serving import authenticate, json_response, read
from relayhub.web.ingress.videos import usual_model

PATH = "/api/user/estimate"


class Priced(StrEnum):
    """The endpoints whose requests can be priced, by the end of their paths."""

    CHAT = "chat/completions"
    RESPONSES = "responses"
    MESSAGES = "messages"
    EMBEDDINGS = "embeddings"
    IMAGES = "images/generations"
    EDITS = "images/edits"
    VIDEOS = "videos"
    SPEECH = "audio/speech"


_TEXT: Mapping[Priced, Dialect] = {
    Priced.CHAT: Dialect.OPENAI_CHAT,
    Priced.RESPONSES: Dialect.OPENAI_RESPONSES,
    Priced.MESSAGES: Dialect.ANTHROPIC_MESSAGES,
    Priced.EMBEDDINGS: Dialect.OPENAI_EMBEDDINGS,
}
_USUAL: Mapping[str, Priced] = {
    Operation.EMBEDDINGS.value: Priced.EMBEDDINGS,
    Operation.IMAGE.value: Priced.IMAGES,
    Operation.VIDEO.value: Priced.VIDEOS,
    Operation.SPEECH.value: Priced.SPEECH,
}


@dataclass(frozen=True, slots=True)
class EstimateHandler:
    nano_per_unit: int

    async def estimate(self, request: web.Request) -> web.Response:
        """``POST /api/user/estimate``."""
        principal = authenticate(request)
        asking = _Asking(request, request.app[CONTEXT], principal, _platform(request))
        if request.content_type == "multipart/form-data":
            given = (await receive(request)).given
            found = asking.media(_said(request) or Priced.EDITS, given)
        else:
            body = await read(request)
            values = parse_object(body)
            endpoint = _said(request) or asking.usual(values)
            found = asking.text(endpoint, body) if endpoint in _TEXT else asking.media(endpoint, Given(values))
        return json_response(request, orjson.dumps({"success": True, "data": self._shown(found)}))

    def _shown(self, quote: Quote) -> JsonObject:
        """``quota``: units, rounded up, as they would be held."""
        return {
            "model": quote.model,
            "quota": units_rounded_up(quote.cost_nano, self.nano_per_unit),
            "usd": nano_to_usd(quote.cost_nano),
            "price": quote.price.describe(),
            "priceVersion": quote.price.version or None,
            "atMost": {"tokens": quote.tokens} if quote.media is None else _consumed(quote.media),
        }


@dataclass(frozen=True, slots=True)
class _Asking:
    request: web.Request
    context: WebContext
    principal: Principal
    platform: str | None

    def usual(self, values: Mapping[str, Json]) -> Priced:
        """By what the model is for; its name is looked at later, by whoever prices it."""
        model = values.get("model")
        if not isinstance(model, str):
            return Priced.CHAT
        try:
            operations = self.context.catalog.find(model, self.principal, self.platform).operations
        except ClientError:
            return Priced.CHAT
        if Operation.CHAT.value in operations:
            return Priced.RESPONSES if "input" in values and "messages" not in values else Priced.CHAT
        return next((_USUAL[name] for name in operations if name in _USUAL), Priced.CHAT)

    def text(self, endpoint: Priced, body: bytes) -> Quote:
        dialect = _TEXT[endpoint]
        operation = Operation.EMBEDDINGS if endpoint is Priced.EMBEDDINGS else Operation.CHAT
        envelope, now = self._envelope(dialect, body), self.context.clock.monotonic()
        call_id = self.request[REQUEST_ID]
        call = Call(call_id, self.principal, operation, dialect, body, envelope, now, provider=self.platform)
        return self.context.pipeline.quote(call)

    def _envelope(self, dialect: Dialect, body: bytes) -> Envelope:
        codecs = self.context.codecs
        if dialect in codecs.embeddings:
            return codecs.embeddings[dialect].envelope(body)
        return codecs.chat[dialect].envelope(body)

    def media(self, endpoint: Priced, given: Given) -> Quote:
        match endpoint:
            case Priced.SPEECH:
                return self.context.media.speech.quote(self.principal, read_speech(given).request, self.platform)
            case Priced.VIDEOS:
                asked = read_video(given, names_provider=True)
                platform = asked.provider or self.platform
                model = asked.request.model or usual_model(self.request, self.principal, platform)
                wanted = replace(asked.request, model=model)
                return quote_job(self.context.catalog, self.principal, MediaKind.VIDEO, wanted, platform)
            case Priced.IMAGES | Priced.EDITS:
                images = read_images(given, edits=endpoint is Priced.EDITS).request
                return quote_job(self.context.catalog, self.principal, MediaKind.IMAGE, images, self.platform)
            case _:
                raise invalid_value("endpoint", "must be one that takes a form")


def _said(request: web.Request) -> Priced | None:
    """Raises ``ClientError``."""
    name = request.query.get("endpoint")
    try:
        return None if name is None else Priced(name.strip("/").removeprefix("v1/"))
    except ValueError:
        raise invalid_value("endpoint", f"must be one of {', '.join(Priced)}") from None


def _platform(request: web.Request) -> str | None:
    """Raises ``ClientError`` NOT_FOUND if there is none of that name."""
    name = request.query.get("platform")
    if name is not None:
        request.app[CONTEXT].catalog.platform(name)
    return name


def _consumed(usage: MediaUsage) -> JsonObject:
    """What there is of it."""
    found: JsonObject = {
        "seconds": (usage.video_ms or usage.audio_ms) / 1000,
        "images": usage.images,
        "characters": usage.characters,
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.output_tokens,
        "resolution": usage.resolution,
        "size": usage.size,
        "quality": usage.quality,
        "audio": usage.audio,
    }
    return {name: value for name, value in found.items() if value not in (None, 0)}


def add_routes(app: web.Application, base_path: str, nano_per_unit: int) -> None:
    handler = EstimateHandler(nano_per_unit)
    app.router.add_post(f"{base_path}{PATH}", handler.estimate, expect_handler=defer_expectation)
