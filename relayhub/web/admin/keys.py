"""Relay keys: who may call models. A user's own are theirs to make. Changes act on this server at once, on others within a
second."""

from __future__ import annotations

import contextlib
from functools import partial

from relayhub.accounts.issuing import issue_key, rotate_key
from relayhub.jobs.webhooks import secret_of
from relayhub.store.keys import Key, KeyTerms
from relayhub.types.errors import ClientError, ErrorKind, HubError
from relayhub.types.key_limits import NO_LIMITS, KeyLimits
from relayhub.types.role import Role
from relayhub.web.admin.context import AdminContext
from relayhub.web.admin.endpoint import EVERYBODY, OPERATORS, AnyEndpoint, Asked, Endpoint, In
from relayhub.web.admin.key_limits import LimitsGiven, limits_over
from relayhub.web.admin.key_shapes import (
    KeyMade,
    KeySeen,
    KeyShown,
    KeysQuery,
    KeyUpdate,
    NewKey,
    Rotation,
    WebhookSecret,
    key_shown,
)
from relayhub.web.admin.key_use import key_use
from relayhub.web.admin.shapes import Nothing, Page, page, seconds

CHANGERS = OPERATORS | {Role.USER}


async def _act_at_once(context: AdminContext) -> None:
    """The change is made; if the store fails just now, this server sees it as soon as all the others."""
    with contextlib.suppress(HubError):
        await context.keyring.refresh()


async def list_keys(asked: Asked[KeysQuery]) -> Page[KeyShown]:
    """A user who asks for another account's keys gets none: to them there is no other account."""
    given, within = asked.given, asked.who.within
    if within is not None and given.account_id not in (None, within):
        return Page(items=(), next=None)
    account_id = given.account_id if within is None else within
    found = await asked.context.store.keys.page(given.after, given.limit + 1, account_id)
    return page(found, given.limit, lambda key: key_shown(asked.context, key), lambda key: key.id)


async def create_key(asked: Asked[NewKey]) -> KeyMade:
    given, context = asked.given, asked.context
    _check_unlimited(asked, wanted=given.unlimited)
    _check_policy(asked, given.limits)
    made = await issue_key(
        context.store.keys,
        given.name,
        await _account(asked),
        limit_nano=None if given.quota is None else context.nano(given.quota, "quota"),
        models=None if given.models is None else frozenset(given.models),
        expires_at=seconds(given.expires_at),
        unlimited=given.unlimited,
        limits=NO_LIMITS if given.limits is None else limits_over(context, NO_LIMITS, given.limits),
        tags=given.tags,
        by=asked.by,
    )
    await _act_at_once(context)
    return KeyMade(secret=made.secret, **dict(key_shown(context, made.key)))


def _check_unlimited(asked: Asked[In], *, wanted: bool | None) -> None:
    """Raises ``ClientError`` PERMISSION for a user: an unlimited key's account is given money."""
    if wanted and asked.who.within is not None:
        raise ClientError(
            ErrorKind.PERMISSION, "Only staff can make a key unlimited.", code="role_not_sufficient", param="unlimited"
        )


def _check_policy(asked: Asked[In], limits: LimitsGiven | None) -> None:
    """Raises ``ClientError`` PERMISSION for a user: what is forgiven, the hub pays."""
    if limits is not None and "on_disconnect" in limits.model_fields_set and asked.who.within is not None:
        raise ClientError(
            ErrorKind.PERMISSION,
            "Only staff can say what becomes of calls whose client leaves.",
            code="role_not_sufficient",
            param="limits.on_disconnect",
        )


async def _account(asked: Asked[NewKey]) -> str:
    """The account of a new key: for a user there is but their own."""
    wanted, within = asked.given.account_id, asked.who.within
    if within is not None:
        if wanted not in (None, within):
            raise ClientError(ErrorKind.NOT_FOUND, f"There is no account {wanted!r}.", code="account_not_found")
        return within
    accounts = asked.context.store.accounts
    return (await accounts.default() if wanted is None else await accounts.get(wanted)).id


async def show_key(asked: Asked[Nothing]) -> KeySeen:
    """With what it has used of its limits in the windows that run now."""
    context = asked.context
    key = await context.store.keys.get(asked.path["id"], asked.who.within)
    return KeySeen(use=await key_use(context, key.id), **dict(key_shown(context, key)))


async def update_key(asked: Asked[KeyUpdate]) -> KeyShown:
    context, within = asked.context, asked.who.within
    _check_unlimited(asked, wanted=asked.given.unlimited)
    _check_policy(asked, asked.given.limits)
    key = await context.store.keys.get(asked.path["id"], within)
    changed = await context.store.keys.update(key.id, partial(_terms, asked), asked.by, within)
    await _act_at_once(context)
    return key_shown(context, changed)


