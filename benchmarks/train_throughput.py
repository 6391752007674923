"""Training speed and peak memory of this package's SASRec, compared with RecTools' (PyTorch).

Both systems get the same sizes, the same two cores and the same events. Each run is a separate
process, the systems run in turns, and the figures are medians over the rounds.
`benchmarks/README.md` defines what is counted and timed. The script needs the standard library
only: each system imports its libraries in its own process.

    python benchmarks/train_throughput.py --events-train yoochoose-clicks-100k_train_full.txt
"""

import argparse
import dataclasses
import itertools
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence

from peers import worker
from section import Report, command, cpu_seconds, say, table, write_report, write_section
from sequences import count_positions, pack, read_sessions, write_events

HERE = pathlib.Path(__file__).resolve().parent
PEER_REQUIREMENTS = ("torch==2.13.0", "RecTools[torch]==0.19.0")

# If other processes use a larger share of the cores, the ratios mean little.
BUSY_LIMIT = 0.1

Rounds = dict[str, dict[str, list[Report]]]  # by loss, then by variant

LOSSES = {"full": "full softmax", "sampled": "{num_negatives} negatives"}


@dataclasses.dataclass(frozen=True)
class Variant:
    """One system on one form of the data.

    `batch` is the unit of the batch size: `"positions"` (the default of this package's recipe),
    `"sequences"`, or `"targets"`: as many windows as have the targets of an average batch of
    sessions.
    """

    label: str
    script: str
    data: str
    batch: str


_OURS, _PEER = "run_tfsessionrec.py", "run_rectools.py"

VARIANTS = {
    "ours": Variant("ours", _OURS, "sessions", "positions"),
    "ours_sequences": Variant("ours, {batch_size} per batch", _OURS, "sessions", "sequences"),
    "ours_packed": Variant("ours, packed, {batch_size} per batch", _OURS, "packed", "sequences"),
    "peer": Variant("RecTools as a user runs it", _PEER, "sessions", "sequences"),
    "peer_packed": Variant(
        "RecTools, packed, {batch_size} per batch", _PEER, "packed", "sequences"
    ),
    "peer_packed_targets": Variant(
        "RecTools, packed, targets of {batch_size} per batch", _PEER, "packed", "targets"
    ),
}

# (numerator, denominator) of each ratio.
RATIOS = (
    ("ours", "peer"),
    ("ours", "peer_packed"),
    ("ours", "peer_packed_targets"),
    ("ours_sequences", "peer"),
    ("ours_packed", "peer_packed"),
)


def ensure_peer(folder: pathlib.Path) -> pathlib.Path:
    """Creates RecTools' virtual environment if it is missing; returns its interpreter."""
    python = folder / "bin" / "python"
    probe = "import importlib.metadata as m; print(m.version('rectools'), m.version('torch'))"
    expected = [requirement.split("==")[1] for requirement in reversed(PEER_REQUIREMENTS)]
    if python.exists():
        answer = subprocess.run([python, "-c", probe], capture_output=True, text=True)
        versions = [version.split("+")[0] for version in answer.stdout.split()]
        if versions == expected:
            return python
    say(f"creating {folder} with {' and '.join(PEER_REQUIREMENTS)} ...")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    for requirement in PEER_REQUIREMENTS:  # torch first: RecTools then keeps this version
        subprocess.run([python, "-m", "pip", "install", "--quiet", requirement], check=True)
    return python


def run(
    python: pathlib.Path,
    variant: Variant,
    loss: str,
    events: pathlib.Path,
    arguments: argparse.Namespace,
    windows: int,
    seed: int,
) -> Report:
    """Runs one measured process; returns its report."""
    ours = variant.script == _OURS
    output = events.with_suffix(".json")
    batch = {
        "positions": ["--batch-positions", arguments.batch_positions],
        "sequences": ["--batch-size", arguments.batch_size],
        "targets": ["--batch-size", windows],
    }[variant.batch]
    command = [python, HERE / "peers" / variant.script, "--events", events, "--output", output]
    command += ["--loss", loss, "--num-negatives", arguments.num_negatives]
    command += ["--embedding-dim", arguments.embedding_dim, "--length", arguments.length]
    command += ["--num-layers", arguments.num_layers, "--num-heads", arguments.num_heads]
    command += ["--epochs", arguments.our_epochs if ours else arguments.peer_epochs]
    command += ["--threads", arguments.threads, "--seed", seed, *batch]
    output.unlink(missing_ok=True)
    started, (all_before, own_before) = time.perf_counter(), cpu_seconds()
    answer = subprocess.run(
        [str(part) for part in command],
        env=worker.package_environment() if ours else None,
        capture_output=True,
        text=True,
    )
    if answer.returncode or not output.exists():
        say(answer.stdout[-4000:] + answer.stderr[-4000:])
        raise RuntimeError(f"{variant.script} ({loss}) failed with status {answer.returncode}.")
    capacity = (time.perf_counter() - started) * (os.cpu_count() or 1)
    all_after, own_after = cpu_seconds()
    others = (all_after - all_before - (own_after - own_before)) / capacity
    return json.loads(output.read_text()) | {"cores_busy_elsewhere": max(0.0, others)}


