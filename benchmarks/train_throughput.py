"""Training speed of our SASRec beside RecTools' (PyTorch): target positions a second, peak memory.

Both systems get the same sizes, the same two cores and the same events, each run in a process of
its own, the systems taking turns; figures are medians over the rounds. `benchmarks/README.md` says
what is counted and how. Standard library only: each system imports its own world in its process.

    python benchmarks/train_throughput.py --events-train yoochoose-clicks-100k_train_full.txt
"""

import argparse
import csv
import dataclasses
import json
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

from peers import worker
from section import command, write_section

HERE = pathlib.Path(__file__).resolve().parent
PEER_REQUIREMENTS = ("torch==2.13.0", "RecTools[torch]==0.19.0")

# A larger share of the machine's cores taken by others, and the ratios mean little.
BUSY_LIMIT = 0.1

LOSSES = {"full": "full softmax", "sampled": "{num_negatives} negatives"}


@dataclasses.dataclass(frozen=True)
class Variant:
    """One system on one form of the data.

    `batch` says how batches are cut: by our recipe's number of `"positions"`, by the number of
    `"sequences"`, or into so many windows that a step has as many `"targets"` as a batch of that
    number of sessions has on average.
    """

    label: str
    script: str
    data: str
    batch: str


_OURS, _PEER = "run_tfsessionrec.py", "run_rectools.py"

VARIANTS = {
    "ours": Variant("ours", _OURS, "sessions", "positions"),
    "ours_sequences": Variant("ours, {batch_size} a batch", _OURS, "sessions", "sequences"),
    "ours_packed": Variant("ours, packed, {batch_size} a batch", _OURS, "packed", "sequences"),
    "peer": Variant("RecTools as a user runs it", _PEER, "sessions", "sequences"),
    "peer_packed": Variant("RecTools, packed, {batch_size} a batch", _PEER, "packed", "sequences"),
    "peer_packed_targets": Variant(
        "RecTools, packed, targets of {batch_size} a batch", _PEER, "packed", "targets"
    ),
}

# (ours, theirs): what is divided by what.
RATIOS = (
    ("ours", "peer"),
    ("ours", "peer_packed"),
    ("ours", "peer_packed_targets"),
    ("ours_sequences", "peer"),
    ("ours_packed", "peer_packed"),
)


def read_sessions(
    path: pathlib.Path, session: str, item: str, time_column: str, separator: str
) -> list[list[str]]:
    """The items of every session of a delimited log, in time order; ties keep the file's order.

    Args:
        path: The log, with a header.
        session: Column of the session.
        item: Column of the item.
        time_column: Column of the time, a number.
        separator: What stands between columns.

    Returns:
        The sessions in order of first appearance, each a list of raw item ids.

    Raises:
        ValueError: If a column is missing or the log holds no event.
    """
    sessions: dict[str, list[tuple[float, str]]] = {}
    with path.open(newline="") as lines:
        rows = csv.DictReader(lines, delimiter=separator)
        missing = {session, item, time_column} - set(rows.fieldnames or ())
        if missing:
            raise ValueError(
                f"`{path.name}` should have the columns {sorted(missing)}. "
                f"Received: {rows.fieldnames}"
            )
        for row in rows:
            sessions.setdefault(row[session], []).append((float(row[time_column]), row[item]))
    if not sessions:
        raise ValueError(f"`{path.name}` should hold at least one event. Received: none")
    return [
        [item_id for _, item_id in sorted(events, key=lambda event: event[0])]
        for events in sessions.values()
    ]


def pack(sessions: Sequence[Sequence[str]], length: int) -> list[list[str]]:
    """Cuts the concatenated sessions into windows of `length` + 1 events: `length` targets each.

    The events left over at the end, too few for a full window, are dropped. A window's targets
    include the few that cross from one session into the next: they cost what any other costs.

    >>> pack([["a", "b"], ["c", "d", "e"], ["f"]], length=2)
    [['a', 'b', 'c'], ['d', 'e', 'f']]
    """
    events = [item for session in sessions for item in session]
    size = length + 1
    return [events[start : start + size] for start in range(0, len(events) - size + 1, size)]


