"""An image request in DashScope's terms: every parameter checked against what the model takes."""

from __future__ import annotations

import math
import re

from relayhub.sdk import ImageRequest, InputRole, MediaUsage
from relayhub_happyhorse.asked import MAX_SEED, Asked
from relayhub_happyhorse.links import picture
from relayhub_happyhorse.refusal import flag, needs, one_of, refusal, refuse, whole
from relayhub_happyhorse.settings import HappyHorseSettings
from relayhub_happyhorse.traits import IMAGE_MODELS, ImageTraits, traits_of

WXH = re.compile(r"(\d{2,5})[x*](\d{2,5})")
RATIO = re.compile(r"(\d{1,2}):(\d{1,2})")
SIDE_STEP = 16
NEAR = 0.02
"""How far a fixed size may be from the ratio it stands for: 1664x928 is 16:9."""
PIXELS = {"1k": 1024**2, "2k": 2048**2, "4k": 4096**2}


def image_asked(model: str, request: ImageRequest, settings: HappyHorseSettings, *, private: bool) -> Asked:
    """Raises ``ClientError`` naming what the model cannot honour."""
    return _Reading(model, request, image_traits(model, settings), settings, private).asked()


def image_traits(model: str, settings: HappyHorseSettings) -> ImageTraits:
    """Raises ``ClientError`` naming the model if nothing is known of it."""
    return traits_of(model, IMAGE_MODELS, settings.image_traits)