def _terms(asked: Asked[KeyUpdate], key: Key) -> KeyTerms:
    context, given = asked.context, asked.given
    said = given.model_fields_set
    return KeyTerms(
        name=given.name or key.name,
        limit_nano=_limit_nano(context, given, key),
        models=key.models if "models" not in said else (None if given.models is None else frozenset(given.models)),
        expires_at=key.expires_at if "expires_at" not in said else seconds(given.expires_at),
        unlimited=given.unlimited,
        limits=None if "limits" not in said else _limits(asked, key),
        tags=None if "tags" not in said else given.tags or (),
    )


def _limit_nano(context: AdminContext, given: KeyUpdate, key: Key) -> int | None:
    """Making a key unlimited lifts its quota, unless both are said, which the store refuses."""
    if "quota" in given.model_fields_set:
        return None if given.quota is None else context.nano(given.quota, "quota")
    return None if given.unlimited else key.limit_nano


def _limits(asked: Asked[KeyUpdate], key: Key) -> KeyLimits:
    if asked.given.limits is not None:
        return limits_over(asked.context, key.limits, asked.given.limits)
    return NO_LIMITS if asked.who.within is None else KeyLimits(on_disconnect=key.limits.on_disconnect)


async def rotate(asked: Asked[Rotation]) -> KeyMade:
    context, within = asked.context, asked.who.within
    key = await context.store.keys.get(asked.path["id"], within)
    until = context.clock.now() + asked.given.overlap_s
    made = await rotate_key(context.store.keys, key.id, until, by=asked.by, within=within)
    await _act_at_once(context)
    return KeyMade(secret=made.secret, **dict(key_shown(context, made.key)))


async def disable_key(asked: Asked[Nothing]) -> KeyShown:
    return await _switched(asked, on=False)


async def enable_key(asked: Asked[Nothing]) -> KeyShown:
    return await _switched(asked, on=True)


async def _switched(asked: Asked[Nothing], *, on: bool) -> KeyShown:
    keys, within = asked.context.store.keys, asked.who.within
    key = await keys.get(asked.path["id"], within)
    changed = await (keys.enable if on else keys.disable)(key.id, asked.by, within)
    await _act_at_once(asked.context)
    return key_shown(asked.context, changed)


async def show_webhook_secret(asked: Asked[Nothing]) -> WebhookSecret:
    """It is derived, not kept, and can be read again by whoever may change the key."""
    store = asked.context.store
    key = await store.keys.get(asked.path["id"], asked.who.within)
    return WebhookSecret(secret=secret_of(store.vault, key.id))


async def revoke_key(asked: Asked[Nothing]) -> KeyShown:
    key = await asked.context.store.keys.get(asked.path["id"], asked.who.within)
    revoked = await asked.context.store.keys.revoke(key.id, asked.by, asked.who.within)
    await _act_at_once(asked.context)
    return key_shown(asked.context, revoked)


ENDPOINTS: tuple[AnyEndpoint, ...] = (
    Endpoint("GET", "/keys", "List the keys", EVERYBODY, KeysQuery, Page[KeyShown], list_keys, twin="keys list"),
    Endpoint("POST", "/keys", "Create a key", CHANGERS, NewKey, KeyMade, create_key, 201, twin="keys create"),
    Endpoint("GET", "/keys/{id}", "Show a key", EVERYBODY, Nothing, KeySeen, show_key, twin="keys show"),
    Endpoint("PATCH", "/keys/{id}", "Change a key", CHANGERS, KeyUpdate, KeyShown, update_key, twin="keys update"),
    Endpoint("DELETE", "/keys/{id}", "Revoke a key", CHANGERS, Nothing, KeyShown, revoke_key, twin="keys revoke"),
    Endpoint(
        "POST",
        "/keys/{id}/rotation",
        "Give it a new secret",
        CHANGERS,
        Rotation,
        KeyMade,
        rotate,
        201,
        twin="keys rotate",
    ),
    Endpoint(
        "POST", "/keys/{id}/disable", "Refuse a key", CHANGERS, Nothing, KeyShown, disable_key, twin="keys disable"
    ),
    Endpoint(
        "POST", "/keys/{id}/enable", "Let it in again", CHANGERS, Nothing, KeyShown, enable_key, twin="keys enable"
    ),
    Endpoint(
        "GET",
        "/keys/{id}/webhook-secret",
        "Show what messages about its jobs are signed with",
        CHANGERS,
        Nothing,
        WebhookSecret,
        show_webhook_secret,
        twin="jobs webhook-secret",
    ),
)
