"""Clips of several shots, each with its own prompt and length."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from relayhub_kling.refusal import flag, needs, one_of, refuse, text
from relayhub_kling.traits import VideoTraits

MAX_SHOTS = 6
MAX_SHOT_PROMPT = 512
FIELDS = ("multi_shot", "shot_type", "multi_prompt")


@dataclass(frozen=True, slots=True)
class Shots:
    """``seconds``: of all shots together, if they say it."""

    fields: Mapping[str, object]
    seconds: int | None = None


def shots_in(vendor: Mapping[str, object], traits: VideoTraits) -> Shots:
    """Raises ``ClientError`` naming the field that makes no sense."""
    for name in FIELDS:
        needs(name, traits.shots or name not in vendor)
    wanted = flag("multi_shot", vendor.get("multi_shot", False))
    if not wanted or traits.api == "second":
        for name in FIELDS[1:]:
            if name in vendor:
                refuse(name, "this model takes multi_shot alone." if wanted else "it goes with multi_shot: true.")
        # The second generation's own default is true.
        always = traits.api == "second" or "multi_shot" in vendor
        return Shots({"multi_shot": wanted} if always else {})
    kind = one_of("shot_type", vendor.get("shot_type"), ("customize", "intelligence"))
    fields = {"multi_shot": True, "shot_type": kind}
    if kind == "intelligence":
        if "multi_prompt" in vendor:
            refuse("multi_prompt", "it goes with shot_type customize.")
        return Shots(fields)
    prompts = vendor.get("multi_prompt")
    if not isinstance(prompts, list) or not 1 <= len(prompts) <= MAX_SHOTS:
        refuse("multi_prompt", f"it must be a list of 1 to {MAX_SHOTS} shots.")
    shots = [_shot(item, index) for index, item in enumerate(prompts, 1)]
    listed = [{**shot, "duration": str(shot["duration"])} for shot in shots]
    return Shots({**fields, "multi_prompt": listed}, sum(int(str(shot["duration"])) for shot in shots))


def _shot(item: object, index: int) -> dict[str, object]:
    if not isinstance(item, dict) or not item.keys() <= {"index", "prompt", "duration"}:
        refuse("multi_prompt", "each shot is an object of index, prompt and duration.")
    seconds = str(item.get("duration"))
    if not (seconds.isascii() and seconds.isdecimal()) or int(seconds) < 1:
        refuse("multi_prompt", "each shot has a duration in whole seconds.")
    if item.get("index", index) != index:
        refuse("multi_prompt", "shots are numbered from 1, in their order.")
    return {
        "index": index,
        "prompt": text("multi_prompt", item.get("prompt"), MAX_SHOT_PROMPT),
        "duration": int(seconds),
    }
