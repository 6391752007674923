"""Every number of small fixed-seed runs of the commands, to show that a change changes none.

    python benchmarks/golden_runs.py --output before.json
    python benchmarks/golden_runs.py --output after.json --compare before.json

Trains, evaluates, exports and asks systems of each kind on simulated logs of 80 users, by the
command line only and on one thread. Losses, metrics and answers are kept with all their digits;
texts, seconds and paths are not. `--compare` prints each difference and exits with 1 if there is
any. `--only NAME,NAME` runs some of the systems.
"""

import argparse
import json
import os
import pathlib
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import polars as pl

from tfsessionrec.cli.main import main as tfsessionrec

NUMBERS = (
    "metrics",
    "baselines",
    "num_queries",
    "num_candidates",
    "num_skipped",
    "intervals",
    "slices",
    "exposure",
)
TRAINED = ("users", "sessions", "vocabulary_size", "parameters")

BY_USER = "--user user_id --session session_id"
LABELLED = f"{BY_USER} --label label"
TYPED = f"{BY_USER} --interaction-type kind --session-context device"
SMALL = "--embedding-dim 8 --epochs 2 --batch-positions 64"
ATTENTION = f"{SMALL} --set num_layers=1 --set num_heads=1"
HELD_OUT = "--holdout last-session"
RELATION = (
    f"--user user_id --session visit --impressions shown --impression-feature price=prices "
    f"--interaction-type kind --relation --set ranking_loss=listwise --set ranking_weight=1 "
    f"--holdout after=1700604800 {ATTENTION}"
)
TREND = '--set trend={"half_lives":[3600],"follow_half_lives":[7200],"refresh":60}'

NEXT_SESSION = "--protocol next_session --k 1,5,20"
NEXT_ITEM = "--protocol next_item --k 1,5,20"
REST = "--protocol rest_of_session --k 1,5,20"
RANKING = "--protocol ranking"
LIVE = "--streaming --tick 3600"
PROTOCOLS = (NEXT_SESSION, NEXT_ITEM, REST)

ITEMS = "--items i00003,i00011,i00003,i00007,i00020 --sessions 0,0,1,1,2"
RECENT = "--items i00001 --k 3"
SIDE = (
    "--input interaction_types=view,buy,view,view,buy --input device=phone,phone,desk,desk,phone "
    "--input timestamps=1700000000,1700000020,1700090000,1700090020,1700180000"
)
PLAIN = f"{ITEMS} --k 40"
UNSEEN = f"{ITEMS} --k 8 --exclude-seen"
DIVERSE = f"{ITEMS} --k 8 --diversity 0.5"
TREND_EVENTS = "--trend-events FOLDER/log.csv"
OF_BASELINES = (f"{PLAIN} --request-time 1702000000", f"{UNSEEN} --request-time 1702000000")
ASKED = (PLAIN, UNSEEN, DIVERSE)


class Run(NamedTuple):
    """A system: how it is trained, evaluated, exported and asked."""

    name: str
    log: str
    train: str
    evaluate: tuple[str, ...] = ()
    export: tuple[str, ...] = ()
    recommend: tuple[str, ...] = ()
    resume: int | None = None


