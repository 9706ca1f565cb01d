"""The model list, in the shape that the client's SDK reads."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from aiohttp import web

from relayhub.dialects.anthropic_messages.models import encode_model as encode_anthropic_model
from relayhub.dialects.anthropic_messages.models import encode_models as encode_anthropic_models
from relayhub.dialects.gemini_generate.models import encode_model as encode_gemini_model
from relayhub.dialects.gemini_generate.models import encode_models as encode_gemini_models
from relayhub.types.call import Dialect
from relayhub.types.errors import invalid_request
from relayhub.types.json import JsonObject
from relayhub.types.model_card import ModelCard
from relayhub.web.context import CONTEXT
from relayhub.web.ingress.serving import json_response, platform_of, viewer
from relayhub.web.mounts import OPENAI_MOUNTS, PLATFORM, VERSIONS, Mount, models_dialect

PAGE_SIZE = 1000
"""Of lists that page, unless the client asks for less."""


def add_routes(app: web.Application, base_path: str) -> None:
    """Register list and single model under every mount."""
    for mount in OPENAI_MOUNTS:
        _add(app, base_path + mount.prefix, ModelHandlers(mount, None))
    for version in VERSIONS[1:]:
        for prefix in (version, PLATFORM + version):
            mount = Mount(prefix, OPENAI_MOUNTS[0].profile, public_models=True)
            _add(app, base_path + prefix, ModelHandlers(mount, Dialect.GEMINI_GENERATE))


def _add(app: web.Application, prefix: str, handlers: ModelHandlers) -> None:
    app.router.add_get(f"{prefix}/models", handlers.list_models)
    app.router.add_get(f"{prefix}/models/{{model:.+}}", handlers.show_model)


class ModelHandlers:
    """The handlers of one mount. ``dialect``: the only one spoken there, or ``None`` to go by the client's traces."""

    def __init__(self, mount: Mount, dialect: Dialect | None) -> None:
        self._mount = mount
        self._dialect = dialect

    async def list_models(self, request: web.Request) -> web.Response:
        """``GET …/models``: what this key may see; without a key the public models, where the mount allows that."""
        who = viewer(request, public=self._mount.public_models)
        cards = request.app[CONTEXT].catalog.visible(who, platform_of(request))
        dialect = self._dialect_of(request)
        return json_response(request, _encode_list(request, dialect, cards), dialect)

    async def show_model(self, request: web.Request) -> web.Response:
        """``GET …/models/{id}``; a slash in the id may arrive encoded or plain."""
        who = viewer(request, public=self._mount.public_models)
        dialect = self._dialect_of(request)
        name = request.match_info["model"]
        card = request.app[CONTEXT].catalog.find(name, who, platform_of(request))
        return json_response(request, _encode_one(dialect, card), dialect)

    def _dialect_of(self, request: web.Request) -> Dialect:
        return self._dialect or models_dialect("/models", request.headers, request.query)


def _encode_list(request: web.Request, dialect: Dialect, cards: Sequence[ModelCard]) -> bytes:
    query = request.query
    match dialect:
        case Dialect.ANTHROPIC_MESSAGES:
            limit = _number(request, "limit", PAGE_SIZE)
            return encode_anthropic_models(
                cards, limit=limit, after_id=query.get("after_id"), before_id=query.get("before_id")
            )
        case Dialect.GEMINI_GENERATE:
            size = _number(request, "pageSize", PAGE_SIZE)
            return encode_gemini_models(cards, page_size=size, page_token=query.get("pageToken"))
        case _:
            return orjson.dumps({"object": "list", "success": True, "data": [_openai_model(card) for card in cards]})


def _encode_one(dialect: Dialect, card: ModelCard) -> bytes:
    match dialect:
        case Dialect.ANTHROPIC_MESSAGES:
            return encode_anthropic_model(card)
        case Dialect.GEMINI_GENERATE:
            return encode_gemini_model(card)
        case _:
            return orjson.dumps(_openai_model(card))


def _openai_model(card: ModelCard) -> JsonObject:
    return {"id": card.name, "object": "model", "created": card.created, "owned_by": card.owner}


def _number(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:6]) <= PAGE_SIZE:
        raise invalid_request(f"{name} must be a number from 1 to {PAGE_SIZE}.", code="invalid_value", param=name)
    return int(text)
