"""Compile the kernels of an app into STREAM_CACHE, as a worker does at its start: warm.py MODULE:APP

The image's build runs it, so that a worker of the image compiles nothing. It needs no broker.
"""

import sys

from stream import kernels
from stream.engine.output_format import OutputFormat
from stream.errors import StreamError
from stream.runtime.loading import load_app
from stream.runtime.settings import load_settings
from stream.runtime.worker import compile_kernels, use_kernel_cache


def main(target: str) -> None:
    """Load the app and compile; the cache is that of the worker's settings."""
    settings = load_settings().values
    use_kernel_cache(settings)
    plan = load_app(target).plan
    compile_kernels(plan, OutputFormat(settings.topics(plan.app), None, None))  # kernels do not depend on the format
    print(f"{plan.app}: {kernels.compilations()} kernels compiled in {kernels.compile_seconds():.1f} s")


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except StreamError as error:
        sys.exit(f"warm.py: {error}")
