"""Modules generated while running: written down, so that they show in tracebacks and can be read."""

import hashlib
import linecache
import re
import sys
from types import ModuleType

from stream.kernels.cache import cache_folder, write_whole


def load_generated(name: str, source: str) -> ModuleType:
    """The module that `source` makes, named after `name` and its content; the same one for the same source.

    With a cache folder the source stands in its `generated/`, otherwise only in the memory of tracebacks. Kernels in it
    are cached like others. Raises ValueError where `name` is no identifier, SyntaxError where the source is none.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError(f"a generated module is named by letters, digits and _, not {name!r}")
    digest = hashlib.sha256(source.encode()).hexdigest()[:16]
    module_name = f"stream_generated_{name}_{digest}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    path = _written(f"{name}_{digest}.py", source)
    module = ModuleType(module_name)
    module.__file__ = path
    code = compile(source, path, "exec")
    sys.modules[module_name] = module
    try:
        exec(code, module.__dict__)
    except BaseException:
        del sys.modules[module_name]
        raise
    return module


def _written(file_name: str, source: str) -> str:
    """Where tracebacks find the source: a file, or an entry of linecache alone."""
    folder = cache_folder()
    path = f"<generated {file_name}>"
    if folder is not None:
        generated = folder / "generated"
        generated.mkdir(mode=0o700, exist_ok=True)
        path = str(generated / file_name)
        write_whole(generated / file_name, source.encode())
    # No time stamp: linecache then never looks for the file.
    linecache.cache[path] = (len(source), None, source.splitlines(keepends=True), path)
    return path
