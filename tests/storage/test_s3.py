"""Snapshots in S3, against an S3 API that runs on this machine (moto's server)."""

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from stream.engine.snapshot_format import CHUNK_BYTES
from stream.errors import ConfigError, RetriableError
from stream.storage.folder import FolderSnapshotStore
from tests.checkpoints import assert_same, checkpoint

WANTED = [(cycle, f"digest{cycle}") for cycle in range(1, 10)]
pytestmark = pytest.mark.slow
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The address of an S3 API with one bucket, `snapshots`."""
    # Takes two seconds, which whoever runs other tests need not wait for.
    server = import_module("moto.server").ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def files(endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """The bucket, as fsspec sees it; the environment says where it is and who we are."""
    for name in KEYS:
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    s3 = fsspec.filesystem("s3", skip_instance_cache=True)
    if not s3.exists("snapshots"):
        s3.mkdir("snapshots")
    yield s3
    if s3.exists("snapshots/team"):
        s3.rm("snapshots/team", recursive=True)
    type(s3).clear_instance_cache()


def test_two_snapshots_are_kept_in_a_bucket_and_what_did_not_change_is_written_once(files: Any) -> None:
    """The third replaces the first; a table that all three have is there once."""
    store = FolderSnapshotStore("s3://snapshots/team", "app")
    assert store.load(0, WANTED).checkpoint is None
    table = np.random.default_rng(1).random(3 * CHUNK_BYTES // 8)
    for cycle in (1, 2, 3):
        store.publish(checkpoint(cycle, {"table": table, "small": np.full(3, cycle)}))
    for cycle in (2, 3):
        given = checkpoint(cycle, {"table": table, "small": np.full(3, cycle)})
        assert_same(store.load(0, [(cycle, f"digest{cycle}")]).checkpoint, given)
    assert store.load(0, [(1, "digest1")]).checkpoint is None
    files.invalidate_cache()
    assert sorted(path.rpartition("/")[2] for path in files.ls("snapshots/team/app")) == [
        "0.a.manifest",
        "0.b.manifest",
        "0.chunks",
    ]
    assert len(files.ls("snapshots/team/app/0.chunks")) == 3 + 2


def test_a_damaged_object_gives_way_to_the_snapshot_before(files: Any) -> None:
    """A chunk of the newer one is overwritten, then deleted; then its manifest."""
    store = FolderSnapshotStore("s3://snapshots/team", "app")
    store.publish(checkpoint(1))
    before = set(files.ls("snapshots/team/app/0.chunks", refresh=True))
    store.publish(checkpoint(2))
    (chunk,) = set(files.ls("snapshots/team/app/0.chunks", refresh=True)) - before
    for content in (b"x", None):
        if content is None:
            files.rm_file(chunk)
        else:
            files.pipe_file(chunk, content)
        found = store.load(0, WANTED)
        assert_same(found.checkpoint, checkpoint(1))
        assert "0.b.manifest" in found.damaged[0]
    store.publish(checkpoint(3))
    assert_same(store.load(0, WANTED).checkpoint, checkpoint(3))
    store.forget(0)
    assert store.load(0, WANTED).checkpoint is None
    assert files.find("snapshots/team", refresh=True) == []


def test_a_bucket_that_is_not_there_is_not_made(files: Any) -> None:
    """Its name may be misspelt."""
    with pytest.raises(ConfigError, match="there is no bucket 'snapshotz': make it, or correct the URL"):
        FolderSnapshotStore("s3://snapshotz/team", "app")


def test_a_bucket_that_may_not_be_used_says_what_is_missing(files: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the worker joins its group."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("Access Denied")

    monkeypatch.setattr(type(files), "ls", refuse)
    with pytest.raises(ConfigError, match=r"not permitted \(Access Denied\).*list, read, write and delete"):
        FolderSnapshotStore("s3://snapshots/team", "app")


def test_without_credentials_the_text_says_which_variables_to_set(files: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with no role."""
    for name in KEYS:
        monkeypatch.delenv(name)
    with pytest.raises(ConfigError, match="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        FolderSnapshotStore("s3://snapshots/team", "app")


def test_a_store_that_does_not_answer_is_tried_again_later(files: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens there."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(RetriableError, match="See that the store answers"):
        FolderSnapshotStore("s3://snapshots/other", "app")


def test_without_the_package_the_text_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a plain `pip install stream-learn`."""
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(import_module("fsspec.registry")._registry, "s3", raising=False)
    with pytest.raises(ConfigError, match=r'pip install "stream-learn\[s3\]"'):
        FolderSnapshotStore("s3://snapshots/team", "app")
