"""What the commands' tests share."""

from tests.cli.commands import project

__all__ = ["project"]
