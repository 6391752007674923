"""`tfsessionrec benchmark`: the runs, the saved results and the document."""

import json
import pathlib
import random

import pytest

from tfsessionrec.cli.benchmark.document import render, write_document
from tfsessionrec.cli.benchmark.suite import load_suites
from tfsessionrec.cli.benchmark.trial import Folders, Trial
from tfsessionrec.cli.main import main

TABLES = {"systems": {"head": "system", "about": "{num_queries:,} of {num_candidates:,}."}}


def write_suite(configs: pathlib.Path, name: str = "shop", **changes: object) -> None:
    content = {
        "title": "A shop",
        "log": "a shop",
        "metrics": {"HR@20": "hit_rate@20", "MRR@20": "mrr@20"},
        "tables": TABLES,
        **changes,
    }
    file = configs / name / "suite.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


def write(configs: pathlib.Path, name: str, **changes: object) -> Trial:
    content = {
        "title": f"`{name}`",
        "events": "log.csv",
        "train": "--session s --model sasrec",
        "evaluate": ["--protocol next_item --k 20"],
        "seeds": [0, 1],
        **changes,
    }
    file = configs / "shop" / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
    return Trial.load(file)


def measured(hit_rate: float, **changes: object) -> dict[str, object]:
    return {
        "metrics": {"hit_rate@20": hit_rate, "mrr@20": 0.5},
        "baselines": {"popularity": {"hit_rate@20": 0.125}},
        "num_queries": 12345,
        "num_candidates": 100,
        "epochs": 2,
        "parameters": 4321,
        "fit_seconds": 42.0,
        "evaluation_seconds": 7.0,
        "peak_gb": 1.5,
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 3}, r"is not a valid configuration.*epochs"),
        ({"title": None}, r"is not a valid configuration.*title"),
        ({"seeds": 3}, "`seeds` should be a list"),
    ],
)
def test_a_configuration_with_missing_or_unknown_keys_raises(
    tmp_path: pathlib.Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write(tmp_path, "wrong", **changes)


def test_an_invalid_suite_is_an_error(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["benchmark", "--configs", str(tmp_path)]) == 2
    assert "`--configs` should be a folder of suites" in capsys.readouterr().err
    write_suite(tmp_path)
    write(tmp_path, "one", table="other")
    assert main(["benchmark", "--configs", str(tmp_path)]) == 2
    assert "`table` should be one of systems. Received: 'other'" in capsys.readouterr().err
    write_suite(tmp_path, color="red")
    assert main(["benchmark", "--configs", str(tmp_path)]) == 2
    assert "is not a valid suite" in capsys.readouterr().err
    write_suite(tmp_path)
    write(tmp_path, "one")
    arguments = ["benchmark", "--configs", str(tmp_path), "--output", str(tmp_path)]
    assert main([*arguments, "--suite", "news"]) == 2
    assert "the beginning of its name. Suites: shop. Received: 'news'" in capsys.readouterr().err
    assert main([*arguments, "--data", str(tmp_path), "--config", "two"]) == 2
    assert "Configurations: ['one']. Received: ['two']" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"title": "A shop", "log": "a shop"}, "keys title, log, metrics, tables.*no metrics, no"),
        ([], "Received: no title, no log, no metrics, no tables"),
        (
            {"title": "A shop", "log": "a shop", "metrics": {"HR": "hit_rate@20"}, "tables": []},
            r"`tables` of .* at least one entry. Received: `tables`=\[\]",
        ),
    ],
)
def test_a_suite_without_its_keys_names_them(
    tmp_path: pathlib.Path, content: object, message: str
) -> None:
    write_suite(tmp_path)
    (tmp_path / "shop" / "suite.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        load_suites(tmp_path)


def test_the_document_shows_means_and_deviations_best_first(tmp_path: pathlib.Path) -> None:
    configs, folders = tmp_path / "configs", Folders(tmp_path / "out")
    tables = {
        "systems": {
            **TABLES["systems"],
            "baselines": {"popularity": "popularity"},
            "compare": [["sasrec", "gru4rec"], ["sasrec", "not-run"]],
        }
    }
    write_suite(configs, tables=tables)
    sasrec, gru4rec, _ = (write(configs, name) for name in ("sasrec", "gru4rec", "not-run"))
    sasrec.keep(0, measured(0.7), folders)
    sasrec.keep(1, measured(0.72, fit_seconds=21.0, peak_gb=2.5), folders)
    gru4rec.keep(0, measured(0.9), folders)
    folders.results.mkdir(exist_ok=True)
    (folders.results / "speed.md").write_text("## Speed\n\nFast.\n")
    write_document(load_suites(configs), folders)
    lines = folders.document.read_text().splitlines()
    best = lines.index("| `gru4rec` | 1 | 0.9000 | 0.5000 | 42 | 7 | 1.5 | 4,321 |")
    assert lines[best + 1] == (  # sqrt(2 * 0.01**2) = 0.0141; (42 + 21) / 2 = 31.5
        "| `sasrec` | 2 | 0.7100 ± 0.0141 | 0.5000 ± 0.0000 | 32 | 7 | 2.5 | 4,321 |"
    )
    assert lines[best + 2] == "| popularity |  | 0.1250 |  |  |  |  |  |"
    assert "12,345 of 100." in lines
    assert (
        "HR@20: `sasrec` reaches 0.79 times that of `gru4rec`, in 0.75 times the training time."
        in lines
    )
    assert "| a shop | HR@20 | `gru4rec`: 0.9000 in 42 s | the same |" in lines
    assert lines[-3:] == ["## Speed", "", "Fast."]
    assert "not-run" not in "\n".join(lines)
    assert (folders.results / "shop.png").stat().st_size > 5000


def test_an_ensemble_includes_the_costs_of_its_members(tmp_path: pathlib.Path) -> None:
    configs, folders = tmp_path / "configs", Folders(tmp_path / "out")
    write_suite(configs)
    write(configs, "sasrec").keep(0, measured(0.7), folders)
    asked = ["--protocol next_item --k 20 --ensemble runs/shop/sasrec/seed_0"]
    both = write(configs, "both", evaluate=asked, title="both")
    both.keep(0, measured(0.9, fit_seconds=1.0, parameters=0), folders)
    write_document(load_suites(configs), folders)
    assert "| both | 1 | 0.9000 | 0.5000 | 43 | 7 | 1.5 | 4,321 |" in folders.document.read_text()


def test_results_of_other_commands_are_ignored(tmp_path: pathlib.Path) -> None:
    configs, folders = tmp_path / "configs", Folders(tmp_path / "out")
    write_suite(configs)
    write(configs, "sasrec").keep(0, measured(0.7), folders)
    assert "`sasrec`" in render(load_suites(configs), folders)
    write(configs, "sasrec", train="--session s --model sasrec --epochs 9")
    assert "`sasrec`" not in render(load_suites(configs), folders)


@pytest.mark.slow
def test_a_suite_runs_once_and_resumes_where_it_stopped(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, configs, out = (tmp_path / name for name in ("data", "configs", "out"))
    data.mkdir()
    generator = random.Random(0)
    rows = [
        f"{session},{generator.choice('abcdef')},{100 * session + place}"
        for session in range(60)
        for place in range(4)
    ]
    (data / "log.csv").write_text("\n".join(["s,item_id,timestamp", *rows]) + "\n")
    made = "import sys; open(sys.argv[1], 'w').write(open(sys.argv[2]).read())"
    write_suite(configs, files={"copy.csv": f'python -c "{made}" copy.csv log.csv'})
    flags = "--session s --model sasrec --epochs 1 --embedding-dim 4"
    write(configs, "sasrec", train=flags, test_events="copy.csv")
    write(configs, "other", train="--session s --model no-such-model")
    command = ["benchmark", "--configs", str(configs), "--output", str(out), "--data", str(data)]
    answer = tmp_path / "answer.json"
    once = [*command, "--config", "sasrec", "--seed", "0", "--json", str(answer)]
    assert main(once) == 0
    assert json.loads(answer.read_text())["ran"] == ["shop/sasrec/0"]
    assert (out / "runs" / "logs" / "copy.csv").read_text() == (data / "log.csv").read_text()
    result = json.loads((out / "results" / "shop" / "sasrec.json").read_text())["seeds"]["0"]
    assert result["num_queries"] == 60 * 3
    assert result["num_candidates"] == 6
    assert result["parameters"] > 0
    assert result["fit_seconds"] > 0
    assert 0.1 < result["peak_gb"] < 24
    assert "| `sasrec` | 1 |" in (out / "RESULTS.md").read_text()
    assert main(once) == 0
    assert json.loads(answer.read_text())["ran"] == []
    # A failed run is an error and keeps the earlier results.
    assert main([*command, "--config", "other"]) == 2
    assert "failed: tfsessionrec train" in capsys.readouterr().err
    assert "| `sasrec` | 1 |" in (out / "RESULTS.md").read_text()