def summarize(rounds: Sequence[Report]) -> Report:
    """Medians over the rounds of one variant and loss, and the range of the speed."""
    speeds = [report["positions_per_second"] for report in rounds]
    return {
        "positions": rounds[0]["positions"],
        "positions_per_second": statistics.median(speeds),
        "positions_per_second_min": min(speeds),
        "positions_per_second_max": max(speeds),
        "peak_memory_mb": statistics.median(report["peak_memory_mb"] for report in rounds),
        "first_loss": statistics.median(report["losses"][0] for report in rounds),
        "last_loss": statistics.median(report["losses"][-1] for report in rounds),
        "loss_fell": all(report["loss_fell"] for report in rounds),
        "rounds": list(rounds),
    }


def compare(summaries: Mapping[str, Mapping[str, Report]], losses: Sequence[str]) -> list[Report]:
    """The speed of ours over theirs, for each loss and measured pair: median and range.

    Args:
        summaries: Summaries by loss, then by variant.
        losses: The losses, in the order of the result.

    Returns:
        One row per ratio.
    """
    rows = []
    for loss in losses:
        for ours, theirs in RATIOS:
            if ours not in summaries[loss] or theirs not in summaries[loss]:
                continue
            mine, peer = summaries[loss][ours], summaries[loss][theirs]
            by_round = [
                a["positions_per_second"] / b["positions_per_second"]
                for a, b in zip(mine["rounds"], peer["rounds"], strict=True)
            ]
            rows.append(
                {
                    "loss": loss,
                    "ours": ours,
                    "theirs": theirs,
                    "ours_per_second": mine["positions_per_second"],
                    "theirs_per_second": peer["positions_per_second"],
                    "ratio": statistics.median(by_round),
                    "ratio_min": min(by_round),
                    "ratio_max": max(by_round),
                    "ours_memory_mb": mine["peak_memory_mb"],
                    "theirs_memory_mb": peer["peak_memory_mb"],
                }
            )
    return rows


