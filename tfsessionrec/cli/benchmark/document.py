"""`RESULTS.md`: a summary of all suites, then one section per suite with its tables and plot."""

import statistics
from collections.abc import Iterable, Mapping

from tfsessionrec.cli.benchmark.picture import draw
from tfsessionrec.cli.benchmark.row import COST, Row, rows_of
from tfsessionrec.cli.benchmark.suite import Suite, Table
from tfsessionrec.cli.benchmark.trial import Folders

NEAR = 0.02  # a system within this share of the best is "nearly as good"
ABOUT = (
    "`tfsessionrec benchmark --data FOLDER` writes this document: it runs the configurations under "
    "`benchmarks/configs/` on 2 CPU cores. Each row is one configuration; the commands above a "
    "table reproduce one of its rows with one seed. Metrics are means over the seeds, ± their "
    "standard deviation. *fit s* is the time of all epochs and *evaluation s* that of the "
    "evaluation, both in seconds and averaged over the seeds; *peak GB* is the largest resident "
    "memory of any process. Times come from one shared machine that ran other jobs too: compare "
    "them only with each other, and ignore small differences. The scripts named in the last "
    "sections write those sections."
)


def write_document(suites: Iterable[Suite], folders: Folders) -> None:
    """Writes the document and its plots from the saved results."""
    folders.results.mkdir(parents=True, exist_ok=True)
    text = render(suites, folders)
    part = folders.document.with_name(f".{folders.document.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(folders.document)


def render(suites: Iterable[Suite], folders: Folders) -> str:
    """The document as text; draws its plots."""
    sections, summary = [], []
    for suite in suites:
        rows = rows_of(suite.trials, folders)
        if not rows:
            continue
        sections += _section(suite, rows, folders)
        first = next(iter(suite.tables))
        own = [row for row in rows.values() if row.trial.title_in(first)]
        if own:
            summary.append(_summary(suite, own))
    lines = ["# Results", "", ABOUT, ""]
    if summary:
        lines += [
            "## Which system for which log",
            "",
            f"*Nearly as good*: the system that trains fastest among those within {NEAR:.0%} of "
            "the best.",
            "",
            *markdown(["log", "metric", "best", "nearly as good, fastest to train"], summary),
        ]
    lines += sections
    for file in sorted(folders.results.glob("*.md")):
        lines += [file.read_text(encoding="utf-8").strip(), ""]
    return "\n".join(lines).rstrip() + "\n"


def markdown(header: list[str], rows: Iterable[list[str]]) -> list[str]:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines] + [""]


def _summary(suite: Suite, rows: list[Row]) -> list[str]:
    """The line of a suite in the summary of all suites."""
    head, metric = next(iter(suite.metrics.items()))

    def describe(row: Row) -> str:
        return f"{row.trial.title}: {row.mean(metric):.4f} in {row.fit_seconds:,.0f} s"

    best = max(rows, key=lambda row: row.mean(metric))
    near = [row for row in rows if row.mean(metric) >= (1 - NEAR) * best.mean(metric)]
    fastest = min(near, key=lambda row: row.fit_seconds)
    nearly = describe(fastest) if fastest is not best else "the same"
    return [suite.log, head, describe(best), nearly]


def _section(suite: Suite, rows: Mapping[str, Row], folders: Folders) -> list[str]:
    lines = [f"## {suite.title}", ""]
    if suite.files:
        lines += ["```sh", *dict.fromkeys(suite.files.values()), "```", ""]
    cited: set[str] = set()
    for number, (name, table) in enumerate(suite.tables.items()):
        own = [(title, row) for row in rows.values() if (title := row.trial.title_in(name))]
        if not own:
            continue
        if table.by_title:
            own.sort(key=lambda one: one[0])
        else:
            first = next(iter(suite.metrics.values()))
            own.sort(key=lambda one: -one[1].mean(first))
        extra = _extra(suite, table, dict(own), rows, folders)
        lines += _table(suite, table, own, extra, rows, cited)
        if number == 0:
            file = folders.results / f"{suite.name}.png"
            draw(file, suite, own, extra)
            path = file.relative_to(folders.output).as_posix()
            lines += [f"![{suite.title}: quality and training time]({path})", ""]
    return lines


def _extra(
    suite: Suite,
    table: Table,
    own: Mapping[str, Row],
    rows: Mapping[str, Row],
    folders: Folders,
) -> dict[str, Mapping[str, float]]:
    """Rows of a table without a configuration: baselines, and further rows from a script."""
    shown = rows.get(table.example or "") or next(iter(own.values()))
    metrics = suite.metrics.values()
    found: dict[str, Mapping[str, float]] = {
        title: values
        for title, name in table.baselines.items()
        if (values := shown.baseline(name, metrics))
    }
    return {**found, **suite.rows(table, folders)}


def _table(
    suite: Suite,
    table: Table,
    own: list[tuple[str, Row]],
    extra: Mapping[str, Mapping[str, float]],
    rows: Mapping[str, Row],
    cited: set[str],
) -> list[str]:
    shown = rows.get(table.example or "") or own[0][1]
    lines = []
    if table.about:
        counts = {name: shown.first[name] for name in ("num_queries", "num_candidates")}
        lines += [table.about.format(**counts), ""]
    if shown.trial.name not in cited:  # each section shows the commands of a row once
        commands = shown.trial.commands(shown.trial.seeds[0])
        lines += ["```sh", *(f"tfsessionrec {command}" for command in commands), "```", ""]
    cited.add(shown.trial.name)
    cells = [row.cells(title, suite.metrics.values()) for title, row in own]
    for title, values in extra.items():
        numbers = [
            f"{values[name]:.4f}" if name in values else "" for name in suite.metrics.values()
        ]
        cells.append([title, "", *numbers, *[""] * len(COST)])
    lines += markdown([table.head, "seeds", *suite.metrics, *COST], cells)
    compared = _compared(suite, table, rows)
    return [*lines, *compared, *([table.after, ""] if table.after else [])]


def _compared(suite: Suite, table: Table, rows: Mapping[str, Row]) -> list[str]:
    """A sentence that compares the metric and training time of each pair of configurations."""
    metric = table.metric or next(iter(suite.metrics.values()))
    head = next(head for head, name in suite.metrics.items() if name == metric)
    said, ratios = [], []
    for one, other in table.compare:
        if one not in rows or other not in rows:
            continue
        ratios.append(rows[one].mean(metric) / rows[other].mean(metric))
        times = rows[one].fit_seconds / max(rows[other].fit_seconds, 1e-9)
        said.append(
            f"{rows[one].trial.title} reaches {ratios[-1]:.2f} times that of "
            f"{rows[other].trial.title}, in {times:.2f} times the training time"
        )
    if not said:
        return []
    mean = f"; {100 * (statistics.fmean(ratios) - 1):+.0f} % on average" if len(said) > 1 else ""
    return [f"{head}: {'; '.join(said)}{mean}.", ""]
