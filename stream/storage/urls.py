"""A folder of snapshots by its URL (fsspec): found, looked at once, and what is wrong with it told."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fsspec
from fsspec.asyn import AsyncFileSystem

from stream.errors import ConfigError, RetriableError

# Kinds of URL whose package is an extra of this project; of others fsspec says which package they want.
_EXTRAS = {"s3": "s3", "s3a": "s3"}


def open_folder(url: str, app: str) -> tuple[Any, str]:
    """The file system of a URL and the path of the app's folder in it, which is there or can be written to.

    Args:
        url: a path, `file:///...`, `s3://bucket/prefix`, ...
        app: name of the app's folder in it.

    Raises:
        ConfigError: fsspec knows no such kind of URL, its package is not installed, there is no such bucket, or it may
            not be used.
        RetriableError: the store does not answer.
    """
    try:
        files, root = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise ConfigError(f"snapshots: {url} cannot be used: {_how_to_install(url, error)}") from error
    except ValueError as error:
        raise ConfigError(f"snapshots: {url} cannot be used: {error}") from error
    folder = f"{root.rstrip('/')}/{app}"
    with told(f"snapshots: {url}"):
        if isinstance(files, AsyncFileSystem):
            _check_bucket(files, folder)
        else:
            _make(files, folder, url)
    return files, folder


@contextmanager
def told(what: str) -> Iterator[None]:
    """Turn what a file system raises into what the caller must do; a file that is not there stays a FileNotFoundError.

    Args:
        what: was tried, for the text.

    Raises:
        ConfigError: it may not be done, or nobody said who we are.
        RetriableError: it failed in another way: no answer, no room.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except PermissionError as error:
        raise ConfigError(
            f"{what}: not permitted ({error}). The worker's user must be allowed to list, read, write and delete there"
        ) from error
    except OSError as error:
        raise RetriableError(f"{what}: {error}. Make room, or see that the store answers") from error
    except _client_errors() as error:
        if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
            raise ConfigError(
                f"{what}: {error}. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role"
            ) from error
        raise RetriableError(f"{what}: {error}. See that the store answers (AWS_ENDPOINT_URL, network)") from error


@contextmanager
def told_if_missing(what: str) -> Iterator[None]:
    """As `told`, where a file or folder that is not there is a failure too: somebody took it away.

    Raises:
        RetriableError: it is not there.
        ConfigError: as `told`.
    """
    try:
        with told(what):
            yield
    except FileNotFoundError as error:
        raise RetriableError(f"{what}: {error}. See that the folder is there: mount it, or make it again") from error


def _client_errors() -> tuple[type[Exception], ...]:
    """What S3's client raises beside OSError; it is imported by fsspec, where there is need of it."""
    client = sys.modules.get("botocore.exceptions")
    return (client.BotoCoreError, client.ClientError) if client else ()


def _how_to_install(url: str, error: ImportError) -> str:
    extra = _EXTRAS.get(url.partition("://")[0])
    return f'{error}. Run: pip install "stream-learn[{extra}]"' if extra else str(error)


def _make(files: Any, folder: str, url: str) -> None:
    try:
        files.makedirs(folder, exist_ok=True)
    except PermissionError:
        raise
    except OSError as error:
        raise ConfigError(f"snapshots: the folder {url} cannot be made: {error}") from error


def _check_bucket(files: Any, folder: str) -> None:
    """Folders of object stores need not be made, and a bucket of a name that was misspelt must not be."""
    try:
        files.ls(folder, refresh=True)
    except FileNotFoundError:
        bucket = folder.split("/")[0]
        try:
            files.ls(bucket, refresh=True)
        except FileNotFoundError as error:
            raise ConfigError(f"snapshots: there is no bucket {bucket!r}: make it, or correct the URL") from error
        except PermissionError:
            pass  # of a part of the bucket alone
