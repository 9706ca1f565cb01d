"""Results in backups: whole, once, and nowhere else than in their folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from relayhub.jobs import file_copies
from relayhub.jobs.file_copies import Copied, copy_results, drop_others

NAME = "file_01M7YYKW1AXYMGNB5GFAF6XQ1P"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    put(tmp_path / "results", NAME, b"film")
    return tmp_path / "results"


def put(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name[-2:].lower() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_a_result_is_copied_where_a_hub_looks_for_it(source: Path, tmp_path: Path) -> None:
    assert copy_results(source, tmp_path / "copy", [NAME, "file_gone"]) == Copied(1, 4, 1)
    copy = tmp_path / "copy" / "1p" / NAME
    assert copy.read_bytes() == b"film"
    assert copy.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in copy.parent.iterdir()] == [NAME]


def test_what_is_there_stays_and_what_is_cut_short_is_copied_again(source: Path, tmp_path: Path) -> None:
    kept = put(tmp_path / "copy", NAME, b"FILM")
    copy_results(source, tmp_path / "copy", [NAME])
    assert kept.read_bytes() == b"FILM"
    kept.write_bytes(b"fi")
    copy_results(source, tmp_path / "copy", [NAME])
    assert kept.read_bytes() == b"film"


@pytest.mark.parametrize("name", ["../../hub.db", "/etc/passwd", "a/b", ".."])
def test_a_name_that_leads_elsewhere_is_not_followed(source: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "hub.db").write_text("mine")
    assert copy_results(source, tmp_path / "copy", [name]) == Copied(0, 0, 1)
    assert not (tmp_path / "copy").exists()


def test_a_copy_that_breaks_off_leaves_nothing(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(file_copies.shutil, "copyfileobj", no_room)
    with pytest.raises(OSError, match="No space"):
        copy_results(source, tmp_path / "copy", [NAME])
    assert [path for path in (tmp_path / "copy").rglob("*") if path.is_file()] == []


def test_results_of_an_older_backup_by_this_name_go(tmp_path: Path) -> None:
    old, new = put(tmp_path, "file_old", b"x"), put(tmp_path, NAME, b"y")
    drop_others(tmp_path, [NAME])
    assert (old.exists(), new.exists()) == (False, True)
