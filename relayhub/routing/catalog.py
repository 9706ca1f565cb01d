"""The models of this hub, by public name."""

from __future__ import annotations

import difflib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import TypeAlias

from relayhub.accounts.pricing import Price
from relayhub.accounts.tariff import Tariff
from relayhub.routing.provider import Provider
from relayhub.types.call import Operation, Principal
from relayhub.types.chat import ImageForm
from relayhub.types.errors import ClientError, ErrorKind
from relayhub.types.model_card import ModelCard
from relayhub.types.on_disconnect import OnDisconnect

NEAREST_NAMES = 3

KEPT_ANSWERS = 4096
"""Names that are resolved without a search: as many as models, kinds of key and operations usually make together."""

_Question: TypeAlias = "tuple[str, Operation, str | None, frozenset[str] | None, frozenset[str] | None]"


@dataclass(frozen=True, slots=True)
class Route:
    """One way to serve a model: a provider, the upstream's name for the model, and what it costs here."""

    provider: Provider
    upstream_model: str
    price: Price
    """As one call is charged: see :meth:`Catalog.resolve`."""
    max_output_tokens: int
    """Assumed for the hold when the client sets no cap of its own."""
    image_form: ImageForm = ImageForm.INLINE
    """How images in answers are written where the client's dialect has two ways."""
    priority: int = 1
    """Its tier: 1 is tried before 2."""
    weight: int | None = None
    """How often it is tried first, against the others of its tier; ``None``: not said."""
    fallback: int = 0
    """The how manieth fall-back it belongs to; 0: the model that was asked for."""
    model: str | None = None
    """The public name of a fall-back."""
    tariff: Tariff | None = None
    """Its prices over time; ``None``: ``price`` is the only one."""
    on_disconnect: OnDisconnect | None = None
    """What becomes of a call whose client leaves; ``None``: as the config has it for all."""
    key: tuple[str, str] = field(init=False, repr=False, compare=False)
    """Whatever is learnt of it is kept under this."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", (self.provider.known_as, self.upstream_model))


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model entry of one provider. A name ending in ``*`` is a prefix wildcard; ``*`` in the route's upstream name
    then stands for the rest. ``public``: listed for clients without a key."""

    name: str
    route: Route
    aliases: tuple[str, ...] = ()
    operations: frozenset[Operation] = frozenset({Operation.CHAT})
    public: bool = True
    fallbacks: tuple[str, ...] = ()
    """Public names of models that may take its place."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A model as one call sees it: its public name, and its routes in the order of the config, those of its fall-backs
    last."""

    model: str
    routes: tuple[Route, ...]


