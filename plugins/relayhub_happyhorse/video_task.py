"""HappyHorse videos: requests and results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from relayhub.sdk import (
    Artifact,
    InputRole,
    MediaInput,
    MediaRequest,
    MediaUsage,
    VideoRequest,
    invalid_request,
    upstream_broke,
)
from relayhub_happyhorse.answers import LINK_LIVES_S, seconds
from relayhub_happyhorse.asked import MAX_SEED, Asked
from relayhub_happyhorse.links import link
from relayhub_happyhorse.refusal import needs, one_of, refusal, refuse, whole
from relayhub_happyhorse.settings import HappyHorseSettings
from relayhub_happyhorse.traits import FAMILIES, VIDEO_MODELS, VideoTraits, traits_of

DEFAULT_S = 5
FOLLOWS_INPUT = ("adaptive", "auto")
"""As a ratio: where the shape follows the input anyway there is nothing to be sent for it."""


class VideoTrade:
    """A :class:`relayhub_happyhorse.asked.Trade`."""

    path = "video-generation/video-synthesis"

    def __init__(self, settings: HappyHorseSettings) -> None:
        self._settings = settings

    def asked(self, model: str, request: MediaRequest, *, private: bool) -> Asked:
        if not isinstance(request, VideoRequest):
            raise invalid_request("model: this one makes videos only.", param="model")
        chosen = _of_family(model, request.inputs) if model in FAMILIES else model
        traits = traits_of(chosen, VIDEO_MODELS, self._settings.model_traits)
        return _Reading(chosen, request, traits, self._settings, private).asked()

    def artifacts(self, output: Mapping[str, object]) -> tuple[Artifact, ...]:
        url = output.get("video_url")
        if not isinstance(url, str) or not url:
            raise upstream_broke("a task that succeeded has no video")
        return (Artifact(url=url, media_type="video/mp4", lives_s=LINK_LIVES_S),)

    def usage(self, told: Mapping[str, object], _made: int, handle: Mapping[str, str]) -> MediaUsage | None:
        """``duration`` is what is billed: of an edit, the seconds that went in and those that came out."""
        billed_s = seconds(told.get("duration"))
        if billed_s is None:
            return None
        return MediaUsage(
            video_ms=round(billed_s * 1000),
            resolution=_resolution(told.get("SR")) or handle.get("resolution"),
            input_kind=handle.get("input_kind", "text"),
        )


class _Reading:
    """One request on its way into DashScope's terms."""

    def __init__(
        self, model: str, request: VideoRequest, traits: VideoTraits, settings: HappyHorseSettings, private: bool
    ) -> None:
        self._model = model
        self._request = request
        self._traits = traits
        self._settings = settings
        self._private = private

    def asked(self) -> Asked:
        request = self._request
        media = self._media()
        wanted = (request.resolution or self._traits.resolution).lower()
        resolution = one_of("resolution", wanted, self._traits.resolutions)
        length, billed_s = self._length()
        parameters = {
            "resolution": resolution.upper(),
            **self._ratio(),
            **length,
            **({} if request.watermark is None else {"watermark": request.watermark}),
            **self._seed(),
            **self._vendor(),
        }
        kind = "video" if self._traits.source_video else "image" if media else "text"
        billed_ms = round(max(billed_s, request.billed_seconds or 0) * 1000)
        usage = MediaUsage(video_ms=billed_ms, resolution=resolution, input_kind=kind)
        prompt = self._prompt()
        said = {**({"prompt": prompt} if prompt else {}), **({"media": media} if media else {})}
        return Asked(self._model, prompt, said, parameters, usage)

    def _prompt(self) -> str:
        request = self._request
        if self._traits.prompt and not request.prompt.strip():
            refuse("prompt", "it is empty.")
        if request.negative_prompt:
            refuse("negative_prompt", "this upstream has none; say in the prompt what should not be seen.")
        if request.audio is not None:
            refuse("audio", "this upstream decides on sound itself; for an edit there is audio_setting.")
        return request.prompt

    def _media(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = []
        limits = {
            "first_frame": int(self._traits.first_frame),
            "video": int(self._traits.source_video),
            "reference_image": self._traits.max_references,
        }
        for given in self._request.inputs:
            place = self._place(given)
            limit = limits[place]
            if [one["type"] for one in found].count(place) >= limit:
                what = place.replace("_", " ")
                refuse(given.field, f"this model takes {f'{limit} of' if limit else 'no'} {what}.")
            found.append({"type": place, "url": self._link(given)})
        self._check_missing([one["type"] for one in found])
        return found

    def _place(self, given: MediaInput) -> str:
        match given.role:
            case InputRole.IMAGE:
                return "first_frame" if self._traits.first_frame else "reference_image"
            case InputRole.FIRST_FRAME | InputRole.REFERENCE_IMAGE:
                return given.role.value
            case InputRole.SOURCE_VIDEO:
                return "video"
            case InputRole.LAST_FRAME | InputRole.REFERENCE_VIDEO | InputRole.REFERENCE_AUDIO | InputRole.MASK:
                raise refusal(given.field, f"this upstream takes no {given.role.replace('_', ' ')}.")

    def _link(self, given: MediaInput) -> str:
        return link(given, account_references=self._settings.account_references, private=self._private)

    def _check_missing(self, places: Sequence[str]) -> None:
        if self._traits.first_frame and "first_frame" not in places:
            refuse("image", "this model needs one to begin with.")
        if self._traits.source_video and "video" not in places:
            refuse("video", "this model needs one to edit.")
        if places.count("reference_image") < self._traits.min_references:
            refuse("image", f"this model needs {self._traits.min_references} or more for reference.")

    def _ratio(self) -> dict[str, object]:
        said = self._request.ratio
        if said is None or (not self._traits.ratios and said in FOLLOWS_INPUT):
            return {}
        if not self._traits.ratios:
            refuse("ratio", "with this model the shape follows what goes in.")
        return {"ratio": one_of("ratio", said, self._traits.ratios)}

    def _length(self) -> tuple[dict[str, object], float]:
        """What to send, and the most seconds that are billed."""
        traits, said = self._traits, self._request.seconds
        if not traits.timed:
            if said is not None:
                refuse("duration", "an edit is as long as the video that goes in.")
            return {}, 2 * traits.max_s
        wanted = DEFAULT_S if said is None else said
        if not traits.min_s <= wanted <= traits.max_s or wanted != int(wanted):
            refuse("duration", f"this model makes {traits.min_s} to {traits.max_s} whole seconds.")
        return {"duration": int(wanted)}, wanted

    def _seed(self) -> dict[str, object]:
        said = self._request.seed
        return {} if said is None else {"seed": whole("seed", said, 0, MAX_SEED)}

    def _vendor(self) -> dict[str, object]:
        body: dict[str, object] = {}
        for name, value in self._request.vendor.items():
            if value is None:
                continue
            if name != "audio_setting":
                refuse(name, "this upstream does not know it.")
            needs(name, self._traits.audio_setting)
            body[name] = one_of(name, value, ("auto", "origin"))
        return body


def _of_family(family: str, inputs: Sequence[MediaInput]) -> str:
    """The model that what goes in is for. Raises ``ClientError`` where there is none."""
    roles = [given.role for given in inputs]
    if InputRole.SOURCE_VIDEO in roles:
        kind = "video-edit"
    elif InputRole.REFERENCE_IMAGE in roles or roles.count(InputRole.IMAGE) > 1:
        kind = "r2v"
    else:
        kind = "i2v" if roles else "t2v"
    name = f"{family}-{kind}"
    if name not in VIDEO_MODELS:
        video = next(given for given in inputs if given.role is InputRole.SOURCE_VIDEO)
        refuse(video.field, f"no model of {family} edits videos.")
    return name


def _resolution(told: object) -> str | None:
    """``SR`` is the number of lines."""
    lines = str(told) if isinstance(told, int | str) and not isinstance(told, bool) else ""
    return f"{lines}p" if lines.isdecimal() else None
