"""The scaling study: the fit, what is trained, and the picture."""

import importlib
import pathlib
import types

import numpy as np
import polars as pl
import pytest

BENCHMARKS = pathlib.Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def scripts_import_their_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def script(name: str) -> types.ModuleType:
    return importlib.import_module(name)


N = np.array([1000, 2000, 4000, 8000, 16000] * 2)


@pytest.mark.parametrize("exponent", [0.1, 0.4, 1.0])
@pytest.mark.parametrize("floor", [0.0, 3.0])
def test_a_power_law_is_found_again(exponent: float, floor: float) -> None:
    law = script("power_law").fit(N, 5 * (N / 1000) ** -exponent + floor)
    assert law.exponent == pytest.approx(exponent, rel=0.01)
    assert law.floor == pytest.approx(floor, abs=0.1)
    assert law(N) == pytest.approx(5 * (N / 1000) ** -exponent + floor, rel=0.01)
    assert law.low <= law.exponent <= law.high
    assert law.high - law.low < 0.05
    assert law.determined


def test_the_range_of_the_exponent_mostly_holds_the_truth_and_grows_with_the_noise() -> None:
    generator = np.random.default_rng(0)
    found, width = [], []
    for _ in range(20):
        noise = generator.normal(size=len(N))
        for size in (0.01, 0.1):
            exact = 5 * (N / 1000) ** -0.5 + 1
            law = script("power_law").fit(N, exact + size * noise, resamples=100)
            found.append(law.low < 0.5 < law.high)
            width.append(law.high - law.low)
    assert sum(found) >= 30  # of 40; 36 are expected of what says 90 %
    assert np.median(width[1::2]) > 3 * np.median(width[::2])


def test_what_does_not_fall_has_no_exponent() -> None:
    law = script("power_law").fit(N, np.linspace(1, 2, len(N)))
    assert law.scale == 0
    assert law.low < 0.05
    assert law.high > 1
    assert not law.determined


def test_a_fit_needs_three_sizes() -> None:
    with pytest.raises(ValueError, match="three or more positive numbers"):
        script("power_law").fit(np.array([1, 1, 2]), np.array([1, 1, 2]))


def test_the_grid_crosses_in_the_middle() -> None:
    scaling = script("scaling")
    points = scaling.grid()
    one = [point for point in points if point["seed"] == 0]
    assert len(one) == len(scaling.SHARES) + len(scaling.WIDTHS) + len(scaling.DEPTHS) - 2
    assert len({tuple(point.items()) for point in points}) == len(points)
    sizes = {name: {p[name] for p in one} for name in ("share", "width", "depth")}
    for name, key in (("data", "share"), ("width", "width"), ("depth", "depth")):
        _, own = scaling.axes(one)[name]
        assert {point[key] for point in own} == sizes[key]


@pytest.mark.slow
def test_a_point_is_trained_on_its_share_and_tested_on_other_users(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Users who read one of two halves of the articles: what the next session holds is learned."""
    generator = np.random.default_rng(0)
    rows = [
        (user, session, 10 * (user % 2) + int(article), 1000 * (4 * session + place))
        for user in range(300)
        for session in range(user * 3, user * 3 + 3)
        for place, article in enumerate(generator.choice(10, 2, replace=False))
    ]
    names = ["user_id", "session_id", "click_article_id", "click_timestamp"]
    pl.DataFrame(rows, names, orient="row").write_parquet(tmp_path / "log.parquet")
    scaling = script("scaling")
    monkeypatch.setattr(scaling, "MOST_EPOCHS", 8)
    log = scaling.Log(tmp_path / "log.parquet")
    point = scaling.train(log, {"share": 0.5, "width": 8, "depth": 1, "seed": 0})
    assert point["sessions"] == 105 * 2  # half of seven tenths of 300, two sessions each
    assert point["queries"] == 60 * 2
    assert point["loss"] < np.log(20)  # that of knowing nothing
    assert point["parameters"] > 20 * 8


@pytest.mark.slow
def test_epochs_of_both_objectives_are_timed_on_the_same_clicks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scaling = script("scaling")
    monkeypatch.setattr(scaling, "CLICKS", 400)
    sessions = scaling.simulated(length=8, clicks=2000)
    assert sessions.num_events == pytest.approx(2000, rel=0.2)
    assert sessions.num_events / sessions.num_sessions == pytest.approx(8, rel=0.2)
    assert not sessions.has_negatives


def test_the_picture_is_drawn(tmp_path: pathlib.Path) -> None:
    scaling, picture = script("scaling"), script("scaling_picture")
    points = [
        {**point, "sessions": 1000 * point["share"], "loss": 5.0, "ndcg@20": 0.1}
        for point in scaling.grid()
    ]
    for point in points:
        point["loss"] += point["sessions"] ** -0.3 + point["width"] ** -0.5
    epochs = [
        {"length": 2.0 * n, "clicks": 9, "next session": 3 / n, "next item": 9} for n in (1, 2)
    ]
    picture.draw({"points": points, "epochs": epochs}, tmp_path / "scaling.png")
    assert (tmp_path / "scaling.png").stat().st_size > 20_000
