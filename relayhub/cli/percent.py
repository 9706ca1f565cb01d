"""Per cent in: as text, exactly."""

from __future__ import annotations

import click

from relayhub.types.discount import percent_to_ppm


class PercentType(click.ParamType[int]):
    """From 0 to 100, with up to 4 decimal places; parts per million once read."""

    name = "percent"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return percent_to_ppm(str(value).strip().removesuffix("%"))
        except ValueError as error:
            self.fail(str(error), param, ctx)
