"""Looking at the books: ledger, usage, and the audit log."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field, JsonValue

from relayhub.store.audit import AuditFilter, AuditRow
from relayhub.store.intents import LedgerKind
from relayhub.store.ledger_report import LedgerFilter, LedgerRow
from relayhub.web.admin import usage
from relayhub.web.admin.endpoint import ADMINS, EVERYBODY, READERS, AnyEndpoint, Asked, Endpoint
from relayhub.web.admin.shapes import MOST, Input, Moment, Nothing, Output, Page, moment, page, seconds


class LedgerQuery(Input):
    account_id: str | None = Field(None, max_length=64)
    key_id: str | None = Field(None, max_length=64)
    kind: LedgerKind | None = None
    call_id: str | None = Field(None, max_length=64)
    actor: str | None = Field(None, max_length=300, description="Of grants and adjustments.")
    since: Moment | None = Field(None, description="Inclusive.")
    until: Moment | None = Field(None, description="Exclusive.")
    after: int | None = Field(None, ge=0, le=2**62, description="The `next` of the page before.")
    limit: int = Field(100, ge=1, le=MOST)


class LedgerShown(Output):
    """``amount_nano``: nano-USD; of a hold or release what was held, of a settlement what was charged."""

    id: int
    at: datetime
    kind: LedgerKind
    account_id: str
    key_id: str | None
    hold_id: int | None
    call_id: str | None
    amount_nano: int
    actor: str | None
    reason: str | None


class Exact(Output):
    exact: bool
    violations: tuple[str, ...]


class AuditQuery(Input):
    actor: str | None = Field(None, max_length=300)
    action: str | None = Field(None, max_length=100)
    subject: str | None = Field(None, max_length=100)
    after: int | None = Field(None, ge=0, le=2**62, description="The `next` of the page before.")
    limit: int = Field(100, ge=1, le=MOST)


class AuditShown(Output):
    """Secrets stand here as their hashes."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    before: dict[str, JsonValue] | None
    after: dict[str, JsonValue] | None
    request_id: str | None
    client: str | None


class Whole(Output):
    """``first_broken``: the first row that is not as it was written, or that follows a missing one."""

    whole: bool
    first_broken: int | None


async def list_ledger(asked: Asked[LedgerQuery]) -> Page[LedgerShown]:
    """A user who asks for another account's rows gets none: to them there is no other account."""
    given, within = asked.given, asked.who.within
    if within is not None and given.account_id not in (None, within):
        return Page(items=(), next=None)
    wanted = LedgerFilter(
        given.account_id if within is None else within,
        given.key_id,
        given.kind,
        given.after,
        given.call_id,
        given.actor,
        seconds(given.since),
        seconds(given.until),
    )
    found = await asked.context.store.ledger_report.rows(wanted, given.limit + 1)
    return page(found, given.limit, _ledger_row, lambda row: row.id)


def _ledger_row(row: LedgerRow) -> LedgerShown:
    return LedgerShown(
        id=row.id,
        at=moment(row.at),
        kind=row.kind,
        account_id=row.account_id,
        key_id=row.key_id,
        hold_id=row.hold_id,
        call_id=row.call_id,
        amount_nano=row.amount_nano,
        actor=row.actor,
        reason=row.reason,
    )


async def check_ledger(asked: Asked[Nothing]) -> Exact:
    found = await asked.context.store.ledger.check()
    return Exact(exact=not found, violations=tuple(str(violation) for violation in found))


async def list_audit(asked: Asked[AuditQuery]) -> Page[AuditShown]:
    given = asked.given
    wanted = AuditFilter(given.actor, given.action, given.subject, given.after)
    found = await asked.context.store.audit.rows(wanted, given.limit + 1)
    return page(found, given.limit, _audit_row, lambda row: row.id)


def _audit_row(row: AuditRow) -> AuditShown:
    return AuditShown(
        id=row.id,
        at=moment(row.at),
        actor=row.actor,
        action=row.action,
        subject=row.subject,
        before=row.before,
        after=row.after,
        request_id=row.request_id,
        client=row.client,
    )


async def check_audit(asked: Asked[Nothing]) -> Whole:
    broken = await asked.context.store.audit.first_broken()
    return Whole(whole=broken is None, first_broken=broken)


ENDPOINTS: tuple[AnyEndpoint, ...] = (
    Endpoint(
        "GET",
        "/ledger",
        "Ledger rows, newest first",
        EVERYBODY,
        LedgerQuery,
        Page[LedgerShown],
        list_ledger,
        twin="ledger list",
    ),
    Endpoint(
        "GET",
        "/ledger/check",
        "Prove that the books are exact",
        READERS,
        Nothing,
        Exact,
        check_ledger,
        twin="ledger check",
    ),
    *usage.ENDPOINTS,
    Endpoint(
        "GET",
        "/audit",
        "Who changed what, newest first",
        ADMINS,
        AuditQuery,
        Page[AuditShown],
        list_audit,
        twin="audit list",
    ),
    Endpoint(
        "GET",
        "/audit/check",
        "Prove that the audit log is whole",
        ADMINS,
        Nothing,
        Whole,
        check_audit,
        twin="audit check",
    ),
)
