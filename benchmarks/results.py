"""The document of the results: its sections, tables and sentences, from what has been run."""

import contextlib
import dataclasses
import json
import pathlib
import statistics
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import prepare_globo
import prepare_simulated
import prepare_trivago
import recent_popularity
import scaling
import train_throughput
import trivago_orders
from trial import LOGS, RUNS, Trial, trials

GLOBO = "globo_clicks_hours_000_095.parquet"
TRIVAGO = "trivago_val_100k.parquet"
COST = ("fit s", "evaluation s", "peak GB", "parameters")


class Row:
    """What the seeds of a configuration gave.

    Args:
        trial: The configuration.
        results: What each seed left.
    """

    def __init__(self, trial: Trial, results: list[dict[str, Any]]) -> None:
        self.trial = trial
        self._training = [result["steps"][0] for result in results]
        self._asking = [result["steps"][1:] for result in results]
        self.num_seeds = len(results)
        self.report = self._asking[0][0]["report"]
        self.peak_gb = max(step["peak_gb"] for result in results for step in result["steps"])
        self.parameters = self._training[0]["report"]["parameters"]
        self.epochs = len(self._training[0]["report"]["epochs"])

    def values(self, metric: str) -> list[float]:
        """A metric of each seed; that of a baseline is `baseline: metric`."""
        baseline, _, name = metric.rpartition(": ")
        found = []
        for steps in self._asking:
            reports = [step["report"] for step in steps]
            tables = [
                report["baselines"].get(baseline, {}) if baseline else report["metrics"]
                for report in reports
            ]
            found += [table[name] for table in tables if name in table][:1]
        if not found:
            raise KeyError(metric)
        return found

    def baseline(self, name: str, metrics: Iterable[str]) -> dict[str, float]:
        """Those metrics that were measured of a baseline; ties of a model are not its own."""
        found = {}
        for metric in metrics:
            with contextlib.suppress(KeyError):
                found[metric] = self.mean(f"{name}: {metric.rpartition(': ')[2]}")
        return found

    def mean(self, metric: str) -> float:
        """Mean of a metric over the seeds."""
        return statistics.fmean(self.values(metric))

    def spread(self, metric: str) -> float:
        """Standard deviation over the seeds; 0 for one seed."""
        values = self.values(metric)
        return statistics.stdev(values) if len(values) > 1 else 0.0

    @property
    def fit_seconds(self) -> float:
        """Mean seconds of all epochs of a training."""
        return statistics.fmean(
            sum(epoch["seconds"] for epoch in step["report"]["epochs"]) for step in self._training
        )

    @property
    def evaluation_seconds(self) -> float:
        """Mean seconds of all evaluations, their baselines included."""
        return statistics.fmean(
            sum(step["report"]["seconds"] for step in steps) for steps in self._asking
        )

    def cells(self, title: str, metrics: Iterable[str]) -> list[str]:
        """The row of a table."""
        numbers = [self._cell(metric) for metric in metrics]
        cost = [
            f"{self.fit_seconds:.0f}",
            f"{self.evaluation_seconds:.0f}",
            f"{self.peak_gb:.1f}",
            f"{self.parameters:,}",
        ]
        return [title, str(self.num_seeds), *numbers, *cost]

    def _cell(self, metric: str) -> str:
        """Mean and spread; nothing where the metric was not asked for."""
        try:
            mean = f"{self.mean(metric):.4f}"
        except KeyError:
            return ""
        return f"{mean} ± {self.spread(metric):.4f}" if self.num_seeds > 1 else mean


Rows = dict[str, Row]
Paragraph = Callable[[Rows], list[str]]


