"""Stands in until the kernels' own loader is there."""

import linecache
import types

_loaded = {}


def load_generated(name, source):
    if name not in _loaded:
        filename = f"<{name}>"
        linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
        module = types.ModuleType(name)
        exec(compile(source, filename, "exec"), module.__dict__)
        _loaded[name] = module
    return _loaded[name]
