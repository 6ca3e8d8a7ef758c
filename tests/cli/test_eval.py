"""The engine over a file: what is evaluated, in which order labels arrive, and what is told."""

import json
from pathlib import Path

import numpy as np
import pytest

from stream.cli.evaluation.recorded import milliseconds, places_by_time
from stream.errors import ConfigError
from tests.cli.commands import run

DAY_MS = 86_400_000
LATE_APP = """
from stream import App, col, models
app = App("late")
fields = [{"name": "id", "type": "long"}, {"name": "x", "type": "double"},
          {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}}]
events = app.events("e", schema={"type": "record", "name": "E", "fields": fields}, time="at", id="id")
events.features(x=col("x"))
label = [{"name": "id", "type": "long"}, {"name": "y", "type": "boolean"}]
app.labels("l", of=events, schema={"type": "record", "name": "L", "fields": label}, target="y", horizon="30d")
app.model("m", models.StandardScaler() | models.LogisticRegression())
"""


@pytest.mark.slow
def test_a_project_is_better_than_its_baselines(project: Path) -> None:
    """As JSON: every event is evaluated, and no alert is raised over data that does not change."""
    found = json.loads(run("eval", "shop.py:app", "orders.csv", "--json").stdout)
    assert (found["events"], found["evaluated"], found["rejected_rows"]) == (5000, 5000, 0)
    champion, baselines = found["models"]["champion"], found["baselines"]
    assert champion["roc_auc"] > 0.7 > baselines["prior"]["roc_auc"]
    assert champion["log_loss"] < baselines["prior"]["log_loss"]
    assert champion["accuracy"] > baselines["no-change"]["accuracy"]
    assert found["alerts"] == []
    assert found["events_per_s"] > 0


@pytest.mark.slow
def test_rows_that_do_not_fit_are_reported_and_the_rest_is_evaluated(project: Path) -> None:
    """The exit status is 1, and the report names row and field."""
    lines = (project / "orders.csv").read_text().splitlines()
    (project / "some.csv").write_text(
        "\n".join([*lines[:50], lines[50].replace("o-", "o-", 1).rsplit(",", 2)[0] + ",cash,true"])
    )
    done = run("eval", "shop.py:app", "some.csv")
    assert done.exit_code == 1
    assert "1 rows do not fit the schema" in done.stderr
    assert "payment: expected one of card, invoice, voucher, got 'cash' (row 50)" in done.stderr
    assert "49 events evaluated" in done.stdout
    assert "labels:" not in done.stdout


@pytest.mark.slow
def test_labels_arrive_when_they_became_known(tmp_path: Path) -> None:
    """A label of a day later is learned a day later: scores before it know nothing, those after it do."""
    (tmp_path / "late.py").write_text(LATE_APP)
    rows = [
        f"{number},{number % 2},{number * DAY_MS},{number % 2},{number * DAY_MS + 10 * DAY_MS}" for number in range(40)
    ]
    (tmp_path / "rows.csv").write_text("\n".join(["id,x,at,truth,known_at", *rows]) + "\n")
    arguments = ("eval", f"{tmp_path}/late.py:app", str(tmp_path / "rows.csv"), "--json", "--label", "truth")
    at_once = json.loads(run(*arguments).stdout)
    delayed = json.loads(run(*arguments, "--label-time", "known_at").stdout)
    by_delay = json.loads(run(*arguments, "--label-delay", "10d").stdout)
    never = json.loads(run(*arguments, "--label-delay", "60d").stdout)
    others = dict.fromkeys(("early", "duplicate", "late", "unknown", "invalid"), 0)
    assert at_once["labels"] == delayed["labels"] == {"joined": 40, **others}
    assert at_once["models"]["m"]["log_loss"] < delayed["models"]["m"]["log_loss"]
    assert delayed["models"] == by_delay["models"]
    assert never["models"]["m"]["log_loss"] == pytest.approx(
        np.log(2)
    )  # 0.5 for every event: nothing was learned before the end