@dataclasses.dataclass(frozen=True)
class Table:
    """One table of a suite: the configurations that name it.

    Args:
        head: Head of its first column.
        before: What stands above it.
        after: What stands below it. Both are left out while a configuration they cite was not run.
        by_title: Rows go by their titles; by default by the first metric, best first.
        baselines: Rows of baselines: title and name in the report, after the others.
        example: The configuration whose commands are shown.
        extra: Further rows: title and value of each metric by its name.
    """

    head: str
    before: Paragraph
    after: Paragraph
    by_title: bool = False
    baselines: Mapping[str, str] = dataclasses.field(default_factory=dict)
    example: str | None = None
    extra: Callable[[], Iterable[tuple[str, Mapping[str, float]]]] = tuple


@dataclasses.dataclass(frozen=True)
class Suite:
    """A section of the document and the folder of configurations behind it.

    Args:
        title: Its heading.
        metrics: Columns: head and name of the metric.
        tables: By the name that configurations give.
        files: Logs and results made of the given logs: name of the file and what makes it.
        commands: What a user types to make them.
    """

    title: str
    metrics: Mapping[str, str]
    tables: Mapping[str, Table]
    files: Mapping[str, Callable[[pathlib.Path, pathlib.Path], None]] = dataclasses.field(
        default_factory=dict
    )
    commands: tuple[str, ...] = ()

    def prepare(self, data: pathlib.Path, again: bool = False) -> None:
        """Makes the files that are missing, or all of them."""
        for name, make in self.files.items():
            if again or not (LOGS / name).is_file():
                LOGS.mkdir(parents=True, exist_ok=True)
                print(f"making {name}", flush=True)
                make(data, LOGS)

    def render(self, rows: Rows) -> list[str]:
        """The lines of the section."""
        lines = [f"## {self.title}", ""]
        if self.commands:
            lines += ["```sh", *self.commands, "```", ""]
        cited: set[str] = set()
        for name, table in self.tables.items():
            own = {
                key: (title, row)
                for key, row in rows.items()
                if (title := row.trial.title_in(name)) is not None
            }
            if own:
                lines += self._table(table, own, rows, cited)
        return lines

    def _table(
        self, table: Table, own: dict[str, tuple[str, Row]], rows: Rows, cited: set[str]
    ) -> list[str]:
        first, *_ = self.metrics.values()
        order = sorted(own.values(), key=lambda one: -one[1].mean(first))
        if table.by_title:
            order = sorted(own.values(), key=lambda one: one[0])
        shown = own.get(table.example or "", order[0])[1]
        commands: list[str] = []
        if shown.trial.name not in cited:  # a row's commands stand once in a section
            commands = shown.trial.commands(shown.trial.seeds[0])
            commands = ["```sh", *(f"tfsessionrec {command}" for command in commands), "```", ""]
        cited.add(shown.trial.name)
        cells = [row.cells(title, self.metrics.values()) for title, row in order]
        for title, name in table.baselines.items():
            cells.append(self._plain(title, shown.baseline(name, self.metrics.values())))
        cells += [self._plain(title, found) for title, found in table.extra()]
        return [
            *_said(table.before, rows),
            *commands,
            *markdown([table.head, "seeds", *self.metrics, *COST], cells),
            *_said(table.after, rows),
        ]

    def _plain(self, title: str, found: Mapping[str, float]) -> list[str]:
        numbers = [
            f"{found[metric]:.4f}" if metric in found else "" for metric in self.metrics.values()
        ]
        return [title, "", *numbers, *[""] * len(COST)]


def _said(paragraph: Paragraph, rows: Rows) -> list[str]:
    """A paragraph, unless a configuration that it cites was not run."""
    try:
        lines = paragraph(rows)
    except KeyError:
        return []
    return [" ".join(lines), ""] if lines else []


def markdown(header: list[str], rows: Iterable[list[str]]) -> list[str]:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines] + [""]


def rows_of(suite: str) -> Rows:
    """What has been run of a suite."""
    rows = {}
    for trial in trials(suite):
        results = [result for seed in trial.seeds if (result := trial.result(seed)) is not None]
        if results:
            rows[trial.name] = Row(trial, results)
    return rows


