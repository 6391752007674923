"""A report says which of its sessions were trained on, and asks what training asked."""

import pytest

import tfsessionrec as sr


def fit(events: object, **options: object) -> sr.systems.TrainedSystem:
    columns = {"user": "user_id", "session": "session_id", "label": "label"}
    return sr.systems.fit("vsknn", events, **columns, **options)


@pytest.mark.parametrize(
    ("holdout", "targets", "trained"),
    [("none", None, True), ("last-session", None, False), ("last-session", "all", True)],
)
def test_sessions_that_were_trained_on(holdout: str, targets: str | None, trained: bool) -> None:
    events = sr.data.simulate(num_users=30, num_items=20).events
    system = fit(events, holdout=holdout)
    report = system.evaluate(events, k=[5], targets=targets)
    assert ("trained on" in report.options) == trained
    heading = str(report).splitlines()[0]
    assert heading.startswith("Not a test: ") == trained
    if trained:
        asked = events.select("user_id", "session_id").n_unique()
        again = asked - 30 * (holdout != "none")
        assert heading == f"Not a test: {again:,} of {asked:,} sessions asked for were trained on."
        assert f"**{heading}**" in report.to_markdown()


def test_another_log_was_not_trained_on() -> None:
    system = fit(sr.data.simulate(num_users=30, num_items=20).events)
    other = sr.data.simulate(num_users=30, num_items=20, seed=1).events
    assert "trained on" not in system.evaluate(other, k=[5]).options


def test_the_objective_of_training_is_asked_by_default() -> None:
    events = sr.data.simulate(num_users=30, num_items=20).events
    system = fit(events, holdout="last-session")
    named = system.evaluate(events, "next_item", k=[5])  # the objective of a baseline
    assert system.evaluate(events, k=[5]).metrics == named.metrics
    assert named.num_queries != system.evaluate(events, "next_session", k=[5]).num_queries


def test_first_sessions_are_counted() -> None:
    events = sr.data.simulate(num_users=30, num_items=20).events
    system = fit(events)
    whole = system.evaluate(events, "next_session", k=[5])
    assert whole.options["first sessions left out"] == 30
    assert "first sessions left out: 30" in str(whole)
    asked = events.select("user_id", "session_id").n_unique() - 30
    assert whole.num_queries + whole.num_skipped <= asked
    last = system.evaluate(events, "next_session", k=[5], targets="last-session")
    assert last.options["first sessions left out"] == 0
    assert "first sessions left out" not in system.evaluate(events, "next_item", k=[5]).options
