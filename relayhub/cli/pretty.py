"""A group of commands with the library that draws their list, and frames what was wrong with how one was called."""

from __future__ import annotations

import click
import rich_click


class PrettyGroup(rich_click.RichGroup):
    """Shows and runs the members of another group."""

    def __init__(self, plain: click.Group) -> None:
        super().__init__(
            name=plain.name,
            callback=plain.callback,
            params=plain.params,
            help=plain.help,
            context_settings=plain.context_settings,
        )
        self._plain = plain

    def list_commands(self, ctx: click.Context) -> list[str]:
        return self._plain.list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return self._plain.get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        return self._plain.resolve_command(ctx, args)
