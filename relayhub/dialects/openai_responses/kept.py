"""What only this dialect writes again and no other misses: ids and statuses of items, and spellings.

It stands in ``extras`` under the dialect's own name, apart from fields with which the client said something.
"""

from __future__ import annotations

from collections.abc import Collection

from relayhub.dialects.fields import Fields, nested
from relayhub.types.call import Dialect
from relayhub.types.json import Extras, Json, JsonObject

NAME = Dialect.OPENAI_RESPONSES.value

BOOKKEEPING = frozenset({"id", "status", "type", "phase"})


def kept(extras: Extras) -> JsonObject:
    return nested(extras, NAME)


def keeping(flat: Extras, **values: Json) -> Extras:
    """``flat`` with those of ``values`` that say anything."""
    said: JsonObject = {key: value for key, value in values.items() if value not in (None, False, {})}
    return {**flat, NAME: said} if said else flat


def said_only(extras: Extras) -> Extras:
    return {key: value for key, value in extras.items() if key != NAME}


def item_extras(fields: Fields, ignore: Collection[str] = ("type",), **values: Json) -> Extras:
    """What is left of an item; its bookkeeping, but for ``ignore``, is kept apart."""
    rest = fields.rest()
    item: JsonObject = {key: value for key, value in rest.items() if key in BOOKKEEPING and key not in ignore}
    flat = {key: value for key, value in rest.items() if key not in BOOKKEEPING}
    return keeping(flat, item=item, **values)


def item_fields(extras: Extras) -> JsonObject:
    """The inverse of :func:`item_extras`."""
    return {**said_only(extras), **nested(kept(extras), "item")}