# FOLDER is where the logs and models of this run are.
RUNS = (
    Run(
        "sessionrec-sasrec",
        "log.csv",
        f"--model sessionrec-sasrec {LABELLED} {HELD_OUT} {ATTENTION}",
        (f"{NEXT_SESSION} --slices --bootstrap 50 --beyond-accuracy", NEXT_ITEM, REST, RANKING),
        ("", "--candidate-dtype int8", "--candidate-dtype bfloat16 --similarity dot"),
        ASKED,
        resume=3,
    ),
    Run(
        "sessionrec-hstu",
        "side.csv",
        f"--model sessionrec-hstu {TYPED} {HELD_OUT} {ATTENTION} --set num_item_time_buckets=8",
        (*PROTOCOLS, f"{NEXT_ITEM} --filter-seen"),
        ("",),
        (f"{PLAIN} {SIDE}", f"{DIVERSE} {SIDE}"),
    ),
    Run(
        "sessionrec-gru",
        "side.csv",
        f"--model sessionrec-gru {BY_USER} {HELD_OUT} {SMALL} --set num_interests=3 "
        f"--item-features FOLDER/items.csv --categorical brand --multi-hot tags --dense price",
        (NEXT_SESSION,),
        ("",),
        (PLAIN,),
    ),
    Run(
        "sasrec",
        "log.csv",
        f"--model sasrec {LABELLED} {HELD_OUT} {ATTENTION}",
        (*PROTOCOLS, f"{NEXT_SESSION} --no-repeats --unknown-targets miss"),
        ("",),
        ASKED,
        resume=3,
    ),
    Run(
        "gru4rec",
        "side.csv",
        f"--model gru4rec {BY_USER} {HELD_OUT} {SMALL} --set negatives=popularity "
        f"--set num_negatives=8 --recency-half-life 864000",
        (NEXT_ITEM,),
        ("",),
        (PLAIN,),
    ),
    Run(
        "stamp",
        "log.csv",
        f"--model stamp {LABELLED} {HELD_OUT} {SMALL}",
        PROTOCOLS,
        ("",),
        (PLAIN,),
    ),
    Run(
        "narm-rest",
        "side.csv",
        f"--model narm --objective rest_of_session {BY_USER} {HELD_OUT} {SMALL}",
        (REST,),
    ),
    Run(
        "two-tower",
        "log.csv",
        f"--model two-tower {LABELLED} {HELD_OUT} {SMALL}",
        PROTOCOLS,
        ("",),
        (PLAIN,),
    ),
    Run(
        "sasrec-trend",
        "log.csv",
        f"--model sasrec {LABELLED} {HELD_OUT} {ATTENTION} {TREND} {TREND_EVENTS}",
        (NEXT_ITEM, f"{NEXT_ITEM} {LIVE}", f"{NEXT_SESSION} {LIVE}"),
        (TREND_EVENTS,),
        (PLAIN, UNSEEN),
    ),
    Run(
        "relation",
        "impressions.csv",
        f"--model sessionrec-sasrec {RELATION}",
        (RANKING, f"{RANKING} --empty-history", NEXT_SESSION),
        ("",),
        (f"{PLAIN} --input interaction_types=look,click,look,click,look",),
    ),
    Run(
        "vsknn",
        "log.csv",
        f"--model vsknn {LABELLED} {HELD_OUT} --set k=20",
        (*PROTOCOLS, RANKING, f"{NEXT_ITEM} --streaming", f"{NEXT_ITEM} {LIVE} --slices"),
        (),
        OF_BASELINES,
    ),
    Run(
        "popularity",
        "log.csv",
        f"--model popularity {LABELLED} {HELD_OUT}",
        (*PROTOCOLS, f"{NEXT_SESSION} --streaming"),
        (),
        OF_BASELINES,
    ),
    Run(
        "ar",
        "log.csv",
        f"--model ar {LABELLED} {HELD_OUT} --since 1700864000",
        (NEXT_ITEM, f"{NEXT_ITEM} {LIVE}"),
        (),
        OF_BASELINES,
    ),
    Run(
        "vstan",
        "side.csv",
        f"--model vstan {BY_USER} {HELD_OUT}",
        (NEXT_ITEM, f"{NEXT_SESSION} --ensemble FOLDER/models/gru4rec"),
        (),
        (f"{RECENT} --request-time 1702000000",),
    ),
    Run(
        "sknn",
        "log.csv",
        f"--model sknn {LABELLED} {HELD_OUT}",
        tuple(
            f"{NEXT_SESSION} --ensemble FOLDER/models/sasrec {fusion}"
            for fusion in ("--fusion rrf", "--fusion score --weight 0.5")
        ),
    ),
)


def write_logs(folder: pathlib.Path) -> None:
    """Logs of shown items, of clicks with side information, and of requests that show items."""
    call("simulate", "--users 80 --items 40 --seed 7 --output FOLDER/log.csv", folder)
    log = pl.read_csv(folder / "log.csv").with_row_index("row")
    item = pl.col("item_id").str.slice(1).cast(pl.Int64)
    log.filter(pl.col("label") == 1).with_columns(
        kind=pl.when(item * 7 % 3 == 0).then(pl.lit("buy")).otherwise(pl.lit("view")),
        device=pl.when(pl.col("session_id") % 3 == 0)
        .then(pl.lit("desk"))
        .otherwise(pl.lit("phone")),
    ).write_csv(folder / "side.csv")
    pl.DataFrame(
        {
            "item_id": [f"i{n:05d}" for n in range(42)],
            "brand": [f"b{n % 4}" for n in range(42)],
            "tags": ["x|y", "y", "", "x", "z", "x|z"] * 7,
            "price": [float(n * 13 % 17) for n in range(42)],
        }
    ).write_csv(folder / "items.csv")
    shown = log.group_by("user_id", "session_id", maintain_order=True).agg(
        pl.col("item_id").str.join("|").alias("shown"),
        (item * 5 % 90 + 10).cast(pl.String).str.join("|").alias("prices"),
        pl.col("item_id").filter(pl.col("label") == 1).first().alias("item_id"),
        pl.col("item_id").first().alias("look"),
        pl.col("timestamp").first(),
    )
    looks = shown.select(
        "user_id",
        (pl.col("session_id") * 2).alias("visit"),
        pl.col("look").alias("item_id"),
        pl.col("timestamp") - 60,
        pl.lit(None, pl.String).alias("shown"),
        pl.lit(None, pl.String).alias("prices"),
        pl.lit("look").alias("kind"),
    )
    requests = shown.drop_nulls("item_id").select(
        "user_id",
        (pl.col("session_id") * 2 + 1).alias("visit"),
        "item_id",
        "timestamp",
        "shown",
        "prices",
        pl.lit("click").alias("kind"),
    )
    pl.concat([looks, requests]).sort("visit").write_csv(folder / "impressions.csv")


