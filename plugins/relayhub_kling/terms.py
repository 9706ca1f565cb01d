"""What a video request comes to, whichever generation of the API it goes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from relayhub.sdk import MediaUsage, VideoRequest
from relayhub_kling.inputs import Place, Placed, placed
from relayhub_kling.refusal import flag, needs, one_of, refuse
from relayhub_kling.shots import Shots, shots_in
from relayhub_kling.traits import MODES, Resolution, VideoTraits

RATIOS = ("16:9", "9:16", "1:1")
MAX_PROMPT = 2_500
USUAL_S = 5
CAMERA_S = 5
TERMS = frozenset({"mode", "sound", "keep_original_sound", "watermark_info", "multi_shot", "shot_type", "multi_prompt"})
"""Kling's own names of what is in :class:`Terms`."""


@dataclass(frozen=True, slots=True)
class Terms:
    """``seconds`` ``None``: as long as the clip that goes in; ``audio`` ``None``: the model makes no sound; ``keeps_sound``:
    of the clip that goes in; ``ratio`` ``None``: what goes in decides."""

    prompt: str
    inputs: Sequence[Placed]
    resolution: Resolution
    seconds: int | None
    audio: bool | None
    keeps_sound: bool
    ratio: str | None
    watermark: bool
    shots: Shots
    usage: MediaUsage

    @property
    def video_ms(self) -> int | None:
        return None if self.seconds is None else self.seconds * 1000

    def of(self, *places: Place) -> list[Placed]:
        return [one for one in self.inputs if one.place in places]


def terms_of(request: VideoRequest, vendor: Mapping[str, object], traits: VideoTraits) -> Terms:
    """``vendor``: parameters by Kling's names. Raises ``ClientError`` naming what the model cannot honour."""
    return _Reading(request, vendor, traits).terms()


