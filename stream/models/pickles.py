"""Pickles of River models: which version wrote them, and which may read them."""

from stream.errors import ConfigError


def check_river(written_by: str, what: str) -> None:
    """Refuse what another minor version of River wrote: it changes between them what it stores.

    Args:
        written_by: version of River.
        what: the model, for the text.

    Raises:
        ConfigError: it may be read otherwise than it was written; the text says what to do.
    """
    import river  # half a second, for apps with a River model alone

    if minor_version(written_by) != minor_version(river.__version__):
        raise ConfigError(
            f"the state of {what} was written by River {written_by}, and this is River {river.__version__}, which may "
            f"read it otherwise: install river=={minor_version(written_by)}.*, or discard this model's state and let "
            "it learn anew (give the model another name in the app)"
        )


def river_version() -> str:
    """The version that writes pickles now."""
    import river

    return str(river.__version__)


def minor_version(version: str) -> str:
    """ "0.26" of "0.26.1"."""
    return ".".join(version.split(".")[:2])
