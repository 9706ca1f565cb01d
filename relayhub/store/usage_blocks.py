"""Writing the blocks that single calls are found by, and taking out what is forgotten.

A block is a run of :data:`SIZE` ids of the ledger, which the ids of usage are among. Ids are in the order of commits, so a
block is also a short time. It is written once all of its ids are rolled up, in that transaction; later ones are the tail,
whose calls are looked at one by one. So a call itself pays for no index of its account, key, model, provider or time.
"""

from __future__ import annotations

from sqlalchemy import text

from relayhub.store.async_connection import AsyncConnection

BITS = 8
SIZE = 1 << BITS
"""It is in the database: another one needs a migration."""

LOOKED_UP = ("account_id", "key_id", "model", "provider")
"""Columns of usage whose values a block names."""

_WRITE_BLOCKS = text(
    f"INSERT INTO usage_blocks (block, first_at, until_at) "  # noqa: S608  # constants
    "SELECT block, first_at, max(last_at, max(last_at) OVER (ORDER BY block), "
    "coalesce((SELECT until_at FROM usage_blocks ORDER BY block DESC LIMIT 1), last_at)) "
    f"FROM (SELECT id >> {BITS} AS block, min(at) AS first_at, max(at) AS last_at "
    "FROM usage WHERE id >= :first AND id < :end GROUP BY 1)"
)
_WRITE_VALUES = tuple(
    text(
        "INSERT INTO usage_block_values (dimension, value, block) "  # noqa: S608  # constants
        f"SELECT DISTINCT '{name}', {name}, id >> {BITS} FROM usage WHERE id >= :first AND id < :end ORDER BY 2, 3"
    )
    for name in LOOKED_UP
)


async def write_blocks(connection: AsyncConnection, rolled: int, up_to: int) -> None:
    """Those that are complete now: all calls with ids up to ``rolled`` were rolled up before, and now those up to ``up_to``
    are."""
    span = {"first": tail_of(rolled), "end": tail_of(up_to)}
    if span["first"] < span["end"]:
        for statement in (_WRITE_BLOCKS, *_WRITE_VALUES):
            await connection.execute(statement, span)


def tail_of(rolled: int) -> int:
    """The first id that is in no block yet."""
    return rolled + 1 & -SIZE


_OWN = f"block << {BITS} AND (block << {BITS}) + {SIZE - 1}"
_MAKE_GONE = f"CREATE TEMP TABLE IF NOT EXISTS usage_gone (id, block, {', '.join(LOOKED_UP)})"
_CLEAR_GONE = "DELETE FROM temp.usage_gone"
_TAKE_GONE = text(
    f"INSERT INTO temp.usage_gone SELECT u.id, u.id >> {BITS}, {', '.join(f'u.{name}' for name in LOOKED_UP)} "  # noqa: S608
    f"FROM (SELECT block << {BITS} AS first, (block << {BITS}) + {SIZE - 1} AS last FROM usage_blocks "
    "WHERE first_at < :midnight UNION ALL SELECT :tail, :rolled) AS places "
    "CROSS JOIN usage AS u ON u.id BETWEEN places.first AND places.last "
    "JOIN ledger AS l ON l.id = u.id WHERE u.at < :midnight AND l.at < :midnight LIMIT :most"
)
_FORGET = "DELETE FROM usage WHERE id IN (SELECT id FROM temp.usage_gone)"
_UNSAID = " UNION ALL ".join(
    f"""SELECT DISTINCT '{name}' AS dimension, {name} AS value, block FROM temp.usage_gone AS gone
    WHERE NOT EXISTS (SELECT 1 FROM usage AS u WHERE u.id BETWEEN {_OWN} AND u.{name} = gone.{name})"""  # noqa: S608
    for name in LOOKED_UP
)
_UNSAY = text("DELETE FROM usage_block_values WHERE dimension = :dimension AND value = :value AND block = :block")
_SHRINK = (
    f"""DELETE FROM usage_blocks WHERE block IN (SELECT block FROM temp.usage_gone)
    AND NOT EXISTS (SELECT 1 FROM usage WHERE id BETWEEN {_OWN})""",  # noqa: S608
    f"""UPDATE usage_blocks SET first_at = (SELECT min(at) FROM usage WHERE id BETWEEN {_OWN})
    WHERE block IN (SELECT block FROM temp.usage_gone)""",  # noqa: S608
)


async def forget_calls(connection: AsyncConnection, midnight: int, rolled: int, most: int) -> int:
    """Delete so many calls that ended and were written before ``midnight`` and are rolled up, and what the blocks say of
    nobody else. Returns how many they were."""
    await connection.exec_driver_sql(_MAKE_GONE)
    await connection.exec_driver_sql(_CLEAR_GONE)
    asked = {"midnight": midnight, "tail": tail_of(rolled), "rolled": rolled, "most": most}
    gone = (await connection.execute(_TAKE_GONE, asked)).rowcount
    if gone:
        await connection.exec_driver_sql(_FORGET)
        unsaid = [dict(row) for row in (await connection.exec_driver_sql(_UNSAID)).mappings()]
        if unsaid:  # one by one: by a list of them SQLite would look at all blocks of each value
            await connection.execute(_UNSAY, unsaid)
        for statement in _SHRINK:
            await connection.exec_driver_sql(statement)
    return gone
