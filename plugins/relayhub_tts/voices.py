"""Voices for OpenAI's names, so that a client built for OpenAI is heard at once. The settings come before this map."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from relayhub_tts.vendor import Vendor

VOICES: Mapping[Vendor, Mapping[str, str]] = MappingProxyType(
    {
        # Only voices that each model of the family has.
        Vendor.QWEN: MappingProxyType(
            {
                "alloy": "Cherry",
                "ash": "Ethan",
                "ballad": "Ethan",
                "cedar": "Ethan",
                "coral": "Serena",
                "echo": "Ethan",
                "fable": "Ethan",
                "marin": "Serena",
                "nova": "Cherry",
                "onyx": "Ethan",
                "sage": "Serena",
                "shimmer": "Chelsie",
                "verse": "Ethan",
            }
        ),
        Vendor.MINIMAX: MappingProxyType(
            {
                "alloy": "female-chengshu",
                "ash": "male-qn-jingying",
                "ballad": "male-qn-daxuesheng",
                "cedar": "male-qn-jingying",
                "coral": "female-tianmei",
                "echo": "male-qn-qingse",
                "fable": "male-qn-daxuesheng",
                "marin": "female-yujie",
                "nova": "female-shaonv",
                "onyx": "male-qn-badao",
                "sage": "female-yujie",
                "shimmer": "female-tianmei",
                "verse": "male-qn-qingse",
            }
        ),
    }
)
