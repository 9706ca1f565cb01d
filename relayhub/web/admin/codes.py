"""Redemption codes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from relayhub.accounts.code_text import MAX_PREFIX
from relayhub.accounts.codes import MAX_CODES, issue_codes
from relayhub.store.codes import CodeBatch, CodeRow, NewBatch
from relayhub.types.errors import ClientError, ErrorKind
from relayhub.web.admin.context import AdminContext
from relayhub.web.admin.endpoint import EVERYBODY, OPERATORS, READERS, AnyEndpoint, Asked, Endpoint
from relayhub.web.admin.shapes import (
    WHOLE,
    Input,
    Moment,
    Name,
    Nothing,
    Output,
    Page,
    Paging,
    Units,
    moment,
    moment_or_none,
    page,
    seconds,
)


class BatchShown(Output):
    """``used``: how often its codes were redeemed in all."""

    id: str
    name: str
    prefix: str
    units: int
    codes: int
    max_uses: int
    used: int
    created_at: datetime
    expires_at: datetime | None
    voided_at: datetime | None


class NewCodes(Input):
    name: Name
    units: Units = Field(description="What each use adds to an account.")
    codes: Annotated[int, Field(ge=1, le=MAX_CODES), WHOLE]
    prefix: str = Field(
        "REDEEM", max_length=MAX_PREFIX, pattern="^[A-Z0-9]+$", description="Capital letters and digits."
    )
    max_uses: Annotated[int, Field(ge=1, le=1_000_000), WHOLE] = Field(
        1, description="Of each code, by different accounts."
    )
    expires_at: Moment | None = None


class CodesMade(BatchShown):
    secrets: tuple[str, ...] = Field(description="The codes. Shown this once.")


class CodeShown(Output):
    id: str
    hint: str
    uses_left: int


class CodeText(Input):
    code: str = Field(max_length=1000)


class Added(Output):
    """In units: what the code added, and the account's total after it."""

    added: int
    total: int


def shown(context: AdminContext, batch: CodeBatch) -> BatchShown:
    return BatchShown(
        id=batch.id,
        name=batch.name,
        prefix=batch.prefix,
        units=context.units(batch.value_nano),
        codes=batch.codes,
        max_uses=batch.max_uses,
        used=batch.used,
        created_at=moment(batch.created_at),
        expires_at=moment_or_none(batch.expires_at),
        voided_at=moment_or_none(batch.voided_at),
    )


async def list_batches(asked: Asked[Paging]) -> Page[BatchShown]:
    given = asked.given
    found = await asked.context.store.codes.page(given.after, given.limit + 1)
    return page(found, given.limit, lambda batch: shown(asked.context, batch), lambda batch: batch.id)


async def create_codes(asked: Asked[NewCodes]) -> CodesMade:
    given, context = asked.given, asked.context
    value = context.nano(given.units, "units")
    new = NewBatch(given.name, given.prefix, value, given.max_uses, seconds(given.expires_at))
    made = await issue_codes(context.store.codes, new, given.codes, asked.by)
    return CodesMade(secrets=made.codes, **dict(shown(context, made.batch)))


async def show_batch(asked: Asked[Nothing]) -> BatchShown:
    return shown(asked.context, await asked.context.store.codes.get(asked.path["id"]))


async def list_codes(asked: Asked[Paging]) -> Page[CodeShown]:
    given = asked.given
    found = await asked.context.store.codes.of(asked.path["id"], given.after, given.limit + 1)
    return page(found, given.limit, _code, lambda code: code.id)


def _code(code: CodeRow) -> CodeShown:
    return CodeShown(id=code.id, hint=code.hint, uses_left=code.uses_left)


async def void_batch(asked: Asked[Nothing]) -> BatchShown:
    return shown(asked.context, await asked.context.store.codes.void(asked.path["id"], asked.by))


async def redeem_code(asked: Asked[CodeText]) -> Added:
    account_id = asked.signed_in.person.account_id
    if account_id is None:
        raise ClientError(ErrorKind.PERMISSION, "You have no account to add it to.", code="no_account")
    return await _redeemed(asked, account_id)


async def redeem_for_account(asked: Asked[CodeText]) -> Added:
    """Staff, for whoever cannot do it."""
    return await _redeemed(asked, (await asked.context.store.accounts.get(asked.path["id"])).id)


async def _redeemed(asked: Asked[CodeText], account_id: str) -> Added:
    done = await asked.context.code_desk.redeem(asked.given.code, account_id, key_id=None, by=asked.by)
    return Added(added=asked.context.units(done.added_nano), total=asked.context.units(done.balance.total_nano))


ENDPOINTS: tuple[AnyEndpoint, ...] = (
    Endpoint(
        "GET",
        "/code-batches",
        "List the batches of codes",
        READERS,
        Paging,
        Page[BatchShown],
        list_batches,
        twin="codes list",
    ),
    Endpoint(
        "POST", "/code-batches", "Make codes", OPERATORS, NewCodes, CodesMade, create_codes, 201, twin="codes create"
    ),
    Endpoint("GET", "/code-batches/{id}", "Show a batch", READERS, Nothing, BatchShown, show_batch, twin="codes show"),
    Endpoint(
        "GET",
        "/code-batches/{id}/codes",
        "List its codes",
        READERS,
        Paging,
        Page[CodeShown],
        list_codes,
        twin="codes show",
    ),
    Endpoint(
        "DELETE",
        "/code-batches/{id}",
        "Make its codes worthless",
        OPERATORS,
        Nothing,
        BatchShown,
        void_batch,
        twin="codes void",
    ),
    Endpoint(
        "POST",
        "/redemptions",
        "Redeem a code for one's account",
        EVERYBODY,
        CodeText,
        Added,
        redeem_code,
        201,
        twin="codes redeem",
    ),
    Endpoint(
        "POST",
        "/accounts/{id}/redemptions",
        "Redeem a code for an account",
        OPERATORS,
        CodeText,
        Added,
        redeem_for_account,
        201,
        twin="codes redeem",
    ),
)
