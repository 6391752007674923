"""Runs the commands of this package on three real logs and writes `benchmarks/RESULTS.md`.

    python benchmarks/real_logs.py --data FOLDER [--suite yoochoose trivago globo] [--again]

FOLDER holds the logs under the names in `COMMANDS`. Every command runs in a process of its own;
its result, wall time and peak memory are kept in `benchmarks/runs/`, so that a run that was stopped
goes on where it stopped (`--again` starts over) and the tables can be written again without runs.
Figures of other scripts are taken from `benchmarks/runs/` too, if they are there:
`train_throughput.py --json benchmarks/runs/train_throughput.json` and
`step_memory.py --json benchmarks/runs/step_memory.json`.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import shlex
import subprocess
import sys
import time

import train_throughput
import trivago_orders

HERE = pathlib.Path(__file__).resolve().parent
RUNS = HERE / "runs"

YOOCHOOSE = "--session SessionId --item ItemId --time Time"
TRIVAGO = (
    "--user user_id --gap 0s --item reference --time timestamp --impressions impressions "
    "--filter 'action_type=clickout item' --holdout after=2018-11-08"
)
GLOBO = (
    "--user user_id --session session_id --item click_article_id --time click_timestamp "
    "--time-unit ms --holdout last-session"
)
SEEDS = (0, 1, 2)


@dataclasses.dataclass(frozen=True)
class Trial:
    """One model: how it is trained and asked, and what its row is called."""

    name: str
    title: str
    events: str
    train: str
    evaluate: str
    test: str | None = None

    def commands(self) -> dict[str, str]:
        """The two commands, as a user types them in a folder with the logs."""
        return {
            "train": f"train --events {self.events} {self.train} --output runs/{self.name}",
            "evaluate": f"evaluate --model runs/{self.name} --events {self.test or self.events} "
            f"{self.evaluate}",
        }


def yoochoose() -> dict[str, list[Trial]]:
    """Settings chosen on the last day of the training file, then the test file."""
    train, test = (f"yoochoose-clicks-100k_{part}.txt" for part in ("train_full", "test"))
    chosen = [
        Trial(
            f"yoochoose_dropout_{dropout}_epochs_{epochs}",
            f"dropout {dropout}, {epochs} epochs",
            train,
            f"{YOOCHOOSE} --holdout last-days=1 --model sasrec --set dropout={dropout} "
            f"--epochs {epochs}",
            "--protocol next_item --k 20",
        )
        for dropout, epochs in ((0.2, 24), (0.2, 36), (0.3, 36), (0.4, 36), (0.5, 36), (0.4, 48))
    ]
    final = [
        Trial(
            f"yoochoose_seed_{seed}",
            f"`sasrec`, its defaults, seed {seed}",
            train,
            f"{YOOCHOOSE} --model sasrec --seed {seed}",
            "--protocol next_item --k 20",
            test,
        )
        for seed in SEEDS
    ]
    return {"yoochoose_chosen": chosen, "yoochoose": final}


def trivago() -> dict[str, list[Trial]]:
    """With and without the ranking task."""
    return {
        "trivago": [
            Trial(
                f"trivago_{name}",
                title,
                "trivago_val_100k.parquet",
                f"{TRIVAGO} --model sessionrec-sasrec --max-items 30 {options}",
                "--protocol ranking --empty-history",
            )
            for name, title, options in (
                ("with", "SessionRec-SASRec, ranking weight 0.05", "--set ranking_weight=0.05"),
                ("more", "SessionRec-SASRec, ranking weight 1", "--set ranking_weight=1"),
                ("without", "SessionRec-SASRec, no ranking task", "--set ranking_loss=null"),
            )
        ]
    }


def globo() -> dict[str, list[Trial]]:
    """The same backbone on sessions and on items."""
    events = "globo_clicks_hours_000_095.parquet"
    same = "--epochs 10 --set negatives=uniform --set dropout=0.2"
    return {
        "globo": [
            Trial(
                f"globo_{name}",
                title,
                events,
                f"{GLOBO} --model {name} {same}",
                "--protocol next_session --k 20,100",
            )
            for name, title in (
                ("sessionrec-sasrec", "next session: SessionRec-SASRec"),
                ("sasrec", "next item: the same backbone on flattened sessions"),
            )
        ]
    }


SUITES = {"yoochoose": yoochoose, "trivago": trivago, "globo": globo}


def run(trial: Trial, data: pathlib.Path, again: bool) -> dict:
    """Runs the commands of a trial, or reads what an earlier run left."""
    result_file = RUNS / f"{trial.name}.json"
    commands = trial.commands()
    if result_file.is_file() and not again:
        result = json.loads(result_file.read_text())
        if result["commands"] == commands:
            return result
    result = {"commands": commands}
    for step, command in commands.items():
        report = RUNS / f"{trial.name}.{step}.json"
        words = [
            str(data / word) if (data / word).is_file() else word
            for word in shlex.split(command.replace("runs/", f"{RUNS}/"))
        ]
        words += ["--json", str(report)] + (["--overwrite"] if step == "train" else [])
        print("tfsessionrec", command, flush=True)
        begin = time.perf_counter()
        code = "from tfsessionrec.cli.main import main; main()"
        process = subprocess.Popen([sys.executable, "-c", code, *words], cwd=HERE.parent)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"failed: tfsessionrec {command}")
        result[step] = {
            "seconds": time.perf_counter() - begin,
            "peak_gb": usage.ru_maxrss / 2**20,
            "report": json.loads(report.read_text()),
        }
        report.unlink()
    result_file.write_text(json.dumps(result, indent=1) + "\n")
    return result


def read(trial: Trial) -> dict:
    """What running a trial left."""
    return json.loads((RUNS / f"{trial.name}.json").read_text())


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines] + [""]


def result_rows(trials: list[Trial], metrics: list[str], baselines: list[str]) -> list[list[str]]:
    """A row a trial with its cost, then a row a baseline of the last trial."""
    rows = []
    for trial in trials:
        result = read(trial)
        train, report = result["train"], result["evaluate"]["report"]
        fit = sum(epoch["seconds"] for epoch in train["report"]["epochs"])
        numbers = [f"{report['metrics'][metric]:.4f}" for metric in metrics]
        cost = [f"{fit:.0f}", f"{train['seconds']:.0f}", f"{train['peak_gb']:.1f}"]
        rows.append([trial.title, *numbers, *cost])
    for name in baselines:
        numbers = [f"{report['baselines'][name][metric]:.4f}" for metric in metrics]
        rows.append([name, *numbers, "", "", ""])
    return rows


def command_block(trial: Trial) -> list[str]:
    """The commands of a trial."""
    lines = [f"tfsessionrec {command}" for command in trial.commands().values()]
    return ["```sh", *lines, "```", ""]


COST = ["fit s", "command s", "peak GB"]


def render() -> str:
    """The document, from what is in `benchmarks/runs/`."""
    lines = [
        "# Results",
        "",
        "Written by `python benchmarks/real_logs.py --data FOLDER`, which runs the commands below "
        "in a folder of the logs, on 2 CPU cores. *fit s* are the seconds of the epochs, *command "
        "s* those of the whole training command, *peak GB* its largest resident size. Seed 0 "
        "unless said. Times are of one shared machine: compare them with each other only.",
        "",
    ]
    for name, section in SECTIONS.items():
        groups = SUITES[name]() if name in SUITES else {}
        needed = [RUNS / f"{trial.name}.json" for trials in groups.values() for trial in trials]
        needed = needed or [RUNS / f"{name}.json"]
        if all(file.is_file() for file in needed):
            lines += section(groups)
    return "\n".join(lines).rstrip() + "\n"


def yoochoose_section(groups: dict[str, list[Trial]]) -> list[str]:
    """Anonymous sessions, next item."""
    metrics = ["hit_rate@20", "mrr@20", "ndcg@20"]
    header = ["HR@20", "MRR@20", "NDCG@20"]
    final = groups["yoochoose"]
    reports = [
        json.loads((RUNS / f"{t.name}.json").read_text())["evaluate"]["report"] for t in final
    ]
    means = [f"{sum(r['metrics'][m] for r in reports) / len(reports):.4f}" for m in metrics]
    rows = result_rows(final, metrics, ["popularity"])
    rows.insert(len(final), [f"mean of {len(final)} seeds", *means, "", "", ""])
    return [
        "## YooChoose: anonymous sessions, next item",
        "",
        "Every position of the test file after a session's first click: "
        f"{reports[0]['num_queries']:,} queries, all {reports[0]['num_candidates']:,} training "
        "items ranked, seen items not removed, consecutive repeats kept, ties against us.",
        "",
        *command_block(final[0]),
        *table(["system", *header, *COST], rows),
        "Dropout and epochs were chosen on the last day of the training file, never on the test "
        "file:",
        "",
        *command_block(groups["yoochoose_chosen"][3]),
        *table(
            ["`sasrec`, trained without the last day", *header, *COST],
            result_rows(groups["yoochoose_chosen"], metrics, ["popularity"]),
        ),
    ]


def trivago_section(groups: dict[str, list[Trial]]) -> list[str]:
    """Which of the shown hotels is clicked."""
    trials = groups["trivago"]
    report = read(trials[0])["evaluate"]["report"]
    metrics = ["mrr", "hit_rate@1", "auc"]
    rows = result_rows(trials, metrics, ["as displayed", "popularity"])
    for row, trial in zip(rows, trials, strict=False):
        result = read(trial)["evaluate"]["report"]
        row[1:1] = [f"{result['baselines']['model, then as displayed']['mrr']:.4f}"]
    for row in rows[len(trials) :]:
        row[1:1] = [row[1]]
    orders = json.loads((RUNS / "trivago_orders.json").read_text())
    touched = orders["touched last first"]
    rows.append(["hotels the running session touched last first", f"{touched:.4f}", *[""] * 6])
    best = max(float(row[1]) for row in rows[: len(trials)])
    displayed = report["baselines"]["as displayed"]["mrr"]
    return [
        "## trivago: which of the shown hotels is clicked",
        "",
        "One clickout is one session with its impressions, a user's clickouts in time order; "
        f"trained on 7 November, asked about the {report['num_queries']:,} clickouts of 8 November "
        "(first ones of a user too, where the model has no history and every hotel ties). "
        "*MRR* has ties in the displayed order, as a page would show them; *MRR, ties against* "
        "has them against the clicked hotel.",
        "",
        *command_block(trials[0]),
        *table(["system", "MRR", "MRR, ties against", "HR@1", "AUC", *COST], rows),
        f"The last row, over the {orders['queries']:,} clickouts whose hotel is among those shown:",
        "",
        *("```sh", "python benchmarks/trivago_orders.py --events trivago_val_100k.parquet"),
        *("```", ""),
        f"The best model here is {displayed - best:.3f} short of the displayed order and "
        f"{touched - best:.3f} short of the hotels touched last. The ranking task changes next to "
        "nothing: an embedding of an id can only rank hotels that training saw, and most "
        "hotels of the second day it did not. What decides is the hotel's relation to the running "
        "session, which this version does not read.",
        "",
    ]


def globo_section(groups: dict[str, list[Trial]]) -> list[str]:
    """Next session against next item."""
    trials = groups["globo"]
    results = [read(trial) for trial in trials]
    report = results[0]["evaluate"]["report"]
    metrics = ["recall@20", "ndcg@20", "recall@100", "ndcg@100"]
    header = ["Recall@20", "NDCG@20", "Recall@100", "NDCG@100"]
    fits = [sum(e["seconds"] for e in r["train"]["report"]["epochs"]) for r in results]
    ndcg = [r["evaluate"]["report"]["metrics"]["ndcg@20"] for r in results]
    return [
        "## Globo: the next session",
        "",
        "Users with at least two sessions, the last one held out; its set of articles is asked "
        f"for, given the sessions before it: {report['num_queries']:,} queries, "
        f"{report['num_candidates']:,} candidates (the articles of the training sessions), seen "
        "articles not removed. The same backbone (dimension 64, 2 blocks, 2 heads), optimiser, "
        "512 uniform negatives and 10 epochs for both objectives.",
        "",
        *command_block(trials[0]),
        *command_block(trials[1]),
        *table(["objective", *header, *COST], result_rows(trials, metrics, ["popularity"])),
        f"Next-session prediction reaches {ndcg[0] / ndcg[1]:.2f} times the NDCG@20 of next-item "
        f"prediction in {fits[0] / fits[1]:.2f} times its training time. Both let a model see "
        "clicks that are later than a target of another user, and neither knows the time of a "
        "request, which matters on news.",
        "",
    ]


def throughput_section(_: dict[str, list[Trial]]) -> list[str]:
    """Training speed beside RecTools."""
    report = json.loads((RUNS / "train_throughput.json").read_text())
    return [
        "## Training speed",
        "",
        "Target positions a second beside RecTools' SASRec (PyTorch), at equal sizes and in turns; "
        "what the systems are, and where they differ, stands in `benchmarks/README.md`.",
        "",
        *("```sh", report["command"], "```", ""),
        train_throughput.render(report),
        "",
    ]


def memory_section(_: dict[str, list[Trial]]) -> list[str]:
    """What a step costs as the catalogue grows."""
    report = json.loads((RUNS / "step_memory.json").read_text())
    return [
        "## A step as the catalogue grows",
        "",
        *("```sh", report["command"], "```", ""),
        report["text"],
        "",
    ]


SECTIONS = {
    "yoochoose": yoochoose_section,
    "trivago": trivago_section,
    "globo": globo_section,
    "train_throughput": throughput_section,
    "step_memory": memory_section,
}


def main() -> None:
    """Runs what is asked for and writes the document."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=pathlib.Path, help="folder of the logs; none: only write")
    parser.add_argument("--suite", nargs="*", choices=tuple(SUITES), default=list(SUITES))
    parser.add_argument("--again", action="store_true", help="run anew what has been run")
    arguments = parser.parse_args()
    RUNS.mkdir(exist_ok=True)
    if arguments.data:
        for suite in arguments.suite:
            if suite == "trivago":
                log, result = (
                    arguments.data / "trivago_val_100k.parquet",
                    RUNS / "trivago_orders.json",
                )
                result.write_text(json.dumps(trivago_orders.mean_reciprocal_ranks(log)) + "\n")
            for trials in SUITES[suite]().values():
                for trial in trials:
                    run(trial, arguments.data.resolve(), arguments.again)
    (HERE / "RESULTS.md").write_text(render())
    print(f"wrote {HERE / 'RESULTS.md'}")


if __name__ == "__main__":
    main()
