from __future__ import annotations

import subprocess
import sys

from tests.bench.processes import MIB, Cpus, cpu_s, memory_mib, running, start, tree

BURN = "import time; [None for _ in iter(lambda: time.process_time() < {s}, False)]"
PARENT = f"""
import subprocess, sys
reaped = subprocess.run([sys.executable, "-c", {BURN.format(s=0.3)!r}])
alive = subprocess.Popen([sys.executable, "-c", {BURN.format(s=0.2)!r} + "; print(1, flush=True); time.sleep(60)"])
alive.wait()
"""


def test_the_time_of_the_whole_tree_counts_also_of_what_has_ended() -> None:
    with running(start((sys.executable, "-c", PARENT), None, stdout=subprocess.PIPE)) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert len(tree(process.pid)) == 2
        assert 0.5 <= cpu_s(process.pid) < 5
        pid = process.pid
    assert cpu_s(pid) == 0, "all of it has ended"


def test_memory_grows_with_what_a_process_holds() -> None:
    script = "input(); held = bytearray(b'x' * {size}); print(1, flush=True); input()"
    command = (sys.executable, "-c", "print(0, flush=True); " + script.format(size=50 * MIB))
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    with running(process):
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        before = memory_mib(process.pid)
        process.stdin.write("\n")
        process.stdin.flush()
        process.stdout.readline()
        assert 45 < memory_mib(process.pid) - before < 110
        process.stdin.close()


def test_a_process_runs_on_its_own_processor(cpus: Cpus) -> None:
    script = "import os; print(sorted(os.sched_getaffinity(0)))"
    with running(start((sys.executable, "-c", script), cpus.load, stdout=subprocess.PIPE)) as process:
        said = process.communicate()[0].strip()
    assert cpus.load is None or said == f"[{cpus.load}]"