def trials_of_table(suite: str, table: str) -> list[Trial]:
    """The configurations behind a table, run or not."""
    return [trial for trial in trials(suite) if trial.title_in(table) is not None]


def nothing(_: Rows) -> list[str]:
    """No words."""
    return []


def _percent(new: float, old: float) -> str:
    return f"{100 * (new / old - 1):+.0f} %"


# What each section says.


def _yoochoose(rows: Rows) -> list[str]:
    report = rows["sasrec"].report
    return [
        "Every position of the test file after a session's first click:",
        f"{report['num_queries']:,} queries, all {report['num_candidates']:,} training items",
        "ranked, seen items not removed, consecutive repeats kept, ties against us.",
    ]


def _yoochoose_validation(rows: Rows) -> list[str]:
    row = next(row for row in rows.values() if row.trial.table == "validation")
    return [
        "Settings were chosen on the last day of the training file, never on the test file",
        f"({row.report['num_queries']:,} queries):",
    ]


def _next_click(rows: Rows) -> list[str]:
    report = next(iter(rows.values())).report
    return [
        "Trained on the sessions of hours 0 to 71; every position after the first click of the",
        f"first 20,000 sessions of hours 72 to 95: {report['num_queries']:,} queries,",
        f"{report['num_candidates']:,} candidates, ties against us. Sessions never repeat an",
        "article: those of the session so far are not ranked. *Streaming*: at each request the",
        "model knows the clicks of all visitors before it, those of the test hours too; its",
        "weights stay. *Static*: it knows none after training. Both learn from the sessions of",
        "hours 48 to 71; epochs and dropout were chosen a day earlier.",
    ]


def _trivago_ranking(rows: Rows) -> list[str]:
    report = next(iter(rows.values())).report
    return [
        "Every event is a session of its own, a clickout with the hotels it showed; trained on 7",
        f"November, asked about the {report['num_queries']:,} clickouts of 8 November, first ones",
        "of a visit too. A model with a relation reads what the running session touched before,",
        "hotels unknown to training included. *MRR* has ties in the displayed order, as a page",
        "would show them; *MRR, ties against* has them against the clicked hotel.",
    ]


def _trivago_ranking_orders() -> Iterable[tuple[str, Mapping[str, float]]]:
    orders = json.loads((LOGS / "trivago_orders.json").read_text())
    touched = orders["touched last first"]
    yield "hotels the running session touched last first", {SHOWN_MRR: touched}


def _write_orders(data: pathlib.Path, logs: pathlib.Path) -> None:
    result = trivago_orders.mean_reciprocal_ranks(data / TRIVAGO)
    (logs / "trivago_orders.json").write_text(json.dumps(result) + "\n")


def _write_recent_popularity(data: pathlib.Path, logs: pathlib.Path) -> None:
    result = recent_popularity.measure_file(data / GLOBO, recent_popularity.HOURS)
    (logs / "recent_popularity.json").write_text(json.dumps(result) + "\n")


def _recent_popularity() -> Iterable[tuple[str, Mapping[str, float]]]:
    counted = json.loads((LOGS / "recent_popularity.json").read_text())
    for key, moment in zip(("hours", "stale hours"), MOMENTS, strict=True):
        for window, metrics in counted[key].items():
            hours = float(window)
            length = f"{hours:g} hours" if hours > 1 else f"{60 * hours:g} minutes"
            yield f"clicks of the {length} before {moment}", metrics


def _next_session(rows: Rows) -> list[str]:
    report = rows["sessionrec-sasrec"].report
    return [
        "Users with at least two sessions, the last one held out; its set of articles is asked",
        f"for, given the sessions before it: {report['num_queries']:,} queries,",
        f"{report['num_candidates']:,} candidates (the articles of the training sessions), seen",
        "articles not removed. Each backbone is trained on sessions and on single articles, with",
        "the same width, layers, heads, dropout, negatives, optimiser, positions a batch and",
        "epochs. The last rows count the clicks of everybody that came before the start of the",
        "very session that is asked for, or before the end of the user's session before it.",
    ]


