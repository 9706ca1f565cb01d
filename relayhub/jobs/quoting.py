"""What a job would hold, without submitting it."""

from __future__ import annotations

from relayhub.accounts.quote import Quote
from relayhub.jobs.asked import OPERATIONS
from relayhub.jobs.offers import Variants, offers_of
from relayhub.routing.catalog import Catalog
from relayhub.types.call import Principal
from relayhub.types.media import MediaKind, MediaRequest


def quote_job(
    catalog: Catalog, principal: Principal, kind: MediaKind, request: MediaRequest, platform: str | None
) -> Quote:
    """The dearest of those who could do it, for any of them may have to. What it links to is not fetched. Raises
    ``ClientError`` if nobody can."""
    resolved = catalog.resolve(request.model, principal, OPERATIONS[kind], platform)
    offers = offers_of(resolved.routes, resolved, kind, Variants(request))
    dearest = max(offers, key=lambda offer: offer.cost_nano)
    return Quote(resolved.model, dearest.route.price, dearest.cost_nano, media=dearest.usage)
