"""The app of these tests with room for 16 waiting rows in memory; the others wait in its topic of features."""

import os

from tests.runtime.app import NAME, declare

app = declare(os.environ.get(NAME, "payments"), label_bytes=1, spilled_bytes=1)