def _objective(metric: str, rows: Rows) -> list[str]:
    """How next session compares with next item, backbone by backbone."""
    said, ratios = [], []
    for ours, theirs in PAIRS.items():
        one, other = rows[ours], rows[theirs]
        ratios.append(one.mean(metric) / other.mean(metric))
        cost = one.fit_seconds / other.fit_seconds
        said.append(f"{BACKBONES[ours]} {ratios[-1]:.2f} times in {cost:.2f} times the seconds")
    change = 100 * (statistics.fmean(ratios) - 1)
    return [
        f"{_name(metric)} of next-session training against that of next-item training:",
        f"{', '.join(said)}; {change:+.0f} % on average, where the paper has +27 % on its data.",
    ]


def _name(metric: str) -> str:
    return metric.upper() if metric.startswith("ndcg") else metric.capitalize()


def _globo_objective(rows: Rows) -> list[str]:
    metric = "ndcg@20"
    best = max(rows[name].mean(metric) for pair in PAIRS.items() for name in pair)
    counted = dict(_recent_popularity())
    fresh, stale = (
        counted[f"clicks of the 60 minutes before {moment}"][metric] for moment in MOMENTS
    )
    popular = rows["sasrec"].mean(f"popularity: {metric}")
    return [
        *_objective(metric, rows),
        "The reason is time. An article is read for some hours: what an hour's clicks tell falls",
        f"from {fresh:.4f} to {stale:.4f} by the user's next session. What follows a click within",
        "a session is of its own hour, so next-item training learns what was read together with",
        "the history; next-session training learns what came later. Popularity, the same for all,",
        f"has {popular:.4f}. None of these models knows when the request is made: counting the",
        f"clicks of the hour before it reaches {fresh / best:.1f} times the best of them.",
        "HSTU reads the times of clicks, and the last click of a session is stamped exactly 30",
        "seconds after the one before in this log: that tells next-item HSTU that the session is",
        f"over. Without times it has {rows['hstu-no-times'].mean(metric):.4f} instead of",
        f"{rows['hstu'].mean(metric):.4f}, next-session HSTU",
        f"{rows['sessionrec-hstu-no-times'].mean(metric):.4f} instead of",
        f"{rows['sessionrec-hstu'].mean(metric):.4f}.",
    ]


def _budget(rows: Rows) -> list[str]:
    short, long = rows["sasrec-epochs-3"], rows["sessionrec-sasrec-epochs-30"]
    return [
        "An epoch of next-session training is cheaper: it predicts sessions of users who have",
        "another before, and next-item training every further click. With the seconds made equal",
        f"instead of the epochs, SASRec on next items for {short.epochs} epochs, and on next",
        f"sessions for {long.epochs}:",
    ]


def _last_day(rows: Rows) -> list[str]:
    report = rows["sessionrec-sasrec-last-day"].report
    unknown = report["options"]["unknown targets left out"]
    return [
        "Leaving out last sessions lets a model see clicks that are later than a target of another",
        "user. With a cut in time instead, the sessions of the last 24 hours are asked for by",
        f"models that were trained on all before: {report['num_queries']:,} queries,",
        f"{report['num_candidates']:,} candidates, {unknown:,} targets that training never saw",
        "left out. A session that follows another of the same day is given that one too.",
    ]


def _ise(rows: Rows) -> list[str]:
    report = rows["sessionrec-sasrec"].report
    return [
        "What stands inside a session, with the SASRec backbone above trained on next sessions",
        f"({report['num_queries']:,} queries, as above). A session holds 2.8 clicks on average and",
        "at least two.",
    ]