def write_events(path: pathlib.Path, sequences: Sequence[Sequence[str]]) -> None:
    """Writes sequences as `user`, `item`, `time`; time is the event's place, so nothing ties."""
    place = 0
    with path.open("w", newline="") as lines:
        writer = csv.writer(lines, delimiter="\t")
        writer.writerow(("user", "item", "time"))
        for user, sequence in enumerate(sequences):
            for item in sequence:
                writer.writerow((user, item, place))
                place += 1


def count_positions(sequences: Sequence[Sequence[str]], length: int) -> int:
    """The real targets of one epoch: of each sequence the newest `length`, at most."""
    return sum(min(len(sequence) - 1, length) for sequence in sequences)


def ensure_peer(folder: pathlib.Path) -> pathlib.Path:
    """Makes RecTools' virtual environment unless it is there; returns its interpreter."""
    python = folder / "bin" / "python"
    probe = "import importlib.metadata as m; print(m.version('rectools'), m.version('torch'))"
    expected = [requirement.split("==")[1] for requirement in reversed(PEER_REQUIREMENTS)]
    if python.exists():
        answer = subprocess.run([python, "-c", probe], capture_output=True, text=True)
        versions = [version.split("+")[0] for version in answer.stdout.split()]
        if versions == expected:
            return python
    say(f"making {folder} with {' and '.join(PEER_REQUIREMENTS)} ...")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    for requirement in PEER_REQUIREMENTS:  # torch first: RecTools then keeps the one chosen here
        subprocess.run([python, "-m", "pip", "install", "--quiet", requirement], check=True)
    return python


def cpu_seconds() -> tuple[float, float]:
    """Seconds that all cores of the machine, and that our own measured processes, have worked."""
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    stat = pathlib.Path("/proc/stat")
    if not stat.exists():  # not Linux: nothing is known of the others
        return own.ru_utime + own.ru_stime, own.ru_utime + own.ru_stime
    user, nice, system, _, _, irq, softirq, steal = stat.read_text().split(maxsplit=9)[1:9]
    ticks = sum(map(int, (user, nice, system, irq, softirq, steal)))
    return ticks / os.sysconf("SC_CLK_TCK"), own.ru_utime + own.ru_stime


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def run(
    python: pathlib.Path,
    variant: Variant,
    loss: str,
    events: pathlib.Path,
    arguments: argparse.Namespace,
    windows: int,
    seed: int,
) -> dict[str, Any]:
    """One measured process; returns the report it wrote."""
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


