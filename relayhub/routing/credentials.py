"""The built providers, by entry and by credential."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from relayhub.routing.provider import Provider


class Providers(Mapping[str, Provider]):
    """Configured name → provider, in the order of the config; of an entry with several credentials, the first."""

    def __init__(self, built: Iterable[Provider]) -> None:
        """``built``: one for each credential."""
        self._of: dict[str, list[Provider]] = {}
        for provider in built:
            self._of.setdefault(provider.name, []).append(provider)

    def __getitem__(self, name: str) -> Provider:
        return self._of[name][0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._of)

    def __len__(self) -> int:
        return len(self._of)

    def every(self) -> list[Provider]:
        """One for each credential of each entry."""
        return [provider for credentials in self._of.values() for provider in credentials]

    def credentials(self, name: str) -> tuple[Provider, ...]:
        return tuple(self._of[name])


def keeper(providers: Mapping[str, Provider], name: str, credential: str | None) -> Provider | None:
    """Who can be asked about something that was made with this credential. ``None``: the entry is gone, or the credential
    is and several others are there: the wrong account would say that there is no such thing. A credential that stands
    alone is taken for a renewed one of the same account, and something made before the entry had a list for the first's."""
    if name not in providers:
        return None
    if not isinstance(providers, Providers):
        return providers[name]
    known = providers.credentials(name)
    if credential is None or len(known) == 1:
        return known[0]
    return next((provider for provider in known if provider.credential == credential), None)
