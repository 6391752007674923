"""What a report writes: Markdown, JSON and a page of plots."""

import json
import math
import pathlib
import sys

import numpy as np
import pytest
from matplotlib import image

from tfsessionrec.baselines import Popularity
from tfsessionrec.evaluation import Report, evaluate, evaluate_ranking

SIZE = 12


@pytest.fixture(scope="module")
def full() -> Report:
    rng = np.random.default_rng(0)
    return evaluate(
        Popularity(rng.permutation(SIZE)),
        [{"item_ids": rng.integers(2, SIZE, (60, 5, 3))}],
        k=(1, 5),
        popularity=np.arange(SIZE),
        slices=True,
        bootstrap=20,
        beyond_accuracy=True,
        keep_queries=True,
    )


def test_to_markdown(full: Report) -> None:
    lines = full.to_markdown("Tea shop").splitlines()
    assert lines[0] == "# Tea shop"
    low, high = full.intervals["model"]["recall@5"]
    cells = next(line for line in lines if line.startswith("| recall@5 |")).split(" | ")
    assert cells[1] == f"{full['recall@5']:.4f} [{low:.4f}, {high:.4f}]"
    head = lines.index("## ndcg@1 by target popularity")
    assert lines[head + 2] == "| slice | queries | model ndcg@1 | popularity ndcg@1 |"
    found = full.slices["target_popularity"]["head"]
    means = [found["metrics"][name]["ndcg@1"] for name in ("model", "popularity")]
    assert lines[head + 4] == f"| head | {found['queries']:,} | {means[0]:.4f} | {means[1]:.4f} |"
    assert "- filter_seen: no" in lines
    assert any(line.startswith("- slices by target_popularity: the items that") for line in lines)


def test_to_json_holds_everything_but_the_queries(full: Report, tmp_path: pathlib.Path) -> None:
    assert math.isnan(full["diversity@1"])  # A list of one item has no pair.
    full.to_json(tmp_path / "report.json")
    text = (tmp_path / "report.json").read_text()
    assert "NaN" not in text
    content = json.loads(text)
    assert content["metrics"]["diversity@1"] is None
    assert content["metrics"]["recall@5"] == full["recall@5"]
    assert content["intervals"]["model"]["recall@5"] == list(full.intervals["model"]["recall@5"])
    assert content["slices"]["session_length"]["3-5"]["queries"] == full.num_queries
    assert content["exposure"]["shares"]["model"][-1] == 1.0
    assert "queries" not in content
    assert full.queries is not None


def test_save(full: Report, tmp_path: pathlib.Path) -> None:
    full.save(tmp_path / "new" / "report", "Tea shop")
    written = sorted(path.name for path in (tmp_path / "new" / "report").iterdir())
    assert written == ["report.json", "report.md", "report.png"]
    assert (tmp_path / "new" / "report" / "report.md").read_text().startswith("# Tea shop\n")


def colors_of(path: pathlib.Path) -> set[int]:
    pixels = (image.imread(path)[..., :3] * 255).round().astype(int)
    values, counts = np.unique(pixels @ [2**16, 2**8, 1], return_counts=True)
    return set(values[counts > 200].tolist())


BLUE, GREY, WHITE = 0x1F6FEB, 0x868E96, 0xFFFFFF


def test_plot_shows_each_system(full: Report, tmp_path: pathlib.Path) -> None:
    full.plot(tmp_path / "full.png")
    assert colors_of(tmp_path / "full.png") >= {BLUE, GREY, WHITE}
    assert [path.name for path in tmp_path.iterdir()] == ["full.png"]
    wide = image.imread(tmp_path / "full.png").shape
    batch = {"item_ids": np.random.default_rng(0).integers(2, SIZE, (9, 3, 2))}
    evaluate(Popularity(np.ones(SIZE)), [batch], k=5).plot(tmp_path / "one.png")
    assert colors_of(tmp_path / "one.png") >= {BLUE}
    assert GREY not in colors_of(tmp_path / "one.png")
    assert image.imread(tmp_path / "one.png").shape[0] < wide[0]  # No empty panels.


def test_plot_of_a_ranking_report(tmp_path: pathlib.Path) -> None:
    batch = {"item_ids": [[[3, 0], [2, 4]]], "labels": [[[1, 0], [0, 1]]]}
    evaluate_ranking(Popularity([0, 0, 5, 1, 9]), [batch]).plot(tmp_path / "ranking.svg")
    text = (tmp_path / "ranking.svg").read_text()
    assert "as displayed" in text
    assert "Group auc" in text


def test_plot_of_nothing_found(tmp_path: pathlib.Path) -> None:
    """Every metric 0: the axes still have a length."""
    report = evaluate(
        Popularity([0, 0, 5, 1]),
        [{"item_ids": [[[2, 0], [3, 0]], [[2, 2], [3, 0]]]}],
        k=1,
        slices=True,
    )
    assert report["recall@1"] == 0
    report.plot(tmp_path / "nothing.png")
    assert (tmp_path / "nothing.png").exists()


def test_plot_of_repetition(tmp_path: pathlib.Path) -> None:
    """Recall of repeated and of new targets, where there are any."""
    batch = {"item_ids": [[[3], [4], [3]]]}
    for repeats in (True, False):
        report = evaluate(
            Popularity([0, 0, 5, 1, 9]), [batch], k=1, repetition=True, repeats=repeats
        )
        report.plot(tmp_path / "repetition.svg")
        text = (tmp_path / "repetition.svg").read_text()
        assert "Recall expl@1" in text
        assert ("Recall rep@1" in text) == repeats


@pytest.mark.parametrize(("number", "shown"), [(3, "3"), (23.456, "23.46"), (11997, "11,997")])
def test_number_of_candidates(number: float, shown: str) -> None:
    assert f" {shown} candidates" in str(Report({"recall@5": 0.5}, num_candidates=number))


def test_without_matplotlib(
    full: Report, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'pip install "tfsessionrec\[plots\]"'):
        full.plot(tmp_path / "report.png")
    assert not list(tmp_path.iterdir())
