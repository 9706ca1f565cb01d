"""``/api/user``: what a relay key may know and do about its own quota, in the shapes that the first clients were written
for."""

from __future__ import annotations

from dataclasses import dataclass

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from relayhub.accounts.codes import CodeDesk
from relayhub.store.accounts import Account
from relayhub.store.keys import Key
from relayhub.types.errors import invalid_request
from relayhub.types.json import JsonObject
from relayhub.types.money import units_rounded_up
from relayhub.web.actor import actor_of
from relayhub.web.body import defer_expectation, read_body
from relayhub.web.context import CONTEXT
from relayhub.web.ingress import user_usage
from relayhub.web.ingress.serving import authenticate, json_response

PATH = "/api/user"
MAX_BODY = 16 << 10


class Redemption(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)

    code: str = Field(min_length=1, max_length=1000)


@dataclass(frozen=True, slots=True)
class UserHandlers:
    code_desk: CodeDesk
    nano_per_unit: int

    async def quota(self, request: web.Request) -> web.Response:
        """``GET /api/user/quota``."""
        principal = authenticate(request)
        store = request.app[CONTEXT].store
        key = await store.keys.get(principal.key_id)
        account = await store.accounts.get(principal.account_id)
        return json_response(
            request, orjson.dumps({"success": True, "data": quota_of(key, account, self.nano_per_unit)})
        )

    async def usage(self, request: web.Request) -> web.Response:
        """``GET /api/user/usage``."""
        return await user_usage.totals(request, self.nano_per_unit)

    async def calls(self, request: web.Request) -> web.Response:
        """``GET /api/user/usage/calls``."""
        return await user_usage.calls(request, self.nano_per_unit)

    async def redemption(self, request: web.Request) -> web.Response:
        """``POST /api/user/redemption``."""
        principal = authenticate(request)
        body = await read_body(request, MAX_BODY, request.app[CONTEXT].server.body_timeout_s)
        try:
            given = Redemption.model_validate_json(body)
        except ValidationError:
            raise invalid_request('Send JSON with the code alone: {"code": "REDEEM-…"}.', param="code") from None
        by = actor_of(request, f"key:{principal.key_name}")
        done = await self.code_desk.redeem(given.code, principal.account_id, key_id=principal.key_id, by=by)
        added, total = done.added_nano // self.nano_per_unit, done.balance.total_nano // self.nano_per_unit
        data = {"addedQuota": added, "totalQuota": total}
        return json_response(request, orjson.dumps({"success": True, "data": data}))


def quota_of(key: Key, account: Account, nano_per_unit: int) -> JsonObject:
    """In units. A key with its own limit shows that, another one its account. ``usedQuota``: what was spent and what is held,
    rounded up once; what remains never looks like more than it is, and the three always add up."""
    if key.limit_nano is not None:
        total_nano, used_nano = key.limit_nano, key.used_nano + key.held_nano
    else:
        balance = account.balance
        total_nano, used_nano = balance.total_nano, balance.used_nano + balance.held_nano
    used = units_rounded_up(used_nano, nano_per_unit)
    total = max(total_nano // nano_per_unit, used)
    shown: JsonObject = {"totalQuota": total, "usedQuota": used, "remainingQuota": total - used}
    if key.limit_nano is None and (key.unlimited or account.unlimited):
        shown["unlimited"] = True
    return shown


def add_routes(app: web.Application, base_path: str, handlers: UserHandlers) -> None:
    app.router.add_get(f"{base_path}{PATH}/quota", handlers.quota)
    app.router.add_get(f"{base_path}{PATH}/usage", handlers.usage)
    app.router.add_get(f"{base_path}{PATH}/usage/calls", handlers.calls)
    app.router.add_post(f"{base_path}{PATH}/redemption", handlers.redemption, expect_handler=defer_expectation)