def summarise(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Medians (and the spread of the speed) over the rounds of one variant and loss."""
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


def compare(
    summaries: dict[str, dict[str, dict[str, Any]]], losses: Sequence[str]
) -> list[dict[str, Any]]:
    """Ours over theirs, for every loss and pairing measured: medians, and the worst round.

    Args:
        summaries: By loss, then by variant.
        losses: The losses, in the order wanted.

    Returns:
        One row a ratio.
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


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An aligned Markdown table; figures (all columns but text ones) to the right.

    >>> print(table(["what", "n"], [["a", "1"], ["bc", "20"]]))
    | what |  n |
    | ---- | -: |
    | a    |  1 |
    | bc   | 20 |
    """
    columns = list(zip(header, *rows, strict=True))
    widths = [max(2, *(len(cell) for cell in column)) for column in columns]
    right = [all(cell[:1].isdigit() for cell in column[1:]) for column in columns]
    align: list[Callable[[str, int], str]] = [str.rjust if r else str.ljust for r in right]
    rule = ["-" * (width - r) + ":" * r for width, r in zip(widths, right, strict=True)]
    lines = [
        [pad(cell, width) for pad, cell, width in zip(align, row, widths, strict=True)]
        for row in (header, *rows)
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in (lines[0], rule, *lines[1:]))


def render(report: dict[str, Any]) -> str:
    """The two tables: what each system did, and ours over theirs."""
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
    header = ["loss", "system", "positions", "positions/s", "range", "peak GB", "loss, from, to"]
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
    parser.add_argument("--separator", default="\t", help="between columns (default: tab)")
    parser.add_argument("--limit-sessions", type=int, help="take the first N only (a quick look)")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--our-epochs", type=int, default=5, help="timed; default: %(default)s")
    parser.add_argument("--peer-epochs", type=int, default=1, help="timed; default: %(default)s")
    parser.add_argument("--losses", nargs="+", choices=LOSSES, default=list(LOSSES))
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--num-negatives", type=int, default=128)
    parser.add_argument("--embedding-dim", type=int, default=64)
    parser.add_argument("--num-layers", type=int, default=2)
    parser.add_argument("--num-heads", type=int, default=2)
    parser.add_argument("--length", type=int, default=50)
    parser.add_argument("--batch-size", type=int, default=128, help="sequences, both systems")
    parser.add_argument(
        "--batch-positions", type=int, default=1024, help="our own way (default: %(default)s)"
    )
    parser.add_argument("--threads", type=int, default=2, help="cores each run may use")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peer-venv", type=pathlib.Path, default=HERE / ".venv-rectools")
    parser.add_argument("--json", type=pathlib.Path, help="write the whole report here")
    parser.add_argument("--section", action="store_true", help="write the section of RESULTS.md")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
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
    variants = {name: VARIANTS[name] for name in arguments.variants}
    needs_peer = any(variant.script == _PEER for variant in variants.values())
    pythons = {_OURS: pathlib.Path(sys.executable)}
    if needs_peer:
        pythons[_PEER] = ensure_peer(arguments.peer_venv)
    rounds: dict[str, dict[str, list[dict[str, Any]]]] = {
        loss: {name: [] for name in variants} for loss in arguments.losses
    }
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        files = {name: pathlib.Path(folder) / f"{name}.tsv" for name in forms}
        for name, sequences in forms.items():
            write_events(files[name], sequences)
        for number in range(arguments.rounds):
            for loss in arguments.losses:
                for name, variant in variants.items():
                    result = run(
                        pythons[variant.script],
                        variant,
                        loss,
                        files[variant.data],
                        arguments,
                        windows,
                        arguments.seed + number,
                    )
                    expected = count_positions(forms[variant.data], arguments.length)
                    if result["positions"] != expected:
                        raise RuntimeError(
                            f"{name} should train on {expected} positions. "
                            f"Received: {result['positions']}"
                        )
                    rounds[loss][name].append(result)
                    say(
                        f"[{time.perf_counter() - started:6.0f} s] round {number + 1}, {loss}, "
                        f"{name}: {result['positions_per_second']:,.0f} positions/s, "
                        f"{result['peak_memory_mb'] / 1000:.2f} GB, "
                        f"{result['cores_busy_elsewhere']:.0%} of the cores busy elsewhere"
                    )
    systems = {
        loss: {name: summarise(reports) for name, reports in variants.items()}
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
    print(render(report))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    if arguments.section:
        write_section(
            "train_throughput",
            "Training speed",
            report["command"],
            "Target positions a second beside RecTools' SASRec (PyTorch), at equal sizes and in "
            "turns; what the systems are, and where they differ, stands in `benchmarks/README.md`.",
            render(report),
        )
    busy = report["cores_busy_elsewhere"]
    if busy > BUSY_LIMIT:
        say(
            f"Other processes took up to {busy:.0%} of the cores during a run. PyTorch's threads "
            "wait for each other in a way that suffers most from it: measure again in quiet."
        )
    stuck = [
        f"{name} ({loss})"
        for loss, by_variant in systems.items()
        for name, row in by_variant.items()
        if not row["loss_fell"]
    ]
    if stuck:
        say(f"The loss did not fall, so the speed means nothing: {', '.join(stuck)}.")
    return int(bool(stuck))


if __name__ == "__main__":
    sys.exit(main())
