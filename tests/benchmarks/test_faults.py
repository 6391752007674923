"""`benchmarks/faults.py --short`: nothing is lost; what the campaign counts as lost is lost."""

import importlib
import pathlib
import subprocess
import sys
import types

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_nothing_is_lost() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "faults.py"), "--short"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    rows = [line.strip("| ").split("|") for line in result.stdout.splitlines()[2:]]
    assert result.returncode == 0, result.stdout + result.stderr[-2000:]
    assert len(rows) >= 12
    assert all(int(tried) > 0 and int(lost) == 0 for _, tried, _, lost in rows)


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))  # scripts import each other
    return importlib.import_module("faults_process")


def ended(process: types.ModuleType, status: int, output: str) -> object:
    return process.Ended(status, output, 0, 0.0)


def test_an_error_is_one_line_with_the_name(process: types.ModuleType) -> None:
    line = "tfsessionrec: error: /m/config.json cannot be written: full\n"
    assert ended(process, 2, line).refusal("config.json") == ""
    assert ended(process, 2, line).refusal("history.json")
    assert ended(process, 2, line + line).refusal("config.json")
    assert ended(process, 2, "Traceback\n" + line).refusal("config.json")
    assert ended(process, 0, line).refusal("config.json")
    assert ended(process, 0, "").problem() == ""
    assert ended(process, -9, "").problem()


def test_a_case_that_raises_or_reports_is_lost(process: types.ModuleType) -> None:
    def raises() -> str:
        raise ZeroDivisionError

    cases = [("good", lambda: ""), ("bad", lambda: "gone"), ("broken", raises)]
    assert process.counted("kills", cases) == process.Line("kills", 3, 2)


# A process is killed before its n-th file operation in a folder; others do not count.
KILLED = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
import faults_process
folder = pathlib.Path(sys.argv[2])
def work():
    pathlib.Path("/dev/null").write_text("")
    for name in "abc":
        (folder / name).write_text(name)
for event in (2, None):
    fault = faults_process.Fault(event=event)
    ended = faults_process.Running(work, folder, fault).end()
    print(ended.status, ended.events, "".join(sorted(f.name for f in folder.iterdir())))
"""


def test_a_kill_before_a_file_operation(tmp_path: pathlib.Path) -> None:
    command = [sys.executable, "-c", KILLED, str(ROOT / "benchmarks"), str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines() == ["-9 2 a", "0 3 abc"]
