"""A video request in Kling's terms: every parameter checked against what the model takes, none left out in silence."""

from __future__ import annotations

from relayhub.sdk import MediaRequest, VideoRequest, invalid_request
from relayhub_kling.asked import Asked
from relayhub_kling.classic import classic, extension
from relayhub_kling.refusal import refuse
from relayhub_kling.second import second
from relayhub_kling.settings import KlingSettings
from relayhub_kling.terms import terms_of
from relayhub_kling.traits import VIDEO_MODELS, traits_of

ACCOUNTS_OWN = ("element_list", "voice_list", "video_id")


def asked_video(model: str, request: MediaRequest, settings: KlingSettings) -> Asked:
    """Raises ``ClientError`` naming what the model cannot honour."""
    if not isinstance(request, VideoRequest):
        raise invalid_request("model: this one makes videos only.", param="model")
    traits = traits_of(model, VIDEO_MODELS, settings.model_traits)
    vendor = {name: value for name, value in request.vendor.items() if value is not None}
    for name in ACCOUNTS_OWN:
        if name in vendor and not settings.account_references:
            refuse(name, "things of the upstream account cannot be named here.")
    if "video_id" in vendor:
        return extension(request, vendor, traits)
    terms = terms_of(request, vendor, traits)
    if traits.api == "second":
        return second(model, vendor, traits, terms)
    return classic(model, request, vendor, traits, terms)