def _ise_after(rows: Rows) -> list[str]:
    metric = "ndcg@20"
    own = {title: row for row in rows.values() if (title := row.trial.title_in("ise")) is not None}
    mean = own["mean"]
    if len(own) < len(trials_of_table("globo-next-session", "ise")):
        return []
    best = max(own, key=lambda title: own[title].mean(metric))
    if best == "mean":
        return ["The mean is best here too, as in the paper."]
    gap = own[best].mean(metric) - mean.mean(metric)
    noise = (mean.spread(metric) ** 2 + own[best].spread(metric) ** 2) ** 0.5
    words = [
        f"The paper found the mean best; here {best} is ahead of it by {gap:.4f} in NDCG@20, in",
        f"{own[best].fit_seconds / mean.fit_seconds:.1f} times the training time.",
    ]
    if min(mean.num_seeds, own[best].num_seeds) > 1:
        words.append(f"The spread of that difference over the seeds is {noise:.4f}.")
    return words


def _clickouts(rows: Rows) -> list[str]:
    report = rows["sessionrec-sasrec"].report
    return [
        "A session is one clickout with the hotels shown there. Users with at least two, the last",
        f"one held out: {report['num_queries']:,} queries. *Recall* and *NDCG* rank all",
        f"{report['num_candidates']:,} hotels that the log shows, *MRR among shown* and *AUC* the",
        "hotels of that very clickout (ties in the displayed order). The models know ids alone.",
    ]


def _simulated(rows: Rows) -> list[str]:
    report = rows["sessionrec-sasrec"].report
    return [
        "Visitors with drifting interests, of whom both what they take and what they are shown in",
        "vain tells something (`sr.data.simulate`): here it is known that there is something to",
        f"learn. The last session is held out: {report['num_queries']:,} queries,",
        f"{report['num_candidates']:,} items.",
    ]


def _history(rows: Rows) -> list[str]:
    said = []
    for name, backbone in BACKBONES.items():
        without = rows[f"history-{backbone.lower()}-without"]
        said.append(f"{backbone} {_percent(rows[name].mean('ndcg@20'), without.mean('ndcg@20'))}")
    return [
        "The same with a history of taken items only; candidates, targets and queries are the",
        "same. What the items shown in vain change in NDCG@20 when the history holds them too:",
        f"{', '.join(said)}.",
    ]


def _alpha(rows: Rows) -> list[str]:
    return [
        "`sessionrec-sasrec` with the pairwise ranking loss at weight α. What α = 0 reports is",
        "retrieval alone.",
    ]


def _alpha_after(rows: Rows) -> list[str]:
    none = rows["sessionrec-sasrec"]
    alphas = {row.trial.title: row for row in rows.values() if row.trial.table == "alpha"}
    if not alphas:
        return []
    said = []
    for metric, words in (("ndcg@20", "NDCG@20"), (SHOWN_MRR, "MRR among shown")):
        best = max(alphas, key=lambda title: alphas[title].mean(metric))
        change = alphas[best].mean(metric) - none.mean(metric)
        if change > 0:
            said.append(f"{words} is best at {best}, {change:.4f} above no ranking loss")
        else:
            said.append(f"no α above 0 helps {words}")
    return [f"{'; '.join(said)}."[0].upper() + f"{'; '.join(said)}."[1:]]


