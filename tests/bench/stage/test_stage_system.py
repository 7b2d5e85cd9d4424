"""What the benches stand on: whoever ends a bench early finds nothing of it running."""

import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tools.system import ROOT

pytestmark = pytest.mark.processes

BENCH = """
import sys, time
from pathlib import Path
from bench.stage.system import databases
with databases(Path(sys.argv[1])) as fresh:
    print(fresh.url("postgresql"), flush=True)
    time.sleep(600)
"""


def test_a_bench_that_is_ended_early_ends_its_database_server(tmp_path: Path) -> None:
    words = [sys.executable, "-c", BENCH, str(tmp_path)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as bench:
        assert bench.stdout is not None
        url = bench.stdout.readline().split()[-1].replace("+psycopg", "")
        psycopg.connect(url).close()
        bench.send_signal(signal.SIGTERM)
        assert bench.wait(timeout=60) == 143
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
