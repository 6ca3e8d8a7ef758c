"""What the project does not use, what it uses instead, and the few places with a reason to do otherwise."""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pytest

from tests.style.sources import Source, product_sources, source_of

EVERYWHERE = ("stream",)
LIBM = ("exp", "expm1", "log", "log1p", "log2", "log10", "pow", "tanh", "sin", "cos", "tan", "atan2", "sinh", "cosh")


@dataclass(frozen=True, slots=True)
class Ban:
    """Names that must not be used in some folders."""

    names: tuple[str, ...]  # dotted; a name bans what lies below it
    instead: str
    where: tuple[str, ...] = EVERYWHERE
    unless: dict[str, str] = field(default_factory=dict)  # file or folder: why it may


BANS = (
    Ban(
        ("time.sleep",),
        "wait for the condition itself, with a deadline (Event.wait, Popen.wait, poll)",
        unless={
            "stream/cli/backfill/loading.py": "how far another process is can only be asked again, with a deadline",
            "stream/cli/broker/server.py": "the server of another process can only be looked at again and again",
            "stream/kafka/stable.py": "a broker is asked again, with a deadline: nothing announces the answer",
            "stream/kafka/task_finder.py": "markers become visible some time after their commit: ask again",
            "stream/kafka/admin.py": "a topic becomes visible some time after its creation: ask again, with a deadline",
            "stream/kafka/reader.py": "a new topic takes a moment to be known: ask again, with a deadline",
            "stream/runtime/worker.py": "records come together for a stated time: there is no condition to wait for",
        },
    ),
    Ban(("print",), "log with structlog", unless={"stream/cli": "the command line prints"}),
    Ban(
        ("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today"),
        "take the time as an argument; the runtime reads the clock",
    ),
    Ban(
        ("os.environ", "os.getenv", "os.environb"),
        "take the value as an argument; the runtime reads the environment",
        unless={
            "stream/runtime": "the only reader of the environment",
            "stream/cli/broker/java.py": "JAVA_HOME is the machine's, not a setting of ours",
            "stream/cli/demo/stage.py": "its worker must not inherit the settings of this shell, whatever their names",
        },
    ),
    Ban(
        ("numba", "llvmlite"),
        "use stream.kernels (kernel, intrinsic), which owns every option of numba",
        unless={
            "stream/kernels": "the one room that knows numba",
            "stream/avro/addresses.py": "loads from an address are LLVM instructions, and the decoder alone needs them",
        },
    ),
    Ban(
        ("pickle", "cloudpickle", "joblib"),
        "save arrays",
        unless={
            "stream/models/river_adapter.py": "a River model has no other form",
            "stream/models/pickled_state.py": "compares what that form holds",
            "stream/kernels/cache.py": "numba's compiled code has no other form",
        },
    ),
    Ban(
        ("hash",),
        "use stream.kernels' hashing: Python's differs from process to process",
        where=("stream/engine", "stream/models", "stream/features", "stream/kernels", "stream/drift"),
    ),
)

BANNED_IN_KERNELS = Ban(
    tuple(f"{library}.{name}" for library in ("math", "numpy") for name in LIBM),
    "use stream.kernels.elementary: libm differs from machine to machine",
)


def names_used(tree: ast.AST, imported: dict[str, str]) -> Iterator[tuple[str, int]]:
    """Every name that is read, as long as its dots go and with its import resolved, and its line."""
    nodes = list(ast.walk(tree))
    owners = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    for node in nodes:
        if isinstance(node, ast.Name | ast.Attribute) and id(node) not in owners:
            first, _, rest = (_dotted(node) or "").partition(".")
            yield imported.get(first, first) + (f".{rest}" if rest else ""), node.lineno


def imports(tree: ast.Module) -> dict[str, str]:
    """What each imported name stands for."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return found


def violations(source: Source) -> Iterator[str]:
    """Banned names in a file."""
    imported = imports(source.tree)
    used = list(names_used(source.tree, imported))
    for ban in BANS:
        if source.is_in(*ban.where) and not source.is_in(*ban.unless):
            yield from _complaints(source, used, ban)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef) and any(_is_kernel(decorator) for decorator in node.decorator_list):
            yield from _complaints(source, names_used(node, imported), BANNED_IN_KERNELS)


def _complaints(source: Source, used: Iterable[tuple[str, int]], ban: Ban) -> Iterator[str]:
    for name, line in used:
        if any(name == banned or name.startswith(banned + ".") for banned in ban.names):
            yield f"{source.path}:{line} uses {name}: {ban.instead}"


def _dotted(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name):
        return node.id if isinstance(node.ctx, ast.Load) else None
    if isinstance(node, ast.Attribute):
        owner = _dotted(node.value)
        return f"{owner}.{node.attr}" if owner else None
    return None


def _is_kernel(decorator: ast.expr) -> bool:
    name = _dotted(decorator.func if isinstance(decorator, ast.Call) else decorator)
    return name is not None and name.rpartition(".")[2] == "kernel"


def test_nothing_banned_is_used() -> None:
    """No banned name outside the places that say why."""
    assert [complaint for source in product_sources() for complaint in violations(source)] == []


def test_every_exception_is_needed() -> None:
    """A place that may do otherwise still does; otherwise its exception goes."""
    used = {source.path: list(names_used(source.tree, imports(source.tree))) for source in product_sources()}
    unneeded = [
        f"{place} no longer uses {', '.join(ban.names)}"
        for ban in BANS
        for place in ban.unless
        for there in [[source for source in product_sources() if source.is_in(place)]]
        if not any(complaint for source in there for complaint in _complaints(source, used[source.path], ban))
    ]
    assert unneeded == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("stream/kafka/x.py", "import time\ntime.sleep(1)"),
        ("stream/kafka/x.py", "from time import sleep as rest\nrest(1)"),
        ("stream/engine/x.py", "print('hello')"),
        ("stream/engine/x.py", "from datetime import datetime\nnow = datetime.now()"),
        ("stream/kafka/x.py", "import os\nhome = os.environ['HOME']"),
        ("stream/kafka/x.py", "import os\nhome = os.environ.get('HOME')"),
        ("stream/models/x.py", "import numba\n@numba.njit\ndef f(): ..."),
        ("stream/models/x.py", "import numba as nb\n@nb.njit(cache=True)\ndef f(): ..."),
        ("stream/models/x.py", "from stream.kernels import kernel\nimport math\n@kernel\ndef f(x): return math.exp(x)"),
        ("stream/models/x.py", "from stream.kernels import kernel\nimport numpy as np\n@kernel\ndef f(x): np.log(x)"),
        ("stream/models/x.py", "import pickle\npickle.dumps(1)"),
        ("stream/engine/x.py", "slot = hash('key') % 8"),
    ],
)
def test_a_banned_name_is_found(path: str, text: str) -> None:
    """Each ban is seen to bite, whatever name the import gives it."""
    assert len(list(violations(source_of(text, path)))) == 1


def test_what_is_allowed_passes() -> None:
    """A method called `hash`, a square root in a kernel and a print of the command line are no offence."""
    assert list(violations(source_of("from numpy import sqrt\nx.hash(3)\nsqrt(2)", "stream/engine/x.py"))) == []
    assert list(violations(source_of("print('hello')", "stream/cli/x.py"))) == []
