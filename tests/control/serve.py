"""A control plane as a process of its own: `python -m tests.control.serve APP TOPIC SERVERS PORT FOLDER`."""

import logging
import sys
from pathlib import Path

from stream.control.service import run_control
from stream.control.settings import ControlSettings
from stream.control.tokens import Tokens

TOKENS = {"alice": "alice-token-0123456789", "bob": "bob-token-0123456789"}

if __name__ == "__main__":
    app, topic, servers, port, folder = sys.argv[1:]
    logging.basicConfig(level=logging.WARNING)
    kafka = {"bootstrap.servers": servers}
    run_control(ControlSettings(app, topic, kafka, Tokens(TOKENS), Path(folder) / f"data-{port}", port=int(port)))
