"""The ``relayhub`` program. Sub-commands are imported when they are used, so that ``--help`` is quick and loads no plugin.

Exit codes: 0 ok, 1 failure, 2 usage, 3 invalid config.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

import click

from relayhub import __version__

SUBCOMMANDS: dict[str, tuple[str, str]] = {
    "serve": ("relayhub.cli.serve:serve", "Run the hub."),
    "reload": ("relayhub.cli.reload:reload", "Have the running hub read its config again."),
    "init": ("relayhub.cli.configuration:init", "Write a commented relayhub.yaml to start from."),
    "validate": ("relayhub.cli.configuration:validate", "Check the config and report every problem at once."),
    "config": ("relayhub.cli.configuration:config", "Show the effective config or its JSON schema."),
    "models": ("relayhub.cli.models:models", "List the hub's models, or an upstream's."),
    "accounts": ("relayhub.cli.accounts:accounts", "Create, list, change and fund accounts."),
    "keys": ("relayhub.cli.keys:keys", "Create, list, change and revoke API keys."),
    "codes": ("relayhub.cli.codes:codes", "Make redemption codes."),
    "admin-keys": ("relayhub.cli.admin_keys:admin_keys", "Create, list and revoke keys of the admin API."),
    "people": ("relayhub.cli.people:people", "Create, list and change who may sign in."),
    "invites": ("relayhub.cli.invites:invites", "Invite somebody to register."),
    "jobs": ("relayhub.cli.jobs:jobs", "List, show and cancel videos and other asynchronous work."),
    "prices": ("relayhub.cli.prices:prices", "Show what is charged."),
    "usage": ("relayhub.cli.usage:usage", "Show what was used, by whom and of what."),
    "ledger": ("relayhub.cli.ledger:ledger", "Look at the books and prove that they are exact."),
    "audit": ("relayhub.cli.audit:audit", "Show who changed what."),
    "backup": ("relayhub.cli.backup:backup", "Copy the database while the hub runs."),
    "restore": ("relayhub.cli.restore:restore", "Check a backup, or put it in the database's place."),
    "vault": ("relayhub.cli.vault:vault", "Show and change the keys that seal what the database keeps."),
    "explain": ("relayhub.cli.explain:explain", "Show where a call would go, and why."),
    "providers": ("relayhub.cli.providers:providers", "List the upstreams of the config."),
    "plugins": ("relayhub.cli.plugins:plugins", "List the plugins and why one is quarantined."),
    "x": ("relayhub.cli.extensions:extensions", "Commands that plugins add."),
}
"""Where each command is and the summary that the list of commands shows. A new command is one line here and nothing more: its
module is imported when it is run, never for the list."""


class LazyGroup(click.Group):
    """A group whose members are named in a table and imported only when one is run. Help and complaints are pretty, but for
    `serve`: a hub would keep in memory all its life what pretty is made of."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """For the list of commands: name and summary are all it shows."""
        entry = SUBCOMMANDS.get(cmd_name)
        return click.Command(cmd_name, help=entry[1]) if entry else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """For running one: a wrong name is click's own error, a right one is imported."""
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None and command.name in SUBCOMMANDS:
            module, _, attribute = SUBCOMMANDS[command.name][0].partition(":")
            command = getattr(_imported(module), attribute)
        return name, command, rest

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        words = sys.argv[1:] if args is None else args
        run = super().main if [*words[:1]] == ["serve"] else self._pretty().main
        return run(args, prog_name, complete_var, standalone_mode, windows_expand_args=windows_expand_args, **extra)

    def _pretty(self) -> click.Group:
        from relayhub.cli.pretty import PrettyGroup

        return PrettyGroup(self)


def _imported(module: str) -> ModuleType:
    """What modules are made of lives as long as the program. Looking it through for garbage while it grows takes a tenth of
    the start, and later each full collection would hold up every open stream for as long as all of it takes."""
    if module in sys.modules:
        return sys.modules[module]
    gc.disable()
    try:
        _import_structlog()
        from relayhub.cli.late_certificates import certificates_later
        from relayhub.cli.late_methods import methods_later

        with certificates_later(), methods_later():
            return import_module(module)
    finally:
        gc.freeze()
        gc.enable()


def _import_structlog() -> None:
    """Before anybody else does. Where it finds the library that draws it takes that along: 4 MB, for tracebacks that show
    what every frame knows, secrets and prompts among it."""
    drawing = sys.modules.get("rich")
    sys.modules["rich"] = None  # type: ignore[assignment]  # how Python itself notes that there is none
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]
        if drawing is not None:
            sys.modules["rich"] = drawing


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="relayhub")
def main() -> None:
    """A self-hosted AI gateway: one key in front of many upstreams."""
    from relayhub.cli.logs import configure_logging

    configure_logging("warning", "auto")  # what a command prints is its result; `serve` says more
