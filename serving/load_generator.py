"""Traffic of a load test: requests as visitors make them, sent when they are due."""

import contextlib
import dataclasses
import queue
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

MAX_PENDING = 10_000
ABANDON = 60.0  # seconds after which a step ends although a request still hangs

Request = tuple[list[str], list[int]]  # item ids, the session of each
Send = Callable[[Request], None]


@dataclasses.dataclass(frozen=True)
class Step:
    """The results of one rate; latencies in milliseconds from when a request was due.

    Attributes:
        rate: Requests due per second.
        seconds: Length of the step.
        requests: Number of requests due.
        answered: Number of answers.
        errors: Number of failures.
        unanswered: Number of requests without an answer at the end of the step, sent or not.
        throughput: Answers a second, until the last answer.
        p50, p90, p99, maximum: Latencies of the answers; None without answers.
        late_p99: Delay between due and sent. If it is not far below p50, this program is the
            bottleneck, or --workers is too low.
        keeps_up: Whether at least 99 % were answered, at 90 % of the rate or more.
        error: The last failure.
    """

    rate: float
    seconds: float
    requests: int
    answered: int
    errors: int
    unanswered: int
    throughput: float
    p50: float | None
    p90: float | None
    p99: float | None
    maximum: float | None
    late_p99: float | None
    keeps_up: bool
    error: str = ""


class Traffic:
    """Requests as visitors make them.

    Args:
        num_items: Size of the catalogue; the ids are "i0", "i1", ..., the most popular first.
        popularity_exponent: P(item of rank r) ~ r^-a.
        length_exponent: P(length l) ~ l^-a, of sessions and of the number of sessions.
        max_length: Longest session.
        max_sessions: Largest number of sessions of a visitor.
        seed: Seed of the random numbers.
    """

    def __init__(
        self,
        num_items: int,
        *,
        popularity_exponent: float,
        length_exponent: float,
        max_length: int,
        max_sessions: int,
        seed: int,
    ) -> None:
        self._generator = np.random.default_rng(seed)
        self._items = _cumulative(num_items, popularity_exponent)
        self._lengths = _cumulative(max_length, length_exponent)
        self._sessions = _cumulative(max_sessions, length_exponent)

    def request(self) -> Request:
        """A history."""
        count = 1 + self._draw(self._sessions, 1)[0]
        lengths = 1 + self._draw(self._lengths, count)
        items = self._draw(self._items, int(lengths.sum()))
        return [f"i{n}" for n in items], np.repeat(np.arange(count), lengths).tolist()

    def arrivals(self, rate: float, count: int) -> NDArray[np.float64]:
        """Seconds at which requests are due, independent of each other (a Poisson process)."""
        return np.cumsum(self._generator.exponential(1 / rate, count))

    def _draw(self, cumulative: NDArray[np.float64], count: int) -> NDArray[np.int64]:
        return np.searchsorted(cumulative, self._generator.random(count), side="right")


def run_step(
    send: Send,
    requests: Sequence[Request],
    due: Sequence[float],
    *,
    rate: float,
    workers: int,
    drain: float,
) -> Step:
    """Sends requests when they are due.

    Args:
        send: Sends one and waits for its answer; raises if it fails.
        requests: The requests.
        due: Seconds from now at which each is due, ascending.
        rate: Requests a second, for the report.
        workers: Number of requests open at a time; others wait, and their latency includes it.
        drain: Seconds to wait for answers after the last request was due.

    Returns:
        The measurements.
    """
    step = _Run(send, requests, due)
    step.run(workers, begin=time.perf_counter() + 0.05, drain=drain)
    seen, late = (times[~np.isnan(times)] for times in (step.latency, step.lateness))
    failures = step.failures
    seconds = float(due[-1])
    last = float(np.nanmax(step.finished)) if len(seen) else seconds
    throughput = len(seen) / max(last, seconds, 1e-9)
    return Step(
        rate=rate,
        seconds=round(seconds, 3),
        requests=len(requests),
        answered=len(seen),
        errors=len(failures),
        unanswered=len(requests) - len(seen) - len(failures),
        throughput=round(throughput, 2),
        p50=_quantile(seen, 0.5),
        p90=_quantile(seen, 0.9),
        p99=_quantile(seen, 0.99),
        maximum=_quantile(seen, 1.0),
        late_p99=_quantile(late, 0.99),
        keeps_up=len(seen) >= 0.99 * len(requests)
        and throughput >= 0.9 * len(requests) / max(seconds, 1e-9),
        error=failures[-1][:300] if failures else "",
    )


class _Run:
    """One step while it runs; `latency`, `lateness` and `finished` are seconds, or NaN."""

    def __init__(self, send: Send, requests: Sequence[Request], due: Sequence[float]) -> None:
        self._send, self._requests, self._due = send, requests, due
        self._tasks: queue.Queue[int | None] = queue.Queue(MAX_PENDING)
        self._stop = threading.Event()
        self._begin = 0.0
        self.latency = np.full(len(requests), np.nan)
        self.lateness = np.full(len(requests), np.nan)
        self.finished = np.full(len(requests), np.nan)
        self.failures: list[str] = []

    def run(self, workers: int, begin: float, drain: float) -> None:
        """Sends every request that is due in time and waits for the answers."""
        self._begin = begin
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(workers)]
        for thread in threads:
            thread.start()
        end = begin + self._due[-1] + drain
        for number, moment in enumerate(self._due):
            pause = begin + moment - time.perf_counter()
            if pause > 0:
                time.sleep(pause)
            try:
                self._tasks.put_nowait(number)
            except queue.Full:
                break  # The rest stays unanswered.
        for _ in threads:
            with contextlib.suppress(queue.Full):
                self._tasks.put(None, timeout=max(end - time.perf_counter(), 0.001))
        for thread in threads:
            thread.join(max(end - time.perf_counter(), 0.001))
        self._stop.set()
        while not self._tasks.empty():  # Requests of a step that was cut off are dropped.
            with contextlib.suppress(queue.Empty):
                self._tasks.get_nowait()
        for _ in threads:
            self._tasks.put(None)
        for thread in threads:  # The caller may close the sender after this.
            thread.join(ABANDON)

    def _work(self) -> None:
        while (number := self._tasks.get()) is not None:
            if self._stop.is_set():
                continue
            self.lateness[number] = time.perf_counter() - self._begin - self._due[number]
            try:
                self._send(self._requests[number])
            except Exception as error:  # Any exception is a request that failed.
                if not self._stop.is_set():
                    self.failures.append(f"{type(error).__name__}: {error}")
                continue
            now = time.perf_counter() - self._begin
            if not self._stop.is_set():
                self.latency[number], self.finished[number] = now - self._due[number], now


def _quantile(seconds: NDArray[np.float64], q: float) -> float | None:
    """Milliseconds."""
    return round(1000 * float(np.quantile(seconds, q)), 3) if len(seconds) else None


def _cumulative(count: int, exponent: float) -> NDArray[np.float64]:
    weights = np.arange(1, count + 1, dtype=np.float64) ** -exponent
    cumulative = np.cumsum(weights)
    return cumulative / cumulative[-1]
