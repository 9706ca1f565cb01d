"""The pipeline of the config in force, for what outlives a config."""

from __future__ import annotations

from relayhub.gateway.call import Call, Client
from relayhub.gateway.pipeline import Pipeline


class CurrentPipeline:
    """A call is served to its end by the pipeline that it began with."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline

    async def serve(self, call: Call, client: Client) -> None:
        """See :meth:`Pipeline.serve`."""
        await self.pipeline.serve(call, client)