SHOWN_MRR = "model, then as displayed: mrr"
NEXT_SESSION = {
    "Recall@20": "recall@20",
    "NDCG@20": "ndcg@20",
    "Recall@100": "recall@100",
    "NDCG@100": "ndcg@100",
}
SHOWN = {"Recall@20": "recall@20", "NDCG@20": "ndcg@20", "MRR among shown": SHOWN_MRR, "AUC": "auc"}
AMONG_SHOWN = {"popularity": "popularity", "as displayed": "as displayed"}
MOMENTS = ("the session", "the user's last click")
PAIRS = {"sessionrec-sasrec": "sasrec", "sessionrec-hstu": "hstu", "sessionrec-gru": "gru4rec"}
BACKBONES = {"sessionrec-sasrec": "SASRec", "sessionrec-hstu": "HSTU", "sessionrec-gru": "GRU"}
SUITES: dict[str, Suite] = {
    "yoochoose": Suite(
        "YooChoose: anonymous sessions, next item",
        {"HR@20": "hit_rate@20", "MRR@20": "mrr@20", "NDCG@20": "ndcg@20"},
        {
            "systems": Table("system", _yoochoose, nothing, baselines={"popularity": "popularity"}),
            "validation": Table("trained without the last day", _yoochoose_validation, nothing),
        },
    ),
    "globo-next-click": Suite(
        "Globo: the next click",
        {"HR@20": "hit_rate@20", "MRR@20": "mrr@20", "NDCG@20": "ndcg@20"},
        {
            "systems": Table(
                "system", _next_click, nothing, baselines={"popularity": "popularity"}
            ),
        },
        {
            "globo_next_click_train.parquet": lambda data, logs: prepare_globo.prepare(
                data / GLOBO, logs
            )
        },
        (f"python benchmarks/prepare_globo.py --events {GLOBO} --output .",),
    ),
    "trivago": Suite(
        "trivago: which of the shown hotels is clicked",
        {"MRR": SHOWN_MRR, "MRR, ties against": "mrr", "HR@1": "hit_rate@1", "AUC": "auc"},
        {
            "systems": Table(
                "system",
                _trivago_ranking,
                nothing,
                baselines={"as displayed": "as displayed", "popularity": "popularity"},
                extra=_trivago_ranking_orders,
            )
        },
        {"trivago_orders.json": _write_orders},
        (f"python benchmarks/trivago_orders.py --events {TRIVAGO}",),
    ),
    "globo-next-session": Suite(
        "Globo: the next session",
        NEXT_SESSION,
        {
            "objective": Table(
                "backbone, objective",
                _next_session,
                _globo_objective,
                baselines={"popularity": "popularity"},
                extra=_recent_popularity,
                example="sessionrec-sasrec",
            ),
            "budget": Table("SASRec, objective, epochs", _budget, nothing, by_title=True),
            "last-day": Table(
                "backbone, objective", _last_day, nothing, baselines={"popularity": "popularity"}
            ),
            "ise": Table("inside a session", _ise, _ise_after),
        },
        {"recent_popularity.json": _write_recent_popularity},
        (f"python benchmarks/recent_popularity.py --events {GLOBO}",),
    ),
    "trivago-next-session": Suite(
        "trivago: the next clickout",
        SHOWN,
        {
            "objective": Table(
                "backbone, objective",
                _clickouts,
                lambda rows: _objective("ndcg@20", rows),
                baselines=AMONG_SHOWN,
            ),
            "history": Table("backbone, history", _history, nothing, by_title=True),
            "alpha": Table("weight of the ranking loss", _alpha, _alpha_after, by_title=True),
        },
        {"trivago_shown.parquet": lambda data, logs: prepare_trivago.prepare(data / TRIVAGO, logs)},
        (f"python benchmarks/prepare_trivago.py --events {TRIVAGO} --output .",),
    ),
    "simulated": Suite(
        "A simulated log: what was shown in vain tells something",
        SHOWN,
        {
            "objective": Table(
                "backbone, objective",
                _simulated,
                lambda rows: _objective("ndcg@20", rows),
                baselines=AMONG_SHOWN,
            ),
            "history": Table("backbone, history", _history, nothing, by_title=True),
            "alpha": Table("weight of the ranking loss", _alpha, _alpha_after, by_title=True),
        },
        {"simulated_shown.parquet": lambda _, logs: prepare_simulated.prepare(logs)},
        ("python benchmarks/prepare_simulated.py --output .",),
    ),
}


def throughput_section() -> list[str]:
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


def memory_section() -> list[str]:
    """What a step costs as the catalogue grows."""
    report = json.loads((RUNS / "step_memory.json").read_text())
    return [
        "## A step as the catalogue grows",
        "",
        *("```sh", report["command"], "```", ""),
        report["text"],
        "",
    ]


