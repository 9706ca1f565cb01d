"""The published test kit: conformance suites for provider plugins, and the fakes to run them offline.

Subclass a suite in your own tests, fill in its attributes, and run pytest::

    class TestAcme(RegistrationSuite, ChatWireSuite):
        provider_type = ACME
        package = relayhub_acme
        settings = {"api_key": "test-key"}
        ...

Each rule is one test method, named for what it demands; its failure says what to do.
"""

from relayhub.testing.chat import ChatWireSuite
from relayhub.testing.clock import FakeClock
from relayhub.testing.embeddings import EmbeddingWireSuite
from relayhub.testing.errors import ErrorCase, ErrorSuite
from relayhub.testing.images import ImageSample, ImageWireSuite, Pictured, RefusedImage
from relayhub.testing.job_simulator import Fate, Fault, JobSimulator, JobStep, SimulatedJob, SimulatedState
from relayhub.testing.jobs import JobSample, JobWireSuite, Refused, Told
from relayhub.testing.model_list import ModelListSuite
from relayhub.testing.native import NativeSuite
from relayhub.testing.registration import RegistrationSuite
from relayhub.testing.requests import RequestSuite
from relayhub.testing.speech import RefusedSpeech, SpeechSample, SpeechWireSuite, Spoken, Streamed
from relayhub.testing.steps import Driven, drive, replaying
from relayhub.testing.transport import TransportSuite
from relayhub.testing.upstream import Answer, Counters, Cut, Gate, Hang, Recorded, UpstreamSimulator, Wait

__all__ = [
    "Answer",
    "ChatWireSuite",
    "Counters",
    "Cut",
    "Driven",
    "EmbeddingWireSuite",
    "ErrorCase",
    "ErrorSuite",
    "FakeClock",
    "Fate",
    "Fault",
    "Gate",
    "Hang",
    "ImageSample",
    "ImageWireSuite",
    "JobSample",
    "JobSimulator",
    "JobStep",
    "JobWireSuite",
    "ModelListSuite",
    "NativeSuite",
    "Pictured",
    "Recorded",
    "Refused",
    "RefusedImage",
    "RefusedSpeech",
    "RegistrationSuite",
    "RequestSuite",
    "SimulatedJob",
    "SimulatedState",
    "SpeechSample",
    "SpeechWireSuite",
    "Spoken",
    "Streamed",
    "Told",
    "TransportSuite",
    "UpstreamSimulator",
    "Wait",
    "drive",
    "replaying",
]
