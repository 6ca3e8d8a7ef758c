"""Writes docs/reference from docstrings, settings, `--help`, schemas and metrics: `make docs`.

The pages are committed, so that they are read where the code is; tests/docs checks that they are up to date.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from docs.generator import declarations, operation

FOLDER = Path(__file__).parent / "reference"

PAGES: Mapping[str, tuple[Callable[[], str], str]] = {
    "app.md": (declarations.app_page, "declaring an app: topics, models, decision, monitors"),
    "expressions.md": (declarations.expressions_page, "features: every operator, what null means, what state costs"),
    "models.md": (declarations.models_page, "compiled models by River's names, and River's own"),
    "detectors.md": (declarations.detectors_page, "drift detectors and the policy of alerts"),
    "metrics.md": (declarations.metrics_page, "prequential metrics beside baselines"),
    "settings.md": (operation.settings_page, "every setting, its environment variable and default"),
    "command-line.md": (operation.command_line_page, "every command"),
    "topics-and-schemas.md": (operation.topics_page, "topics that an app owns, and the Avro schemas in them"),
    "prometheus.md": (operation.prometheus_page, "metrics of a worker"),
}
_NOTE = "<!-- Written by docs/generate.py (make docs) from the code: change it there. -->"


def pages() -> dict[str, str]:
    """The text of every page by its file's name."""
    index = ["# Reference", *(f"- [{name}]({name}): {about}" for name, (_, about) in PAGES.items())]
    texts = {name: page() for name, (page, _) in PAGES.items()} | {"README.md": "\n".join([index[0], "", *index[1:]])}
    return {name: f"{_NOTE}\n\n{text}\n" for name, text in texts.items()}


def main() -> None:
    """Write the pages and remove those that are none any more."""
    FOLDER.mkdir(exist_ok=True)
    texts = pages()
    for file in FOLDER.glob("*.md"):
        if file.name not in texts:
            file.unlink()
    for name, text in texts.items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
