"""A control plane as a process of its own: `python -m tests.control.serve APP TOPIC KAFKA PORT FOLDER SECONDS`."""

import json
import logging
import sys
from pathlib import Path

from stream.control.service import run_control
from stream.control.settings import ControlSettings
from stream.control.tokens import Tokens
from tests.control.samples import WRITERS

TOKENS = {"alice": "alice-token-0123456789", "bob": "bob-token-0123456789"}

if __name__ == "__main__":
    app, topic, kafka_settings, port, folder, keep_resolved_s = sys.argv[1:]
    logging.basicConfig(level=logging.WARNING)
    kafka = json.loads(kafka_settings)
    settings = ControlSettings(
        app,
        topic,
        kafka,
        Tokens(TOKENS),
        Path(folder) / f"data-{port}",
        port=int(port),
        keep_resolved_s=float(keep_resolved_s),
    )
    run_control(settings, WRITERS.get)
