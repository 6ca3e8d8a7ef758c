"""Finding an app: its module, and the schemas that it names."""

import importlib
import importlib.util
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from stream.app import App, compile_app, schema_names
from stream.app.suggest import one_of
from stream.engine.plan import Plan
from stream.errors import ConfigError


@dataclass(frozen=True, slots=True)
class LoadedApp:
    """An app with its plan and the folder of its module."""

    app: App
    plan: Plan
    folder: Path


def load_app(target: str) -> LoadedApp:
    """Import an app and compile its plan.

    Args:
        target: `module:name` or `path/to/file.py:name`; without a name, the module's only App.

    Raises:
        ConfigError: there is no such module, app or schema, or the declaration is wrong.
    """
    place, _, name = target.partition(":")
    module = _import(place)
    apps = {key: value for key, value in vars(module).items() if isinstance(value, App)}
    if not name:
        if len(apps) != 1:
            found = f"has several apps ({', '.join(apps)})" if apps else "declares no App"
            raise ConfigError(f"{place} {found}; name one, e.g. {place}:app")
        name = next(iter(apps))
    app = apps[one_of(name, apps, place, "App")]
    folder = Path(module.__file__ or ".").resolve().parent
    return LoadedApp(app, compile_app(app, _schemas(schema_names(app), folder)), folder)


def _import(place: str) -> ModuleType:
    if place.endswith(".py"):
        return _import_file(Path(place))
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name is None or not place.startswith(error.name):
            raise
        raise ConfigError(
            f"there is no module {place!r} here ({Path.cwd()}); give it as module:app or path/to/file.py:app"
        ) from error


def _import_file(path: Path) -> ModuleType:
    if not path.exists():
        raise ConfigError(f"there is no file {path}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _schemas(names: Iterable[str], folder: Path) -> dict[str, str]:
    return {name: _schema(name, folder) for name in names}


def _schema(name: str, folder: Path) -> str:
    """The text of `<name>.avsc` beside the app or in its `schemas/`; `schemas/<name>/v*.avsc`: the newest version."""
    candidates = [folder / f"{name}.avsc", folder / "schemas" / f"{name}.avsc"]
    versions = sorted((folder / "schemas" / name).glob("v*.avsc"), key=lambda path: int(path.stem[1:]))
    for path in [*candidates, *versions[-1:]]:
        if path.exists():
            return path.read_text()
    raise ConfigError(f"schema {name!r} was not found: looked for {', '.join(map(str, candidates))}")