class Catalog:
    """Immutable; a reload builds a new one. Routes of one model are tried in the order of the config."""

    def __init__(self, specs: Iterable[ModelSpec], created: int, now: Callable[[], float] | None = None) -> None:
        """``created``: unix seconds, shown as the creation time of every model. ``now``: for prices with dates; without it
        the last of them count."""
        self.created = created
        self._now = now or (lambda: inf)
        self._exact: dict[str, list[ModelSpec]] = {}
        self._canonical: dict[str, str] = {}
        self._wildcards: list[ModelSpec] = []
        self._providers: dict[str, str] = {}
        """Configured name → type, in the order of the config."""
        self._found: dict[_Question, Resolved] = {}
        """What was resolved before, without prices."""
        self._charges: dict[tuple[int, int, int], tuple[Route, Price, Route]] = {}
        """Routes with another price, by the identity of both, which are kept here so that it stays their own."""
        self._dates: list[float] = []
        """From which on some price is in force, in ascending order."""
        for spec in specs:
            self._add(spec)
        self._dates.sort()
        self._wildcards.sort(key=lambda spec: len(spec.name), reverse=True)

    def _add(self, spec: ModelSpec) -> None:
        provider = spec.route.provider
        self._providers.setdefault(provider.name, provider.type)
        if spec.route.tariff is not None:
            self._dates.extend(since for since, _ in spec.route.tariff.prices)
        if spec.name.endswith("*"):
            self._wildcards.append(spec)
            return
        self._exact.setdefault(spec.name, []).append(spec)
        for alias in spec.aliases:
            self._canonical.setdefault(alias, spec.name)

    def resolve(self, asked: str, principal: Principal, operation: Operation, platform: str | None = None) -> Resolved:
        """The model that ``asked`` names for this principal; its routes have the prices that this call is charged by.
        ``platform``: only routes of this provider, which then also know the model by its upstream's name. Raises
        ``ClientError`` NOT_FOUND: unknown, not allowed for this key (the same answer, so that names cannot be probed), not
        serving this operation, or without a price yet (which say so)."""
        key = (asked, operation, platform, principal.models, principal.providers)
        found = self._found.get(key)
        if found is None:
            found = self._find(asked, principal, operation, platform)
            if len(self._found) >= KEPT_ANSWERS:
                self._found.clear()
            self._found[key] = found
        routes = self._charged(found.routes, principal)
        return found if routes is found.routes else Resolved(found.model, routes)

    def until(self, now: float) -> float:
        """Unix time from which on something may resolve to another price or to further routes; infinity if never."""
        at = bisect_right(self._dates, now)
        return self._dates[at] if at < len(self._dates) else inf

    def _find(self, asked: str, principal: Principal, operation: Operation, platform: str | None) -> Resolved:
        here = None if platform is None else self.platform(platform)
        name, found = self._specs(asked, here)
        specs = _reachable(principal, found)
        if not specs or not _allowed(principal, asked, name):
            raise self._unknown(asked, principal)
        wanted = Operation.CHAT if operation is Operation.COUNT_TOKENS else operation
        routes = tuple(spec.route for spec in specs if wanted in spec.operations)
        if not routes:
            raise _not_served(asked, operation)
        return Resolved(name, (*routes, *self._fallbacks(specs, principal, wanted, here)))

    def _charged(self, routes: tuple[Route, ...], principal: Principal) -> tuple[Route, ...]:
        now = self._now()
        if len(routes) == 1:
            only = self._priced(routes[0], now, principal.discount_ppm)
            if only is None:
                raise _unpriced()
            return routes if only is routes[0] else (only,)
        priced = [self._priced(route, now, principal.discount_ppm) for route in routes]
        if not any(priced):
            raise _unpriced()
        return tuple(route for route in priced if route is not None)

    def _priced(self, route: Route, now: float, discount_ppm: int) -> Route | None:
        """With the price in force, as this account pays it; ``None`` if there is none yet. The same object for the same price
        and discount: others know the way again by it."""
        price = route.price if route.tariff is None else route.tariff.at(now)
        if price is None or (discount_ppm == 0 and price is route.price):
            return None if price is None else route
        key = (id(route), id(price), discount_ppm)
        known = self._charges.get(key)
        if known is None:
            if len(self._charges) >= KEPT_ANSWERS:
                self._charges.clear()
            charged = replace(route, price=price.discounted(discount_ppm))
            known = self._charges[key] = (route, price, charged)
        return known[2]

    def _fallbacks(
        self, specs: Sequence[ModelSpec], principal: Principal, operation: Operation, here: frozenset[str] | None
    ) -> Iterator[Route]:
        """Of the models that this key may use; their own fall-backs are not followed."""
        names = dict.fromkeys(name for spec in specs for name in spec.fallbacks)
        for position, name in enumerate(names, 1):
            public, found = self._specs(name, here)
            if not _allowed(principal, name, public):
                continue
            for spec in _reachable(principal, found):
                if operation in spec.operations:
                    yield replace(spec.route, fallback=position, model=public)

    def _specs(self, asked: str, here: frozenset[str] | None) -> tuple[str, list[ModelSpec]]:
        """Public name and entries. ``here``: only those of these providers."""
        name = asked if asked in self._exact else self._canonical.get(asked, asked)
        if here is None:
            return name, self._exact.get(name) or [_concrete(spec, name) for spec in self._matching(name, None)]
        if found := _of_providers(self._exact.get(name, ()), here):
            return name, found
        if matching := self._matching(name, here):
            return name, [_concrete(spec, name) for spec in matching]
        every = _of_providers((spec for specs in self._exact.values() for spec in specs), here)
        by_upstream = [spec for spec in every if spec.route.upstream_model == asked]
        if not by_upstream:
            return asked, []
        first = by_upstream[0]
        same = (first.name, first.route.provider.name)
        return first.name, [spec for spec in by_upstream if (spec.name, spec.route.provider.name) == same]

    def platform(self, name: str) -> frozenset[str]:
        """The configured names of the providers that ``name`` stands for: the one of this name, else all of this type.
        Raises ``ClientError`` NOT_FOUND."""
        if name in self._providers:
            return frozenset({name})
        of_type = frozenset(provider for provider, kind in self._providers.items() if kind == name)
        if of_type:
            return of_type
        known = sorted({*self._providers, *self._providers.values()})
        raise ClientError(
            ErrorKind.NOT_FOUND,
            f"There is no platform {_shown(name)}. Known are {_listing(known)}.",
            code="unknown_platform",
        )

    def first_serving(self, operation: Operation, principal: Principal, platform: str | None = None) -> str | None:
        """The first model in the order of the config that this principal may use for it."""
        here = None if platform is None else self.platform(platform)
        for name, specs in self._exact.items():
            serving = [spec for spec in _reachable(principal, specs) if operation in spec.operations]
            if serving and _allowed(principal, name, name) and (here is None or _of_providers(serving, here)):
                return name
        return None

    def _matching(self, name: str, here: frozenset[str] | None) -> list[ModelSpec]:
        """The entries of the longest wildcard."""
        wildcards = self._wildcards if here is None else _of_providers(self._wildcards, here)
        hits = [spec for spec in wildcards if name.startswith(spec.name[:-1])]
        return [spec for spec in hits if len(spec.name) == len(hits[0].name)]

    def visible(self, principal: Principal | None, platform: str | None = None) -> list[ModelCard]:
        """What this principal may see, or, without one, the public models. In the order of the config."""
        here = None if platform is None else self.platform(platform)
        reachable = ((name, _reachable(principal, specs)) for name, specs in self._exact.items())
        return [
            self._card(name, specs)
            for name, specs in reachable
            if specs
            and (_allowed(principal, name, name) if principal is not None else any(spec.public for spec in specs))
            and (here is None or any(spec.route.provider.name in here for spec in specs))
        ]

    def _card(self, name: str, specs: Sequence[ModelSpec]) -> ModelCard:
        operations = {operation for spec in specs for operation in spec.operations}
        return ModelCard(
            name,
            specs[0].route.provider.name,
            self.created,
            max(spec.route.max_output_tokens for spec in specs),
            tuple(operation.value for operation in Operation if operation in operations),
        )

    def find(self, asked: str, principal: Principal | None, platform: str | None = None) -> ModelCard:
        """One model for ``GET /v1/models/{id}``. Raises ``ClientError`` NOT_FOUND."""
        name = asked if asked in self._exact else self._canonical.get(asked, asked)
        for model in self.visible(principal, platform):
            if model.name == name:
                return model
        here = None if platform is None else self.platform(platform)
        hits = _reachable(principal, self._matching(name, here)) if name not in self._exact else []
        if hits and (hits[0].public if principal is None else _allowed(principal, asked, name)):
            return self._card(name, hits)
        raise self._unknown(asked, principal)

    def _unknown(self, asked: str, principal: Principal | None) -> ClientError:
        names = [model.name for model in self.visible(principal)]
        near = difflib.get_close_matches(asked, names, n=NEAREST_NAMES, cutoff=0.5) or sorted(names)[:NEAREST_NAMES]
        known = f" Did you mean {_listing(near)}?" if near else " No model is available to this key."
        return ClientError(
            ErrorKind.NOT_FOUND,
            f"The model {_shown(asked)} does not exist or is not available to this key.{known}",
            code="model_not_found",
            param="model",
        )


