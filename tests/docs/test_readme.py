"""What the README says is so."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stream.cli.main import COMMANDS, make_app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def shown() -> list[str]:
    """The commands of the README, one after the other."""
    return "".join(blocks(README, "console")).splitlines()


def dead_links(file: Path) -> list[str]:
    """Links of a document to files that are not there."""
    return [target for target in LINK.findall(file.read_text()) if not (file.parent / target).exists()]


def test_the_two_commands_come_first() -> None:
    """The first thing to copy is make demo and make test."""
    assert blocks(README, "console")[0] == "make demo\nmake test\n"


@pytest.mark.slow
def test_the_app_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given the README's app beside what `stream init` writes, `stream eval` learns from 5,000 orders, labels late."""
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke
    assert run(make_app("init"), ["init", "shop"]).exit_code == 0
    (app,), (schema,) = blocks(README, "python"), blocks(README, "json")
    assert len(app.strip().splitlines()) <= 25
    monkeypatch.chdir(tmp_path / "shop")
    Path("returns.py").write_text(app.replace("n_models=3", "n_models=1"))  # a smaller forest: this is a test
    Path("outcome.avsc").write_text(schema)
    (evaluate,) = [line for line in shown() if line.startswith("stream eval returns")]
    result = run(make_app("eval"), [*evaluate.split()[1:], "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["evaluated"] == 5_000
    assert found["models"]["champion"]["roc_auc"] > 0.6
    assert set(found["models"]) == {"champion", "challenger"}


def test_labels_go_where_their_events_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given the two schemas and the lines with `stream produce`, orders and outcomes have the same keys."""
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke
    run(make_app("init"), ["init", "shop"])
    monkeypatch.chdir(tmp_path / "shop")
    (schema,) = blocks(README, "json")
    Path("outcome.avsc").write_text(schema)
    sent = [line.split()[1:] for line in shown() if line.startswith("stream produce")]
    orders, outcomes = (run(make_app("produce"), [*words, "--preview", "--limit", "50"]) for words in sent)
    assert (orders.exit_code, outcomes.exit_code) == (0, 0), outcomes.output
    keys = [[line.split("\t")[1] for line in said.stdout.splitlines()[1:]] for said in (orders, outcomes)]
    assert keys[0] == keys[1]
    assert len(set(keys[1])) > 40


def test_every_command_that_is_named_exists() -> None:
    """Each `stream WORD` in the README and the documents is a command."""
    texts = [README, *(file.read_text() for file in (ROOT / "docs").rglob("*.md"))]
    named = {word for text in texts for word in re.findall(r"`stream ([a-z][a-z-]+)", text)}
    assert sorted(named - set(COMMANDS)) == []


def test_links_lead_somewhere() -> None:
    """Every relative link of the README, the decisions and the documents has its file."""
    files = [ROOT / "README.md", ROOT / "DECISIONS.md", *sorted((ROOT / "docs").rglob("*.md"))]
    dead = {file.relative_to(ROOT).as_posix(): dead_links(file) for file in files}
    assert {file: links for file, links in dead.items() if links} == {}


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    """One to a file that is not there; addresses and anchors are not asked."""
    page = tmp_path / "page.md"
    page.write_text("[a](page.md#here) [b](gone.md) [c](https://example.org/x) [d](#there)")
    assert dead_links(page) == ["gone.md"]
