"""The benchmarks for a GPU: what they do without one, and on a CPU in its place."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "benchmarks"


def run(script: str, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(FOLDER.parent), "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment["CUDA_VISIBLE_DEVICES"] = "-1"
    return subprocess.run(
        [sys.executable, str(FOLDER / script), *words],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("script", ["gpu.py", "gpu_serving.py"])
def test_without_a_gpu_it_says_what_it_skips(script: str) -> None:
    answer = run(script)
    assert "sees no GPU. Skipped: " in answer.stderr
    assert not answer.stdout


@pytest.mark.slow
def test_training_is_timed(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "gpu.json"
    words = "--device cpu --models sasrec --sessions 10 --items 300 60000 --positions 40"
    precisions = ["--precisions", "float32", "mixed-xla"]
    words += f" --embedding-dim 8 --num-layers 1 --executions 2 --json {file}"
    answer = run("gpu.py", *words.split(), *precisions)
    report = json.loads(file.read_text())
    assert [(one["items"], one["precision"]) for one in report["cells"]] == [
        (300, "float32"), (300, "mixed-xla"), (60_000, "float32"),
    ]  # fmt: skip
    for one in report["cells"]:
        assert one["positions_per_second"] == pytest.approx(40 / one["step_ms"] * 1e3)
    # 3 (4 + 2) 8 x 8 products of a block, 10 positions of attention, all items against all
    by_hand = 3 * (2 * 6 * 64 + 2 * 2 * 10 * 8 + 2 * 300 * 8)
    first = report["cells"][0]
    assert first["tflops"] * 1e12 / first["positions_per_second"] == pytest.approx(by_hand)
    assert "| sasrec |  10 × 1 |    300 | mixed-xla |" in answer.stdout


@pytest.mark.slow
def test_searches_and_an_export_are_timed(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "serving.json"
    words = "--device cpu --catalogues 300 --export-catalogues 300 --batches 1 4 --rounds 2 --k 5"
    run("gpu_serving.py", *words.split(), "--json", str(file))
    report = json.loads(file.read_text())
    kinds = report["tables"]["300"]["kinds"]
    assert kinds["float32"]["recall"] == 1.0
    assert kinds["bfloat16"]["recall"] > 0.9
    for times in (kinds["float32"]["4"], report["exports"]["300"]["recommend"]["4"]):
        assert times["per_second"] == pytest.approx(4e3 / times["ms"], rel=1)
