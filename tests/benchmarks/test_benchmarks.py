"""The speed and memory comparisons: what they feed and divide, and that our half still runs."""

import importlib
import json
import pathlib
import random
import types

import pytest

BENCHMARKS = pathlib.Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def throughput(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))  # the scripts import their neighbours
    return importlib.import_module("train_throughput")


@pytest.fixture
def step_memory(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("step_memory")


def write_log(path: pathlib.Path, lines: list[str]) -> pathlib.Path:
    path.write_text("\n".join(["SessionId\tItemId\tTime", *lines]) + "\n")
    return path


def test_sessions_come_in_time_order_and_ties_keep_the_files(
    throughput: types.ModuleType, tmp_path: pathlib.Path
) -> None:
    log = write_log(tmp_path / "log.txt", ["7\tb\t2", "9\tx\t1", "7\tz\t2", "7\ta\t1.5"])
    sessions = throughput.read_sessions(log, "SessionId", "ItemId", "Time", "\t")
    assert sessions == [["a", "b", "z"], ["x"]]


def test_a_missing_column_and_an_empty_log_are_named(
    throughput: types.ModuleType, tmp_path: pathlib.Path
) -> None:
    log = write_log(tmp_path / "log.txt", [])
    with pytest.raises(ValueError, match=r"should have the columns .*'Clock'.* Received"):
        throughput.read_sessions(log, "SessionId", "ItemId", "Clock", "\t")
    with pytest.raises(ValueError, match="at least one event"):
        throughput.read_sessions(log, "SessionId", "ItemId", "Time", "\t")


def test_packed_windows_are_full_and_in_order(throughput: types.ModuleType) -> None:
    sessions = [["a", "b"], ["c", "d", "e"], ["f", "g"]]
    windows = throughput.pack(sessions, length=2)
    assert windows == [["a", "b", "c"], ["d", "e", "f"]]  # g is left over
    assert throughput.count_positions(windows, length=2) == 4


def test_positions_are_the_newest_targets_of_each_sequence(throughput: types.ModuleType) -> None:
    assert throughput.count_positions([["a"] * 2, ["b"] * 4, ["c"] * 9], length=3) == 1 + 3 + 3


def test_ratios_pair_runs_of_one_round(throughput: types.ModuleType) -> None:
    def summary(speeds: list[float]) -> dict:
        return throughput.summarise(
            [
                {
                    "positions": 10,
                    "positions_per_second": speed,
                    "peak_memory_mb": 100.0,
                    "losses": [2.0, 1.0],
                    "loss_fell": True,
                }
                for speed in speeds
            ]
        )

    # The machine was half as fast in the second round: the ratio of each round is 4, 4 and 10.
    systems = {"full": {"ours": summary([400, 200, 1000]), "peer": summary([100, 50, 100])}}
    (row,) = throughput.compare(systems, ["full"])
    assert (row["ratio"], row["ratio_min"], row["ratio_max"]) == (4, 4, 10)
    assert (row["ours_per_second"], row["theirs_per_second"]) == (400, 100)


def test_memory_growth_is_what_neither_size_explains_alone(step_memory: types.ModuleType) -> None:
    def cells(share: float) -> list[dict]:
        return [
            {
                "catalogue": catalogue,
                "positions": positions,
                "scores_mb": positions * catalogue * 4 / 1e6,
                "added_mb": 5
                + 0.1 * positions
                + 0.002 * catalogue
                # what only a matrix of all scores needs
                + share * positions * catalogue * 4 / 1e6,
            }
            for catalogue in (10_000, 100_000)
            for positions in (1024, 4096, 16384)
        ]

    assert step_memory.memory_growth(cells(0.0)) == pytest.approx(0, abs=1e-9)
    assert step_memory.memory_growth(cells(2.0)) == pytest.approx(2)


@pytest.mark.slow
def test_our_half_of_the_comparison_runs_and_learns(
    throughput: types.ModuleType, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A round of clicks, 0 to 1 to 2 ... to 0: what follows can be learned."""
    generator = random.Random(0)
    lines = []
    for session in range(400):
        first, length = generator.randrange(6), generator.randrange(2, 7)
        lines += [f"{session}\t{(first + step) % 6}\t{step}" for step in range(length)]
    log = write_log(tmp_path / "log.txt", lines)
    target = tmp_path / "report.json"
    options = f"--rounds 1 --our-epochs 1 --embedding-dim 8 --length 4 --json {target}".split()
    status = throughput.main(
        ["--events-train", str(log), "--variants", "ours", "--losses", "full", *options]
    )
    assert status == 0  # the loss fell
    report = json.loads(target.read_text())
    ours = report["systems"]["full"]["ours"]
    by_hand = sum(
        min(sum(line.startswith(f"{session}\t") for line in lines) - 1, 4) for session in range(400)
    )
    assert ours["positions"] == by_hand
    assert ours["positions_per_second"] > 0
    assert ours["peak_memory_mb"] > 50
    assert 0 <= report["cores_busy_elsewhere"] <= 1
    assert "| full softmax |" in capsys.readouterr().out