@pytest.mark.slow
def test_rows_that_leave_memory_are_evaluated_the_same(tmp_path: Path) -> None:
    """300 events, whose labels come 25 days late: with room for 16 waiting rows as with room for all (rule 36)."""
    spilling = LATE_APP.replace('horizon="30d"', 'horizon="30d", state_bytes=1, spilled_bytes=1')
    rows = [f"{number},{number % 2},{number * DAY_MS // 4},{number % 2}" for number in range(300)]
    (tmp_path / "rows.csv").write_text("\n".join(["id,x,at,truth", *rows]) + "\n")
    found = []
    for name, text in (("whole", LATE_APP), ("spilling", spilling)):
        (tmp_path / f"{name}.py").write_text(text)
        arguments = ("eval", f"{tmp_path}/{name}.py:app", str(tmp_path / "rows.csv"), "--json", "--label", "truth")
        found.append(json.loads(run(*arguments, "--label-delay", "25d").stdout))

    assert found[0]["labels"]["joined"] == 300
    assert (found[0]["labels"], found[0]["models"]) == (found[1]["labels"], found[1]["models"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "rows.csv has no column 'y', which is what l is about: say with --label which column holds it, or with "),
        (["--labels", "known.csv"], "known.csv has no column 'y', which is what l is about: say with --label which "),
        (["--labels", "other.csv"], "other.csv (labels of l): there is no column 'id'; did you mean 'idd'?"),
    ],
)
def test_labels_that_are_not_there_are_asked_for(
    options: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the options that name them, not by one that nobody gave."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "late.py").write_text(LATE_APP)
    (tmp_path / "rows.csv").write_text("id,x,at\n1,0.5,1000\n")
    (tmp_path / "other.csv").write_text("idd,y\n1,true\n")
    (tmp_path / "known.csv").write_text("id,z\n1,true\n")
    failed = run("eval", "late.py:app", "rows.csv", *options).exception
    assert isinstance(failed, ConfigError)
    assert said in str(failed)
    assert "--columns" not in str(failed)


@pytest.mark.slow
def test_labels_may_have_a_file_of_their_own(tmp_path: Path) -> None:
    """Joined by id; one of an unknown event is counted."""
    (tmp_path / "late.py").write_text(LATE_APP)
    (tmp_path / "rows.csv").write_text("id,x,at\n1,0.5,1000\n2,0.7,2000\n")
    (tmp_path / "labels.jsonl").write_text('{"id": 2, "y": true, "t": 3000}\n{"id": 9, "y": false, "t": 3000}\n')
    done = run(
        "eval",
        f"{tmp_path}/late.py:app",
        str(tmp_path / "rows.csv"),
        "--json",
        "--labels",
        str(tmp_path / "labels.jsonl"),
        "--label-time",
        "t",
    )
    found = json.loads(done.stdout)
    assert (found["evaluated"], found["labels"]["joined"], found["labels"]["early"] + found["labels"]["unknown"]) == (
        1,
        1,
        1,
    )


def test_a_label_comes_behind_its_own_event_and_those_not_later() -> None:
    """At equal times the events come first; one known before its event waits for it."""
    clock = np.array([10, 20, 20, 30])
    times = np.array([10, 20, 25, 99, 5])
    assert places_by_time(clock, times, [0, 1, 0, 3, 3]).tolist() == [1, 3, 3, 4, 4]


def test_times_of_files_become_milliseconds() -> None:
    """Numbers in the type's unit, ISO 8601 text, nothing else."""
    assert milliseconds("2025-01-01T00:00:00Z", "timestamp-micros") == 1_735_689_600_000
    assert milliseconds(1_735_689_600_000_000, "timestamp-micros") == 1_735_689_600_000
    assert milliseconds("soon", "timestamp-millis") is None
