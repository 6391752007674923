"""`benchmarks/faults_serving.py --quick`: nothing is lost."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_nothing_is_lost() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "faults_serving.py"), "--quick"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    rows = [line.strip("| ").split("|") for line in result.stdout.splitlines()[2:]]
    assert result.returncode == 0, result.stdout + result.stderr[-2000:]
    assert len(rows) == 8
    assert all(int(tried) > 0 and int(lost) == 0 for _, tried, _, lost in rows)