def call(command: str, words: str, folder: pathlib.Path, *more: str) -> None:
    """Runs a command of a run; what it prints goes to standard error."""
    stdout, sys.stdout = sys.stdout, sys.stderr
    try:
        status = tfsessionrec([command, *words.replace("FOLDER", str(folder)).split(), *more])
    finally:
        sys.stdout = stdout
    if status:
        raise SystemExit(f"tfsessionrec {command} {words}: exit status {status}")


def answer(command: str, words: str, folder: pathlib.Path) -> dict[str, object]:
    """Runs a command and reads what it writes with `--json`."""
    file = folder / "answer.json"
    call(command, words, folder, "--json", str(file))
    return json.loads(file.read_text())


def perform(run: Run, folder: pathlib.Path) -> dict[str, object]:
    """The numbers of one system."""
    log, model = f"FOLDER/{run.log}", f"FOLDER/models/{run.name}"
    found: dict[str, object] = {}
    train = f"--events {log} --output {model}"
    found["train"] = _trained(answer("train", f"{train} {run.train}", folder))
    for words in run.evaluate:
        report = answer("evaluate", f"--model {model} --events {log} {words}", folder)
        found[f"evaluate {words}"] = {key: report[key] for key in NUMBERS if key in report}
    asked = {} if run.export else {"": model}
    for options in run.export:
        asked[options] = f"FOLDER/exports/{run.name}/{len(asked) + 1}"
        to = f"--output {asked[options]} --warm-up-batch-sizes 2"
        call("export", f"--model {model} {to} {options}", folder)
        call("export", f"--check {asked[options]} --model {model}", folder)
    for options, source in asked.items():
        for words in run.recommend:
            name = " ".join(["recommend", *options.split(), words])
            report = answer("recommend", f"--saved-model {source} {words}", folder)
            found[name] = report["recommended"]
    if run.resume is not None:
        again = answer("train", f"{train} --resume --epochs {run.resume}", folder)
        found["resume"] = _trained(again)
    return found


def _trained(report: Mapping[str, object]) -> dict[str, object]:
    """The sizes, and the losses of each epoch."""
    epochs = [
        {name: value for name, value in epoch.items() if name != "seconds"}
        for epoch in report.get("epochs", ())
    ]
    return {**{name: report[name] for name in TRAINED if name in report}, "epochs": epochs}


def leaves(content: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Each number and text of nested JSON, with its path."""
    if isinstance(content, Mapping):
        for key, value in content.items():
            yield from leaves(value, f"{path} > {key}" if path else str(key))
    elif isinstance(content, list):
        for place, value in enumerate(content):
            yield from leaves(value, f"{path} > {place}")
    else:
        yield path, content


def differences(old: object, new: object) -> list[str]:
    """What differs, one line each."""
    before, after = dict(leaves(old)), dict(leaves(new))
    missing = object()
    lines = []
    for path in [*before, *(path for path in after if path not in before)]:
        was, now = before.get(path, missing), after.get(path, missing)
        if was != now:
            texts = ["nothing" if value is missing else repr(value) for value in (was, now)]
            lines.append(f"{path}: {texts[0]} -> {texts[1]}")
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    """Runs and writes, and compares: 1 if anything differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", metavar="FILE", type=pathlib.Path, required=True)
    parser.add_argument("--compare", metavar="FILE", type=pathlib.Path, help="an earlier output")
    parser.add_argument("--only", metavar="NAME,NAME", default="", help="default: all systems")
    arguments = parser.parse_args(argv)
    # Commands import TensorFlow. Sums of several threads depend on which of them is first.
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = "1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    only = set(filter(None, arguments.only.split(",")))
    found: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        write_logs(folder)
        for run in RUNS:
            if only and run.name not in only:
                continue
            started = time.perf_counter()
            found[run.name] = perform(run, folder)
            print(f"{run.name}: {time.perf_counter() - started:.1f} s", flush=True)
    arguments.output.write_text(json.dumps(found, indent=1) + "\n")
    print(f"{sum(1 for _ in leaves(found)):,} values in {arguments.output}")
    if arguments.compare is None:
        return 0
    before = json.loads(arguments.compare.read_text())
    if only:
        before = {name: before.get(name) for name in found}
    lines = differences(before, found)
    print("\n".join([*lines, f"{len(lines):,} differences from {arguments.compare}"]))
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
