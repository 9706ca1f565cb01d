"""What the management handlers need."""

from __future__ import annotations

from dataclasses import dataclass, replace

from relayhub.accounts.codes import CodeDesk
from relayhub.accounts.keyring import KeyRing
from relayhub.accounts.passwords import Passwords
from relayhub.accounts.sign_in import SessionTerms, SignIn
from relayhub.accounts.throttle import Throttle
from relayhub.config import Config
from relayhub.routing.catalog import Catalog
from relayhub.routing.router import Router
from relayhub.sdk.clock import Clock
from relayhub.store.store import Store
from relayhub.types.errors import invalid_request
from relayhub.types.money import MAX_NANO, nano_per_unit, units_rounded_up


@dataclass(frozen=True, slots=True)
class AdminContext:
    config: Config
    store: Store
    keyring: KeyRing
    clock: Clock
    sign_in: SignIn
    code_desk: CodeDesk
    nano_per_unit: int
    catalog: Catalog
    router: Router

    def renewed(self, config: Config, catalog: Catalog, router: Router) -> AdminContext:
        """For another config, on the same store: who has signed in stays so."""
        people = config.accounts
        sign_in = self.sign_in.renewed(
            SessionTerms(people.session_ttl, people.session_idle),
            registration_open=people.registration == "open",
            invites=people.registration == "invite",
        )
        return replace(self, config=config, sign_in=sign_in, catalog=catalog, router=router)

    def nano(self, units: int, param: str) -> int:
        """Raises ``ClientError`` if it is more than the ledger can hold."""
        nano = units * self.nano_per_unit
        if abs(nano) > MAX_NANO:
            raise invalid_request("This is more than the ledger can hold.", code="amount_too_large", param=param)
        return nano

    def units(self, nano: int) -> int:
        """Rounded down."""
        return nano // self.nano_per_unit

    def spent_units(self, nano: int) -> int:
        """Rounded up."""
        return units_rounded_up(nano, self.nano_per_unit)


def admin_context(
    config: Config, store: Store, keyring: KeyRing, clock: Clock, catalog: Catalog, router: Router
) -> AdminContext:
    """Call on the loop that serves."""
    throttle = Throttle(store.attempts)
    people = config.accounts
    sign_in = SignIn(
        store,
        Passwords(),
        throttle,
        SessionTerms(people.session_ttl, people.session_idle),
        registration_open=people.registration == "open",
        invites=people.registration == "invite",
    )
    desk = CodeDesk(store.ledger, throttle)
    per_unit = nano_per_unit(config.quota.units_per_usd)
    return AdminContext(config, store, keyring, clock, sign_in, desk, per_unit, catalog, router)
