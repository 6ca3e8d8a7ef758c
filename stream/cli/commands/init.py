"""`stream init`: a project that runs as it is, to be changed into one's own."""

import keyword
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from stream.errors import ConfigError

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,49}")


def entry(
    name: str = typer.Argument(help="Of the app and of the new folder: lower-case letters, digits, - and _."),
    folder: Path = typer.Option(Path(), "--in", help="Where the new folder is made."),
) -> None:
    """Write a small working project: app, schema, settings, sample data, README. Nothing is overwritten.

    Example: stream init shop
    """
    from stream.cli.templates import orders

    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r}: a name of lower-case letters, digits, '-' and '_' is wanted, e.g. shop")
    module = name.replace("-", "_")
    if keyword.iskeyword(module) or module == "stream":
        raise ConfigError(f"{name!r} cannot be the name of a Python module beside this library's; choose another")
    project = folder / name
    if project.exists():
        raise ConfigError(
            f"{project} is there already, and nothing is overwritten: choose another name, or --in FOLDER"
        )
    templates = Path(orders.__file__).parent
    files = {
        "app.py.txt": f"{module}.py",
        "order.avsc": "order.avsc",
        "stream.toml": "stream.toml",
        "README.md": "README.md",
    }
    with _whole_or_not_at_all(project):
        for template, file in files.items():
            text = (templates / template).read_text()
            (project / file).write_text(text.replace("@MODULE@", module).replace("@NAME@", name))
        orders.write_orders(project / "orders.csv")
    print(f"{project}: {', '.join([*files.values(), 'orders.csv'])}")
    print(f"next: cd {project} && stream check {module}:app --offline && stream eval {module}:app orders.csv")


@contextmanager
def _whole_or_not_at_all(folder: Path) -> Iterator[None]:
    """Make the folder; where its files cannot be written, it is removed again and named in the error."""
    try:
        folder.mkdir(parents=True)
        yield
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise OSError(error.errno, error.strerror, str(folder)) from error