def render(report: Report) -> str:
    """Two tables: the figures of each system, and the ratios."""
    settings = report["settings"]
    names = {key: text.format(**settings) for key, text in LOSSES.items()}
    labels = {key: variant.label.format(**settings) for key, variant in VARIANTS.items()}
    systems = [
        [
            names[loss],
            labels[variant],
            f"{row['positions']:,}",
            f"{row['positions_per_second']:,.0f}",
            f"{row['positions_per_second_min']:,.0f} to {row['positions_per_second_max']:,.0f}",
            f"{row['peak_memory_mb'] / 1000:.2f}",
            f"{row['first_loss']:.3f}, {row['last_loss']:.3f}",
        ]
        for loss, variants in report["systems"].items()
        for variant, row in variants.items()
    ]
    ratios = [
        [
            names[row["loss"]],
            f"{labels[row['ours']]} / {labels[row['theirs']]}",
            f"{row['ours_per_second']:,.0f}",
            f"{row['theirs_per_second']:,.0f}",
            f"{row['ratio']:.1f}×",
            f"{row['ratio_min']:.1f} to {row['ratio_max']:.1f}",
            f"{row['ours_memory_mb'] / 1000:.2f} / {row['theirs_memory_mb'] / 1000:.2f}",
        ]
        for row in report["ratios"]
    ]
    header = ["loss", "system", "positions", "positions/s", "range", "peak GB", "first, last loss"]
    text = table(header, systems)
    if ratios:
        header = ["loss", "ratio", "ours/s", "theirs/s", "ours / theirs", "by round", "peak GB"]
        text += "\n\n" + table(header, ratios)
    return text


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--events-train", type=pathlib.Path, required=True, help="delimited log")
    parser.add_argument("--session", default="SessionId", help="column (default: %(default)s)")
    parser.add_argument("--item", default="ItemId", help="column (default: %(default)s)")
    parser.add_argument("--time", default="Time", help="column (default: %(default)s)")
    parser.add_argument("--separator", default="\t", help="field separator (default: tab)")
    parser.add_argument("--limit-sessions", type=int, help="use the first N only, for a quick look")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default: %(default)s)")
    parser.add_argument(
        "--our-epochs", type=int, default=5, help="timed epochs (default: %(default)s)"
    )
    parser.add_argument(
        "--peer-epochs", type=int, default=1, help="timed epochs (default: %(default)s)"
    )
    parser.add_argument("--losses", nargs="+", choices=LOSSES, default=list(LOSSES))
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--num-negatives", type=int, default=128)
    parser.add_argument("--embedding-dim", type=int, default=64)
    parser.add_argument("--num-layers", type=int, default=2)
    parser.add_argument("--num-heads", type=int, default=2)
    parser.add_argument("--length", type=int, default=50)
    parser.add_argument(
        "--batch-size", type=int, default=128, help="sequences per batch, both systems"
    )
    parser.add_argument(
        "--batch-positions",
        type=int,
        default=1024,
        help="positions per batch of this package's recipe (default: %(default)s)",
    )
    parser.add_argument("--threads", type=int, default=2, help="cores per run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peer-venv", type=pathlib.Path, default=HERE / ".venv-rectools")
    parser.add_argument("--json", type=pathlib.Path, help="write the whole report here")
    parser.add_argument("--section", action="store_true", help="write the section of RESULTS.md")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints, and exits with 1 if a loss did not fall."""
    arguments = parse_arguments(argv)
    sessions = read_sessions(
        arguments.events_train,
        arguments.session,
        arguments.item,
        arguments.time,
        arguments.separator,
    )
    sessions = [session for session in sessions if len(session) > 1][: arguments.limit_sessions]
    forms = {"sessions": sessions, "packed": pack(sessions, arguments.length)}
    targets = count_positions(sessions, arguments.length) / len(sessions)
    windows = max(1, round(arguments.batch_size * targets / arguments.length))
    started = time.perf_counter()
    rounds = measure(arguments, forms, windows)
    systems = {
        loss: {name: summarize(reports) for name, reports in variants.items()}
        for loss, variants in rounds.items()
    }
    report = {
        "command": command("train_throughput", argv),
        "settings": {
            key: value
            for key, value in vars(arguments).items()
            if key not in {"events_train", "peer_venv", "json", "section"}
        },
        "log": arguments.events_train.name,
        "sessions": len(sessions),
        "packed_windows": len(forms["packed"]),
        "windows_a_batch_by_targets": windows,
        "machine": {"platform": platform.platform(), "cores": os.cpu_count()},
        "seconds": time.perf_counter() - started,
        "cores_busy_elsewhere": max(
            result["cores_busy_elsewhere"]
            for by_variant in rounds.values()
            for results in by_variant.values()
            for result in results
        ),
        "systems": systems,
        "ratios": compare(systems, arguments.losses),
    }
    text = render(report)
    print(text)
    write_report(arguments.json, report)
    if arguments.section:
        about = (
            "Training speed in target positions per second, compared with RecTools' SASRec "
            "(PyTorch) at equal sizes, in interleaved runs. `benchmarks/README.md` describes the "
            "systems and how they differ."
        )
        write_section("train_throughput", "Training speed", report["command"], about, text)
    return _check(report)


def measure(
    arguments: argparse.Namespace, forms: Mapping[str, list[list[str]]], windows: int
) -> Rounds:
    """The reports of all rounds, by loss and variant; the systems run in turns.

    Args:
        arguments: The arguments of the script.
        forms: Sequences by the form of the data.
        windows: Windows per batch of the variants whose batches have equal numbers of targets.
    """
    variants = {name: VARIANTS[name] for name in arguments.variants}
    pythons = {_OURS: pathlib.Path(sys.executable)}
    if any(variant.script == _PEER for variant in variants.values()):
        pythons[_PEER] = ensure_peer(arguments.peer_venv)
    expected = {name: count_positions(form, arguments.length) for name, form in forms.items()}
    rounds: Rounds = {loss: {name: [] for name in variants} for loss in arguments.losses}
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        files = {name: pathlib.Path(folder) / f"{name}.tsv" for name in forms}
        for name, sequences in forms.items():
            write_events(files[name], sequences)
        for number, loss, name in itertools.product(
            range(arguments.rounds), arguments.losses, variants
        ):
            variant = variants[name]
            python, events = pythons[variant.script], files[variant.data]
            seed = arguments.seed + number
            result = run(python, variant, loss, events, arguments, windows, seed)
            if result["positions"] != expected[variant.data]:
                raise RuntimeError(
                    f"{name} should train on {expected[variant.data]} positions. "
                    f"Received: {result['positions']}"
                )
            rounds[loss][name].append(result)
            say(
                f"[{time.perf_counter() - started:6.0f} s] round {number + 1}, {loss}, "
                f"{name}: {result['positions_per_second']:,.0f} positions/s, "
                f"{result['peak_memory_mb'] / 1000:.2f} GB, "
                f"{result['cores_busy_elsewhere']:.0%} of the cores busy elsewhere"
            )
    return rounds


def _check(report: Report) -> int:
    """Warns of a busy machine and of losses that did not fall; the exit status."""
    busy = report["cores_busy_elsewhere"]
    if busy > BUSY_LIMIT:
        say(
            f"Other processes used up to {busy:.0%} of the cores during a run. This slows PyTorch "
            "most, because its threads wait for each other: repeat on a quiet machine."
        )
    stuck = [
        f"{name} ({loss})"
        for loss, by_variant in report["systems"].items()
        for name, row in by_variant.items()
        if not row["loss_fell"]
    ]
    if stuck:
        say(f"The loss did not fall, so the speed is meaningless: {', '.join(stuck)}.")
    return int(bool(stuck))


if __name__ == "__main__":
    sys.exit(main())
