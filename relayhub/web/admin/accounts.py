"""Accounts and their money."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, TypeAlias

from pydantic import Field

from relayhub.store.accounts import Account
from relayhub.types.discount import percent_to_ppm, ppm_to_percent
from relayhub.types.errors import ClientError, ErrorKind, invalid_request
from relayhub.web.admin.context import AdminContext
from relayhub.web.admin.endpoint import EVERYBODY, OPERATORS, AnyEndpoint, Asked, Endpoint
from relayhub.web.admin.shapes import (
    Input,
    Name,
    Nothing,
    Output,
    Page,
    Paging,
    Reason,
    SignedUnits,
    Units,
    moment,
    page,
)


class AccountShown(Output):
    """In units. ``used``: what was spent and what is held, rounded up once."""

    id: str
    name: str
    unlimited: bool
    total: int
    used: int
    remaining: int
    created_at: datetime
    discount: str = Field(description="Per cent taken off whatever its calls cost.")


Percent: TypeAlias = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{1,3}(\.[0-9]{1,4})?$",
        examples=["12.5"],
        json_schema_extra={"pattern": r"^([0-9]{1,2}(\.[0-9]{1,4})?|100)$"},
    ),
]


class NewAccount(Input):
    name: Name
    unlimited: bool = False
    discount: Percent = Field("0", description="Per cent taken off whatever its calls cost, from 0 to 100.")


class AccountUpdate(Input):
    """What is left out stays as it is."""

    name: Name | None = None
    unlimited: bool | None = None
    discount: Percent | None = Field(None, description="Per cent; counts for calls from a second later on.")


class Grant(Input):
    units: Units
    reason: Reason


class Adjustment(Input):
    units: SignedUnits = Field(
        description="Below zero to take away; never more than is left.", json_schema_extra={"not": {"const": 0}}
    )
    reason: Reason


def shown(context: AdminContext, account: Account) -> AccountShown:
    balance = account.balance
    total, used = context.units(balance.total_nano), context.spent_units(balance.used_nano + balance.held_nano)
    return AccountShown(
        id=account.id,
        name=account.name,
        unlimited=account.unlimited,
        total=max(total, used),
        used=used,
        remaining=max(0, total - used),
        created_at=moment(account.created_at),
        discount=ppm_to_percent(account.discount_ppm),
    )


async def list_accounts(asked: Asked[Paging]) -> Page[AccountShown]:
    given = asked.given
    found = await asked.context.store.accounts.page(given.after, given.limit + 1, asked.who.within)
    return page(found, given.limit, lambda account: shown(asked.context, account), lambda account: account.id)


async def create_account(asked: Asked[NewAccount]) -> AccountShown:
    given = asked.given
    discount = _ppm(given.discount)
    accounts = asked.context.store.accounts
    account = await accounts.create(given.name, unlimited=given.unlimited, by=asked.by, discount_ppm=discount)
    return shown(asked.context, account)


async def show_account(asked: Asked[Nothing]) -> AccountShown:
    wanted, within = asked.path["id"], asked.who.within
    if within is not None and wanted != within:
        raise ClientError(ErrorKind.NOT_FOUND, f"There is no account {wanted!r}.", code="account_not_found")
    return shown(asked.context, await asked.context.store.accounts.get(wanted))


async def update_account(asked: Asked[AccountUpdate]) -> AccountShown:
    given, account_id = asked.given, asked.path["id"]
    accounts = asked.context.store.accounts
    discount = None if given.discount is None else _ppm(given.discount)
    account = await accounts.update(
        account_id, name=given.name, unlimited=given.unlimited, by=asked.by, discount_ppm=discount
    )
    return shown(asked.context, account)


def _ppm(percent: str) -> int:
    """Raises ``ClientError``."""
    try:
        return percent_to_ppm(percent)
    except ValueError as error:
        raise invalid_request(f"This is no discount: {error}.", code="invalid_discount", param="discount") from None


async def grant(asked: Asked[Grant]) -> AccountShown:
    account_id, amount = asked.path["id"], asked.context.nano(asked.given.units, "units")
    await asked.context.store.ledger.grant(account_id, amount, actor=asked.by, reason=asked.given.reason)
    return shown(asked.context, await asked.context.store.accounts.get(account_id))


async def adjust(asked: Asked[Adjustment]) -> AccountShown:
    account_id, amount = asked.path["id"], asked.context.nano(asked.given.units, "units")
    if amount == 0:
        raise invalid_request("An adjustment of nothing is none.", param="units")
    await asked.context.store.ledger.adjust(account_id, amount, actor=asked.by, reason=asked.given.reason)
    return shown(asked.context, await asked.context.store.accounts.get(account_id))


ENDPOINTS: tuple[AnyEndpoint, ...] = (
    Endpoint(
        "GET",
        "/accounts",
        "List the accounts",
        EVERYBODY,
        Paging,
        Page[AccountShown],
        list_accounts,
        twin="accounts list",
    ),
    Endpoint(
        "POST",
        "/accounts",
        "Create an account",
        OPERATORS,
        NewAccount,
        AccountShown,
        create_account,
        201,
        twin="accounts create",
    ),
    Endpoint(
        "GET", "/accounts/{id}", "Show an account", EVERYBODY, Nothing, AccountShown, show_account, twin="accounts show"
    ),
    Endpoint(
        "PATCH",
        "/accounts/{id}",
        "Rename, unlimit or discount",
        OPERATORS,
        AccountUpdate,
        AccountShown,
        update_account,
        twin="accounts update",
    ),
    Endpoint(
        "POST", "/accounts/{id}/grants", "Add units", OPERATORS, Grant, AccountShown, grant, 201, twin="accounts grant"
    ),
    Endpoint(
        "POST",
        "/accounts/{id}/adjustments",
        "Correct by units",
        OPERATORS,
        Adjustment,
        AccountShown,
        adjust,
        201,
        twin="accounts adjust",
    ),
)
