"""docs/faults.md says what these tests show."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_table_is_up_to_date() -> None:
    script = [sys.executable, str(ROOT / "scripts" / "faults-table"), "--check"]
    done = subprocess.run(script, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


def test_every_test_of_a_fault_says_what_happens() -> None:
    lines = (ROOT / "docs" / "faults.md").read_text().splitlines()
    rows = [line.split(" | ") for line in lines if line.startswith("| ") and "|---|" not in line and line[2] != "|"]
    assert len(rows) > 60
    assert [row for row in rows if len(row) != 4 or not row[2].strip()] == []