def scaling_section() -> list[str]:
    """What more data, width and depth give, and what longer sessions cost."""
    content = scaling.read()
    points, epochs = content["points"], content["epochs"]
    queries, popular = points[0]["queries"], points[0]["popularity ndcg@20"]
    seconds = sum(point["wall_seconds"] for point in [*points, *epochs])
    rows = [
        [
            f"{group[0]['sessions']:,}",
            *(str(group[0][key]) for key in ("width", "depth")),
            f"{group[0]['parameters']:,}",
            str(len(group)),
            *(f"{statistics.fmean(p[key] for p in group):.4f}" for key in ("loss", "ndcg@20")),
            *(f"{statistics.fmean(p[key] for p in group):.0f}" for key in ("epochs", "seconds")),
        ]
        for group in scaling.groups(points)
    ]
    laws = [
        [
            name,
            f"{law.exponent:.2f}" if law.determined else "not determined",
            f"{law.low:.2f} to {law.high:.2f}",
            f"{law.scale:.3g}" if law.determined else "",
            f"{law.floor:.2f}",
        ]
        for name, law in scaling.fits(points).items()
    ]
    cost = [
        [
            f"{point['length']:.1f}",
            f"{point['clicks']:,}",
            f"{point['next session']:.1f}",
            f"{point['next item']:.1f}",
            f"{point['next session'] / point['next item']:.2f}",
        ]
        for point in epochs
    ]
    return [
        "## Scaling",
        "",
        *("```sh", f"python benchmarks/scaling.py --events {GLOBO}", "```", ""),
        "![Loss and NDCG against data, width and depth; seconds of an epoch](scaling.png)",
        "",
        "SessionRec-SASRec on Globo; every session after the first of users that training never "
        f"saw: {queries:,} queries, all articles ranked, where popularity has an NDCG@20 of "
        f"{popular:.4f}. *sessions* are those predicted in training; each model is that of the "
        "epoch with the least loss on further users. Unlike above, training covers the days of "
        f"the test. Everything took {seconds / 60:.0f} minutes.",
        "",
        *markdown(
            [
                *("sessions", "width", "depth", "parameters", "seeds"),
                *("loss", "NDCG@20", "epochs", "fit s"),
            ],
            rows,
        ),
        "`L = a n^-b + c`, fitted to the loss of every seed along each axis, and what nine in ten "
        "refits with resampled residuals give for b. Where that range spans a factor of ten, the "
        "loss of these sizes follows no power law that could be told from chance.",
        "",
        *markdown(["n", "b", "range of b", "a", "c"], laws),
        "An epoch on simulated logs of about as many clicks, in sessions of growing length; both "
        "objectives read whole histories:",
        "",
        *markdown(["clicks a session", "clicks", "next session, s", "next item, s", "ratio"], cost),
    ]


SECTIONS = {
    "scaling": scaling_section,
    "train_throughput": throughput_section,
    "step_memory": memory_section,
}


def render() -> str:
    """The document, from what is in `benchmarks/runs/`."""
    lines = [
        "# Results",
        "",
        "Written by `python benchmarks/real_logs.py --data FOLDER`, which runs the configurations "
        "under `benchmarks/configs/` on 2 CPU cores; a row is one of them, and the commands above "
        "a table are those of one of its rows and seeds. Metrics are means over the seeds, ± their "
        "standard deviation. *fit s* are the seconds of all epochs and *evaluation s* those of the "
        "evaluation, both means over the seeds; *peak GB* is the largest resident size of any "
        "process. Times are of one shared machine on which other things ran: compare them with "
        "each other only, and small differences not at all.",
        "",
    ]
    for name, suite in SUITES.items():
        rows = rows_of(name)
        if rows:
            lines += suite.render(rows)
    for name, section in SECTIONS.items():
        if (RUNS / f"{name}.json").is_file():
            lines += section()
    return "\n".join(lines).rstrip() + "\n"
