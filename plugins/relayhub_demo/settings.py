"""What of the demo can be set."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class DemoSettings(BaseModel):
    """All optional: the demo needs none."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    slow_first_byte_s: float = Field(3.0, ge=0, le=60, description="How long demo-slow thinks before it answers.")
    slow_chunk_s: float = Field(0.3, ge=0, le=60, description="How long demo-slow waits between two pieces.")
    video_queue_s: float = Field(1.0, ge=0, le=3600, description="How long a video job waits.")
    video_run_s: float = Field(4.0, ge=0, le=3600, description="How long a video job runs.")