class _Reading:
    """One request on its way into DashScope's terms."""

    def __init__(
        self, model: str, request: ImageRequest, traits: ImageTraits, settings: HappyHorseSettings, private: bool
    ) -> None:
        self._model = model
        self._request = request
        self._traits = traits
        self._settings = settings
        self._private = private

    def asked(self) -> Asked:
        request = self._request
        if not request.prompt.strip():
            refuse("prompt", "it is empty.")
        self._check_plain()
        content = [*({"image": one} for one in self._pictures()), {"text": request.prompt}]
        size = self._size()
        parameters = {
            **({} if size is None else {"size": size.upper() if size in PIXELS else size.replace("x", "*")}),
            "n": whole("n", request.count, 1, self._traits.count),
            **self._optional(),
        }
        usage = MediaUsage(
            images=request.count,
            resolution=size if size in PIXELS else None,
            size=None if size in PIXELS else size,
            input_kind="image" if request.inputs else "text",
        )
        messages = {"messages": [{"role": "user", "content": content}]}
        return Asked(self._model, request.prompt, messages, parameters, usage)

    def _check_plain(self) -> None:
        """What has no parameter here."""
        request = self._request
        if request.quality not in (None, "auto", "standard"):
            refuse("quality", "this upstream has none; ask for a size.")
        if request.background not in (None, "auto", "opaque"):
            refuse("background", "this upstream makes opaque images only.")
        if request.output_format not in (None, "png"):
            refuse("output_format", "this upstream makes png only.")

    def _pictures(self) -> list[str]:
        traits, inputs = self._traits, self._request.inputs
        if len(inputs) < traits.min_inputs:
            refuse("image", "this model needs one.")
        for index, given in enumerate(inputs):
            if given.role not in (InputRole.IMAGE, InputRole.REFERENCE_IMAGE):
                refuse(given.field, f"this upstream takes no {given.role.replace('_', ' ')} for images.")
            if index >= traits.max_inputs:
                refuse(given.field, f"this model takes {traits.max_inputs or 'no'} images.")
        allowed = self._settings.account_references
        return [picture(given, account_references=allowed, private=self._private) for given in inputs]

    def _optional(self) -> dict[str, object]:
        request, traits = self._request, self._traits
        body: dict[str, object] = {}
        if request.negative_prompt:
            needs("negative_prompt", traits.negative_prompt)
            body["negative_prompt"] = request.negative_prompt
        if request.watermark is not None:
            needs("watermark", traits.watermark or not request.watermark)
            body |= {"watermark": request.watermark} if traits.watermark else {}
        if request.seed is not None:
            body["seed"] = whole("seed", request.seed, 0, MAX_SEED)
        for name, value in request.vendor.items():
            if value is not None:
                body[name] = self._vendor(name, value)
        return body

    def _vendor(self, name: str, value: object) -> bool:
        if name not in ("prompt_extend", "thinking_mode"):
            refuse(name, "this upstream does not know it, or relayhub does not pass it on.")
        needs(name, name == "prompt_extend" or (self._traits.thinking and not self._request.inputs))
        return flag(name, value)

    # --- size ---------------------------------------------------------------------------------------------------------

    @property
    def _most(self) -> int:
        traits = self._traits
        return (traits.max_edit_pixels if self._request.inputs else None) or traits.max_pixels

    def _size(self) -> str | None:
        """``WxH``, a name, or ``None``: the model's own choice, which for an edit is the shape of its input."""
        request = self._request
        size = None if request.size in (None, "auto") else request.size
        said = {"size": size, "ratio": request.ratio, "resolution": request.resolution}
        first = next((name for name, value in said.items() if value is not None), None)
        if first is None:
            return None if request.inputs or not self._traits.sized else self._usual()
        needs(first, self._traits.sized)
        if size is None:
            return self._shaped(request.ratio, request.resolution)
        if request.resolution or request.ratio:
            refuse("size", "give a size, or a resolution and a ratio, not both.")
        return self._checked(size)

    def _usual(self) -> str | None:
        traits = self._traits
        name = next((name for name in traits.named if PIXELS[name] == traits.pixels), None)
        return name or next(iter(traits.sizes), None) or self._computed(1, 1, traits.pixels)

    def _checked(self, size: str) -> str:
        traits = self._traits
        if size.lower() in traits.named:
            return self._named(size.lower(), "size")
        found = WXH.fullmatch(size)
        if found is None:
            names = "".join(f"{name.upper()}, " for name in traits.named)
            refuse("size", f"this model takes {names}width x height, such as 1024x1024.")
        width, height = int(found[1]), int(found[2])
        if traits.sizes:
            return one_of("size", f"{width}x{height}", traits.sizes)
        if not self._fits(width, height):
            refuse(
                "size",
                f"this model makes images of {traits.min_pixels} to {self._most} pixels, sides of {traits.min_side} to "
                f"{traits.max_side}, up to {traits.longest:g}:1.",
            )
        return f"{width}x{height}"

    def _named(self, name: str, param: str) -> str:
        if PIXELS[name] > self._most:
            refuse(param, f"with images going in this model makes {self._most} pixels at most.")
        return name

    def _shaped(self, ratio: str | None, resolution: str | None) -> str:
        """By ratio and resolution, either of which may be missing."""
        if ratio is None and resolution in self._traits.named:
            return self._named(resolution, "resolution")
        if resolution is not None and (self._traits.sizes or resolution not in PIXELS):
            refuse("resolution", "this model takes a size (WxH) instead.")
        wide, high = self._sides(ratio or "1:1")
        if self._traits.sizes:
            return self._nearest(wide / high)
        pixels = PIXELS[resolution] if resolution else min(self._traits.pixels, self._most)
        size = self._computed(wide, high, pixels)
        if size is None:
            refuse("resolution" if resolution else "ratio", "this model makes no such size.")
        return size

    def _sides(self, ratio: str) -> tuple[int, int]:
        found = RATIO.fullmatch(ratio)
        if found is None or not int(found[1]) or not int(found[2]):
            refuse("ratio", "it must be two numbers, such as 16:9.")
        return int(found[1]), int(found[2])

    def _nearest(self, shape: float) -> str:
        for size in self._traits.sizes:
            width, height = (int(side) for side in size.split("x"))
            if abs(width / height / shape - 1) <= NEAR:
                return size
        raise refusal("ratio", f"this model makes {', '.join(self._traits.sizes)}.")

    def _computed(self, wide: int, high: int, pixels: int) -> str | None:
        """A size of this shape and about so many pixels; ``None``: the model makes none."""
        unit = math.sqrt(pixels / (wide * high)) / SIDE_STEP
        for rounded in (round, math.floor, math.ceil):
            width, height = (rounded(unit * side) * SIDE_STEP for side in (wide, high))
            if width and height and self._fits(width, height):
                return f"{width}x{height}"
        return None

    def _fits(self, width: int, height: int) -> bool:
        traits = self._traits
        return (
            traits.min_pixels <= width * height <= self._most
            and traits.min_side <= min(width, height)
            and max(width, height) <= min(traits.max_side, traits.longest * min(width, height))
        )