def _allowed(principal: Principal, asked: str, name: str) -> bool:
    """A key's model list may hold public names, aliases and prefixes ending in ``*``."""
    models = principal.models
    if models is None or name in models or asked in models:
        return True
    return any(pattern.endswith("*") and name.startswith(pattern[:-1]) for pattern in models)


def _reachable(principal: Principal | None, specs: Sequence[ModelSpec]) -> Sequence[ModelSpec]:
    """A key may be for some providers only, which it names as they are configured or by their type."""
    if principal is None or principal.providers is None:
        return specs
    return [spec for spec in specs if principal.may_reach(spec.route.provider.name, spec.route.provider.type)]


def _of_providers(specs: Iterable[ModelSpec], names: frozenset[str]) -> list[ModelSpec]:
    return [spec for spec in specs if spec.route.provider.name in names]


def _concrete(spec: ModelSpec, name: str) -> ModelSpec:
    rest = name[len(spec.name) - 1 :]
    route = spec.route
    upstream = route.upstream_model.replace("*", rest, 1)
    return replace(spec, name=name, route=replace(route, upstream_model=upstream), aliases=())


def _not_served(asked: str, operation: Operation) -> ClientError:
    return ClientError(
        ErrorKind.NOT_FOUND,
        f"The model {_shown(asked)} does not serve {operation.value}; use an endpoint that it serves.",
        code="operation_not_supported",
        param="model",
    )


def _unpriced() -> ClientError:
    return ClientError(
        ErrorKind.NOT_FOUND,
        "This model is not offered yet: its first price comes into force later. Ask the operator when.",
        code="not_priced",
        param="model",
    )


def _shown(name: str) -> str:
    return repr(name if len(name) <= 100 else name[:100] + "…")


def _listing(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)
