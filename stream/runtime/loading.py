"""Finding an app: its module, and the schemas that it names."""

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from stream.app import App, compile_app, compile_stages, schema_names
from stream.app.suggest import did_you_mean, one_of
from stream.engine.plan import Plan
from stream.errors import ConfigError, StreamError


@dataclass(frozen=True, slots=True)
class LoadedApp:
    """An app with its plan and the folder of its module."""

    app: App
    plan: Plan  # as one stage that sees all events: what files are run through
    folder: Path
    schemas: Mapping[str, str]  # by the names that the app gives them

    @property
    def may_have_stages(self) -> bool:
        """Whether it has several where the event topic has several partitions; with labels to move, in any case."""
        foreign = any(not each.is_local for each in self.plan.features.foreign_keys)
        return foreign or (self.app.label_stream is not None and bool(self.app.label_stream.key))

    def stages(self, partitions: int, topic_prefix: str) -> tuple[Plan, ...]:
        """Its plans where the event topic has so many partitions, in the order in which events pass them."""
        return compile_stages(self.app, self.schemas, partitions, topic_prefix)


def load_app(target: str) -> LoadedApp:
    """Import an app and compile its plan.

    Args:
        target: `module:name` or `path/to/file.py:name`; without a name, the module's only App.

    Raises:
        ConfigError: there is no such module, app or schema, or the declaration is wrong.
    """
    app, folder = find_app(target)
    schemas = {name: read_schema(name, folder) for name in schema_names(app)}
    return LoadedApp(app, compile_app(app, schemas), folder, schemas)


def find_app(target: str) -> tuple[App, Path]:
    """Import an app, and say in which folder its module lies; `target` as for `load_app`.

    Raises:
        ConfigError: there is no such module or app, or the module cannot be imported.
    """
    place, _, name = target.partition(":")
    module = _import(place)
    apps = {key: value for key, value in vars(module).items() if isinstance(value, App)}
    if not name:
        if len(apps) != 1:
            found = f"has several apps ({', '.join(apps)})" if apps else "declares no App"
            raise ConfigError(f"{place} {found}; name one, e.g. {place}:app")
        name = next(iter(apps))
    return apps[one_of(name, apps, place, "App")], Path(module.__file__ or ".").resolve().parent


def _import(place: str) -> ModuleType:
    if place.endswith(".py"):
        return _import_file(Path(place))
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(place)
    except StreamError:
        raise  # of the declaration
    except Exception as error:  # whatever the user's module raises
        if isinstance(error, ModuleNotFoundError) and error.name is not None and place.startswith(error.name):
            raise ConfigError(
                f"there is no module {place!r} here ({Path.cwd()}); give it as module:app or path/to/file.py:app"
            ) from error
        raise _not_importable(place, error) from error


def _import_file(path: Path) -> ModuleType:
    if not path.exists():
        raise ConfigError(f"there is no file {path}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except StreamError:
        raise  # of the declaration
    except Exception as error:  # whatever the user's module raises
        raise _not_importable(str(path), error) from error
    return module


def _not_importable(place: str, error: Exception) -> ConfigError:
    """With the last place of the traceback, which is where the user has to look."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{error.filename}:{error.lineno}" if isinstance(error, SyntaxError) else None
    if where is None and frames:
        where = f"{frames[-1].filename}:{frames[-1].lineno}"
    return ConfigError(f"{place} cannot be imported: {type(error).__name__}: {error} ({where})")


def read_schema(name: str, folder: Path) -> str:
    """The text of `<name>.avsc` beside the app or in its `schemas/`; `schemas/<name>/v*.avsc`: the newest version."""
    candidates = [folder / f"{name}.avsc", folder / "schemas" / f"{name}.avsc"]
    versions = sorted((folder / "schemas" / name).glob("v*.avsc"), key=lambda path: int(path.stem[1:]))
    for path in [*candidates, *versions[-1:]]:
        if path.exists():
            return path.read_text()
    known = [path.stem for path in (*folder.glob("*.avsc"), *(folder / "schemas").glob("*.avsc"))]
    known += [path.parent.name for path in (folder / "schemas").glob("*/v*.avsc")]
    near = did_you_mean(name, known)
    raise ConfigError(f"schema {name!r} was not found: looked for {', '.join(map(str, candidates))}{near}")
