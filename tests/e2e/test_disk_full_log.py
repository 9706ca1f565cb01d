"""A log that cannot be written fails nothing that is logged about."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from relayhub.cli.log_target import UnfailingTarget
from relayhub.cli.logs import configure_logging


class Disk(io.StringIO):
    """Takes nothing while it is full."""

    full = False

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(text)


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def test_lines_of_a_full_disk_are_lost_and_counted() -> None:
    disk = Disk()
    configure_logging("info", "json", disk)
    log = structlog.get_logger("relayhub")
    log.info("first")
    disk.full = True
    log.info("second")
    disk.full = False
    log.info("third")
    lines = disk.getvalue().splitlines()
    assert [json.loads(line)["event"] for line in (lines[0], lines[-1])] == ["first", "third"]
    assert "are lost" in lines[1]
    assert "second" not in disk.getvalue()


def test_a_file_that_was_closed_is_no_failure(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        target = UnfailingTarget(file)
    assert target.write("x") == 1
    target.flush()
