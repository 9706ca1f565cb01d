"""What a running hub can take over from a new config, and what waits for its next start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TypeVar

from pydantic import BaseModel

from relayhub.config.differences import Change, changes_between, waiting
from relayhub.config.model import Config

EVERYTHING = frozenset({"*"})

LIVE: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "server": frozenset(
            {
                "trusted_proxies",
                "public_url",
                "public_models",
                "cors_origins",
                "body_limit",
                "body_timeout_s",
                "upload_limit",
                "upload_timeout_s",
                "upload_dir",
                "head_wait_s",
                "keep_alive_s",
                "drain_s",
                "max_in_flight",
                "max_clients",
            }
        ),
        "quota": frozenset(
            {"default_max_output_tokens", "bytes_per_token", "revoked_streams", "on_disconnect", "drain_s", "drains"}
        ),
        "media": EVERYTHING,
        "artifacts": frozenset({"ttl", "max_size"}),
        "jobs": EVERYTHING,
        "accounts": EVERYTHING,
        "routing": EVERYTHING,
        "logging": EVERYTHING,
    }
)
"""By section. Whatever is not named here is built once: the listener, the store, the plugins, what a unit of quota means."""

S = TypeVar("S", bound=BaseModel)


def taken_over(running: Config, wanted: Config) -> tuple[Config, tuple[Change, ...]]:
    """``wanted`` with what ``running`` must keep, and every change, those that wait for a restart marked."""
    merged = replace(
        wanted,
        server=_kept("server", running.server, wanted.server),
        store=_kept("store", running.store, wanted.store),
        quota=_kept("quota", running.quota, wanted.quota),
        artifacts=_kept("artifacts", running.artifacts, wanted.artifacts),
        usage=_kept("usage", running.usage, wanted.usage),
        plugins=_kept("plugins", running.plugins, wanted.plugins),
    )
    now = changes_between(running, merged)
    later = changes_between(merged, wanted)
    return merged, (*now, *map(waiting, later))


def _kept(section: str, running: S, wanted: S) -> S:
    live = LIVE.get(section, frozenset())
    fields = type(running).model_fields
    return wanted.model_copy(update={name: getattr(running, name) for name in fields if name not in live})
