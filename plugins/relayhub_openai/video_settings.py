"""How an upstream serves the Video API."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from relayhub.sdk import PollPace

Pause = Annotated[float, Field(ge=1, le=3600)]


class VideoSettings(BaseModel):
    """Part of a provider entry."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    listing: bool = Field(
        False,
        description="Whether GET /videos lists everything of this key: a submit without an answer is looked up in it.",
    )
    cancels: bool = Field(
        False, description="Whether DELETE of a video that is not finished ends the work, and its cost."
    )
    first_s: Pause = Field(5, description="Seconds from the submit to the first poll.")
    every_s: Pause = Field(8, description="Seconds between polls.")
    slow_after_s: Pause = Field(180, description="Seconds after which polls become rarer.")
    slow_every_s: Pause = Field(15, description="Seconds between these rarer polls.")
    patient_after_s: Pause = Field(1800, description="Seconds after which hardly anything is expected.")
    patient_every_s: Pause = Field(300, description="Seconds between polls then.")
    gives_up_s: float = Field(
        86_400, ge=60, le=7 * 86_400, description="Seconds after which the upstream itself has given up."
    )

    @property
    def pace(self) -> PollPace:
        return PollPace(
            self.first_s,
            self.every_s,
            self.slow_after_s,
            self.slow_every_s,
            self.patient_after_s,
            self.patient_every_s,
            self.gives_up_s,
        )
