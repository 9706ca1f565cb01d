"""A video request in Ark's terms: every parameter checked against what the model takes, none left out in silence."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from relayhub.sdk import InputRole, MediaUsage, VideoRequest
from relayhub_seedance.inputs import Place, content_item, placed
from relayhub_seedance.refusal import flag, needs, one_of, refusal, refuse, whole
from relayhub_seedance.settings import SeedanceSettings
from relayhub_seedance.tokens import FRAMES_PER_S, most_tokens
from relayhub_seedance.traits import VIDEO_MODELS, VideoTraits, traits_of

RATIOS = ("16:9", "4:3", "1:1", "3:4", "9:16", "21:9", "adaptive")
FLAG = re.compile(r"--(?=[A-Za-z])")
"""In a prompt Ark reads `` --dur 30`` as a parameter, above what is sent beside it: a client could change its price."""
DASH = "—"
MAX_SEED = 2**32 - 1
FRAMES = range(29, 290, 4)
AUTO = -1
DEFAULT_S = 5


@dataclass(frozen=True, slots=True)
class Asked:
    """``seconds``: ``AUTO`` where the model picks; ``most_s`` is then its longest clip. ``body`` is without the model."""

    body: Mapping[str, object]
    resolution: str
    most_s: float
    audio: bool | None
    input_kind: str
    input_s: int
    """Seconds of video that go in, at most: they are billed too."""

    @property
    def usage(self) -> MediaUsage:
        """At most."""
        return MediaUsage(
            video_ms=round(self.most_s * 1000),
            output_tokens=most_tokens(self.resolution, self.most_s + self.input_s),
            resolution=self.resolution,
            audio=self.audio,
            input_kind=self.input_kind,
        )


def asked(model: str, request: VideoRequest, settings: SeedanceSettings) -> Asked:
    """Raises ``ClientError`` naming what the model cannot honour."""
    traits = traits_of(model, VIDEO_MODELS, settings.model_traits)
    return _Reading(request, traits, settings).asked()


class _Reading:
    """One request on its way into Ark's terms."""

    def __init__(self, request: VideoRequest, traits: VideoTraits, settings: SeedanceSettings) -> None:
        self._request = request
        self._traits = traits
        self._settings = settings
        self._vendor = {name: value for name, value in request.vendor.items() if value is not None}
        self._inputs = placed(request, traits)
        self._draft = flag("draft", self._vendor.get("draft", False))

    def asked(self) -> Asked:
        content = self._content()
        task_type = self._task_type()
        resolution, audio = self._resolution(), self._audio()
        length, most_s = self._length()
        body = {
            "content": content,
            "resolution": resolution,
            "ratio": self._ratio(task_type),
            **length,
            **({} if audio is None else {"generate_audio": audio}),
            "watermark": bool(self._request.watermark),
            "execution_expires_after": self._settings.gives_up_s,
            **({"service_tier": "flex"} if self._settings.service_tier == "flex" else {}),
            **({} if task_type is None else {"omni_reference_task_type": task_type}),
            **self._seed(),
            **self._vendor_parameters(),
        }
        videos = any(one.place is Place.REFERENCE_VIDEO for one in self._inputs)
        kind = "video" if videos else "image" if self._inputs else "text"
        billed_s = max(most_s, self._request.billed_seconds or 0)
        return Asked(body, resolution, billed_s, audio, kind, self._traits.reference_s if videos else 0)

    def _content(self) -> list[dict[str, object]]:
        request = self._request
        if request.negative_prompt:
            refuse("negative_prompt", "this upstream has none; say in the prompt what should not be seen.")
        if not self._inputs and not self._draft_task():
            if not request.prompt.strip():
                refuse("prompt", "it is empty, and there is no picture or video either.")
            if not self._traits.text:
                refuse("image", "this model needs one.")
        prompt = FLAG.sub(DASH, request.prompt)
        text: list[dict[str, object]] = [{"type": "text", "text": prompt}] if prompt.strip() else []
        items = [content_item(one, account_references=self._settings.account_references) for one in self._inputs]
        return [*text, *items, *self._draft_task()]

    def _draft_task(self) -> Sequence[dict[str, object]]:
        task = self._vendor.get("draft_task_id")
        if task is None:
            return ()
        needs("draft_task_id", self._traits.draft and self._settings.account_references)
        if not isinstance(task, str) or not task:
            refuse("draft_task_id", "it must be the upstream's id of a draft.")
        return ({"type": "draft_task", "draft_task": {"id": task}},)

    def _resolution(self) -> str:
        if self._draft:
            needs("draft", self._traits.draft)
            return one_of("resolution", self._request.resolution or "480p", ("480p",))
        wanted = (self._request.resolution or self._traits.resolution).lower()
        return one_of("resolution", wanted, self._traits.resolutions)

    def _ratio(self, task_type: str | None) -> str:
        traits, said = self._traits, self._request.ratio
        framed = any(one.place.is_frame for one in self._inputs)
        bound = traits.adaptive_only and (framed or task_type in ("edit", "extend"))
        if not self._inputs:
            adaptive, usual = traits.adaptive_text, "16:9"
        elif framed or traits.adaptive_references:
            adaptive, usual = True, "adaptive"
        else:
            adaptive, usual = False, "16:9"
        allowed = ("adaptive",) if bound else RATIOS if adaptive else RATIOS[:-1]
        return one_of("ratio", said or usual, allowed)

    def _length(self) -> tuple[dict[str, object], float]:
        """What to send, and the most seconds that it comes to."""
        traits, said = self._traits, self._request.seconds
        frames = self._vendor.get("frames")
        if frames is not None:
            needs("frames", traits.frames)
            if said is not None:
                refuse("frames", "give frames or a duration, not both.")
            if whole("frames", frames, FRAMES.start, FRAMES[-1]) not in FRAMES:
                refuse("frames", "it must be 25 + 4n.")
            return {"frames": frames}, int(str(frames)) / FRAMES_PER_S
        editing = any(given.role is InputRole.SOURCE_VIDEO for given in self._request.inputs)
        if said is None:
            said = AUTO if editing and traits.auto_s else DEFAULT_S
        if said == AUTO and traits.auto_s:
            return {"duration": AUTO}, traits.max_s
        if said != int(said) or not traits.min_s <= said <= traits.max_s:
            also = ", or -1 to let it pick" if traits.auto_s else ""
            refuse("duration", f"this model makes {traits.min_s} to {traits.max_s} whole seconds{also}.")
        return {"duration": int(said)}, said

    def _audio(self) -> bool | None:
        if self._request.audio:
            needs("generate_audio", self._traits.audio)
        # Always said where it can be: Ark's own default is sound, which may cost more.
        return bool(self._request.audio) if self._traits.audio else None

    def _seed(self) -> dict[str, object]:
        if self._request.seed is None:
            return {}
        needs("seed", self._traits.seed)
        return {"seed": whole("seed", self._request.seed, -1, MAX_SEED)}

    def _task_type(self) -> str | None:
        said = self._vendor.get("omni_reference_task_type")
        if said is not None:
            return one_of("omni_reference_task_type", said, self._traits.task_types)
        editing = any(given.role is InputRole.SOURCE_VIDEO for given in self._request.inputs)
        return "edit" if editing and "edit" in self._traits.task_types else None

    def _vendor_parameters(self) -> dict[str, object]:
        done = ("frames", "draft_task_id", "omni_reference_task_type")
        return {name: self._vendor_parameter(name, value) for name, value in self._vendor.items() if name not in done}

    def _vendor_parameter(self, name: str, value: object) -> object:
        traits = self._traits
        match name:
            case "camera_fixed":
                needs(name, traits.camera_fixed)
                return flag(name, value)
            case "return_last_frame" | "draft":
                return flag(name, value)
            case "priority":
                needs(name, traits.priority)
                return whole(name, value, 0, 9)
            case "service_tier":
                return one_of(name, value, (self._settings.service_tier,))
            case "execution_expires_after":
                return whole(name, value, 3_600, self._settings.gives_up_s)
            case "output_format":
                return one_of(name, value, traits.output_formats)
            case "safety_identifier":
                return _identifier(name, value)
            case "tools":
                needs(name, traits.web_search and value == [{"type": "web_search"}])
                return value
            case _:
                raise refusal(name, "this upstream does not know it.")


def _identifier(name: str, value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 64:
        refuse(name, "it must be a text of at most 64 characters.")
    return value