class _Reading:
    def __init__(self, request: VideoRequest, vendor: Mapping[str, object], traits: VideoTraits) -> None:
        self._request = request
        self._vendor = vendor
        self._traits = traits
        self._inputs = placed(request, traits)
        self._shots = shots_in(vendor, traits)

    def terms(self) -> Terms:
        wants_sound, sound_field = self._sound()
        clip = self._given(Place.CLIP, Place.SOURCE)
        audio = self._audio(wants_sound, sound_field, clip)
        resolution = self._resolution(bool(audio), sound_field)
        seconds = self._seconds()
        most_s = max(seconds or self._traits.clip_s, self._request.billed_seconds or 0)
        kind = "video" if clip is not None else "image" if self._inputs else "text"
        self._check_rest()
        return Terms(
            prompt=self._prompt(),
            inputs=self._inputs,
            resolution=resolution,
            seconds=seconds,
            audio=audio,
            keeps_sound=self._keeps_sound(wants_sound, clip),
            ratio=self._ratio(),
            watermark=self._watermark(),
            shots=self._shots,
            usage=MediaUsage(video_ms=round(most_s * 1000), resolution=resolution, audio=audio, input_kind=kind),
        )

    def _given(self, *places: Place) -> Placed | None:
        return next((one for one in self._inputs if one.place in places), None)

    def _check_rest(self) -> None:
        if self._request.seed is not None:
            refuse("seed", "this upstream takes none.")
        if self._request.negative_prompt:
            if not self._traits.negative_prompt:
                refuse("negative_prompt", "this model has none; say in the prompt what should not be seen.")
            if len(self._request.negative_prompt) > MAX_PROMPT:
                refuse("negative_prompt", f"it must have at most {MAX_PROMPT} characters.")

    def _prompt(self) -> str:
        prompt, framed = self._request.prompt, self._given(Place.FIRST_FRAME, Place.LAST_FRAME) is not None
        if not self._inputs and not self._traits.text:
            refuse("image", "this model needs one.")
        optional = (framed and not self._traits.omni) or "multi_prompt" in self._shots.fields
        if not prompt.strip() and not optional:
            refuse("prompt", "it is empty.")
        if len(prompt) > MAX_PROMPT:
            refuse("prompt", f"it must have at most {MAX_PROMPT} characters.")
        return prompt

    # --- sound --------------------------------------------------------------------------------------------------------

    def _sound(self) -> tuple[bool | None, str]:
        """Whether sound is wanted, and what the client calls it."""
        said = self._vendor.get("sound")
        if said is None:
            return self._request.audio, "audio"
        wanted = one_of("sound", said, ("on", "off")) == "on"
        if self._request.audio not in (None, wanted):
            refuse("sound", "it contradicts what is said of audio.")
        return wanted, "sound"

    def _audio(self, wanted: bool | None, field: str, clip: Placed | None) -> bool | None:
        """Whether it makes sound: beside a clip it does not, there the clip's own can be kept."""
        if wanted and clip is None:
            needs(field, bool(self._traits.audio))
        if not self._traits.audio:
            return None
        return bool(wanted) and clip is None

    def _keeps_sound(self, wanted: bool | None, clip: Placed | None) -> bool:
        said = self._vendor.get("keep_original_sound")
        if said is None:
            return clip is not None and (wanted is True or (wanted is None and clip.place is Place.SOURCE))
        if clip is None:
            refuse("keep_original_sound", "there is no video whose sound could be kept.")
        return one_of("keep_original_sound", said, ("yes", "no")) == "yes"

    # --- size and length ----------------------------------------------------------------------------------------------

    def _resolution(self, audio: bool, sound_field: str) -> Resolution:
        """Where the client says none: the cheapest that can do what it asks."""
        said, field = self._said_resolution()
        last = self._given(Place.LAST_FRAME)
        bounds: list[tuple[str, Sequence[Resolution]]] = [
            *([(sound_field, self._traits.audio)] if audio else []),
            *([(last.given.field, self._traits.last_frame)] if last is not None else []),
            *([("camera_control", self._traits.camera)] if "camera_control" in self._vendor else []),
        ]
        allowed = [one for one in self._traits.resolutions if said in (None, one)]
        if not allowed:
            refuse(field, f"this model makes {', '.join(self._traits.resolutions)}.")
        for name, fits in bounds:
            allowed = [one for one in allowed if one in fits]
            if not allowed:
                also = f"this model has it in {', '.join(fits)}" if fits else "this model does not take it"
                refuse(name, f"{also}{' only, or not with the rest that is asked for' if fits else ''}.")
        return allowed[0]

    def _said_resolution(self) -> tuple[str | None, str]:
        said = self._request.resolution.lower() if self._request.resolution else None
        mode = self._vendor.get("mode")
        if mode is None:
            return said, "resolution"
        meant = MODES[one_of("mode", mode, MODES)]
        if said not in (None, meant):
            refuse("mode", f"it means {meant}, and the resolution that is asked for is {said}.")
        return meant, "mode"

    def _seconds(self) -> int | None:
        said, allowed = self._request.seconds, self._traits.seconds
        if self._given(Place.SOURCE) is not None:
            if said is not None:
                refuse("duration", "an edited video is as long as the one that goes in.")
            return None
        of_shots = self._shots.seconds
        if said is None:
            said = of_shots or (USUAL_S if USUAL_S in allowed else allowed[0])
        if said not in allowed:
            refuse("duration", f"this model makes {_listed(allowed)} seconds.")
        if of_shots not in (None, said):
            refuse("multi_prompt", f"the shots have {of_shots} seconds together, not {said:g}.")
        if "camera_control" in self._vendor and said != CAMERA_S:
            refuse("camera_control", f"this model takes it in videos of {CAMERA_S} seconds.")
        return int(said)

    def _ratio(self) -> str | None:
        said = self._request.ratio
        if self._given(Place.FIRST_FRAME, Place.LAST_FRAME, Place.SOURCE) is not None:
            if said is not None:
                refuse("ratio", "it is that of the frame or video that goes in.")
            return None
        return one_of("ratio", said or RATIOS[0], RATIOS)

    def _watermark(self) -> bool:
        info = self._vendor.get("watermark_info")
        if info is None:
            return bool(self._request.watermark)
        if not isinstance(info, dict) or info.keys() != {"enabled"}:
            refuse("watermark_info", "it must be an object with enabled.")
        return flag("watermark_info", info["enabled"])


def _listed(allowed: Sequence[int]) -> str:
    whole = list(allowed) == list(range(allowed[0], allowed[-1] + 1)) and len(allowed) > 2
    return f"{allowed[0]} to {allowed[-1]} whole" if whole else " or ".join(map(str, allowed))
