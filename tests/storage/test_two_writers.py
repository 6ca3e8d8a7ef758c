"""Two writers of one task's snapshots in a folder: one was paused and does not know that the task has moved on."""

import os
import threading
import time
from pathlib import Path

import pytest

from stream.errors import RetriableError, StreamError
from stream.storage import files
from stream.storage.files import Files
from stream.storage.folder import FolderSnapshotStore
from tests.checkpoints import assert_same, checkpoint
from tests.paused_writers import Steps, loaded, of_before, publish_paused, snapshot

STEPS = ("read", "write", "read_into", "make_folder", "sync_folder", "sizes", "modified_s", "remove")


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """Counts the calls of all stores to their files."""
    steps = Steps()
    monkeypatch.setattr(files, "_AT_ONCE_HERE", 1)
    monkeypatch.setattr(os, "fsync", lambda _: None)

    def counted(name: str) -> None:
        call = getattr(Files, name)

        def stepped(self: Files, *arguments: object) -> object:
            steps.step()
            return call(self, *arguments)

        monkeypatch.setattr(Files, name, stepped)

    for name in STEPS:
        counted(name)
    return steps


def test_a_writer_that_was_paused_leaves_its_successor_what_it_needs(tmp_path: Path, steps: Steps) -> None:
    """For two hours, at every step: one of the successor's two is there at once, and both again with its next ones."""
    at, more = 0, True
    while more:
        at += 1
        folder = str(tmp_path / str(at))
        paused, successor, reader = (FolderSnapshotStore(folder, "app") for _ in range(3))

        def age(folder: str = folder) -> None:
            for file in Path(folder).rglob("*"):
                if file.is_file():
                    os.utime(file, (time.time() - 7200,) * 2)

        more = publish_paused(paused, successor, steps, at, age)
        if more:
            assert loaded(reader, 70, 80), at
        for cycle in (90, 95):
            successor.publish(snapshot(cycle))
            assert loaded(reader, cycle) == [cycle], at
        assert loaded(reader, 90, 95) == [90, 95], at
    assert at > 15


def test_what_is_replaced_while_it_is_read_is_not_told_as_damaged(tmp_path: Path, steps: Steps) -> None:
    """`stream state verify` or a standby beside a running worker: at every step two more are stored."""
    at, more = 0, True
    while more:
        at += 1
        owner, reader = (FolderSnapshotStore(str(tmp_path / str(at)), "app") for _ in range(2))
        for cycle in (10, 20):
            owner.publish(snapshot(cycle, comes_back=cycle == 10))
        newer: list[int] = []

        def publish(owner: FolderSnapshotStore = owner, newer: list[int] = newer) -> None:
            for cycle in (50, 60, 70):
                owner.publish(snapshot(cycle))
                newer.append(cycle)

        with steps.paused_at(at, publish):
            stored = reader.load(0, [(cycle, f"digest{cycle}") for cycle in (10, 20, 50, 60, 70)])
        more = bool(newer)
        assert stored.damaged == (), at
        assert stored.checkpoint is not None
    assert at > 4


def test_two_writers_at_once_end_neither(tmp_path: Path) -> None:
    """Each file is written under a name of its own: what fails can be tried again, and at the end all is whole."""
    stores = [FolderSnapshotStore(str(tmp_path), "app") for _ in range(2)]
    errors: list[Exception] = []

    def write(store: FolderSnapshotStore, first: int) -> None:
        for cycle in range(first, first + 8):
            try:
                store.publish(snapshot(cycle))
            except (StreamError, OSError) as error:
                errors.append(error)

    threads = [threading.Thread(target=write, args=each) for each in zip(stores, (10, 14), strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [error for error in errors if not isinstance(error, RetriableError)] == []
    for cycle in (90, 95):
        stores[0].publish(snapshot(cycle))
    assert loaded(stores[1], 90, 95) == [90, 95]
    assert not list(tmp_path.rglob("*.unfinished"))


def test_a_folder_that_is_gone_is_tried_again_later(tmp_path: Path) -> None:
    """Unmounted, say: nothing is made in its place, no task is told that there is no snapshot."""
    store = FolderSnapshotStore(str(tmp_path / "mounted"), "app")
    store.publish(checkpoint(1))
    (tmp_path / "mounted").rename(tmp_path / "away")
    with pytest.raises(RetriableError, match=r"partition 0 was not written.*app is not there: mount it"):
        store.publish(checkpoint(2))
    with pytest.raises(RetriableError, match="app is not there: mount it"):
        store.load(0, [(1, "digest1")])
    assert not (tmp_path / "mounted").exists()
    (tmp_path / "away").rename(tmp_path / "mounted")
    store.publish(checkpoint(3))
    assert_same(store.load(0, [(1, "digest1"), (3, "digest3")]).checkpoint, checkpoint(3))


def test_a_folder_that_goes_away_at_any_step_is_no_other_error(tmp_path: Path, steps: Steps) -> None:
    """Every call to the store is asked; it is an error that says what to do, and the store goes on when it is back."""
    at, more = 0, True
    while more:
        at += 1
        folder = tmp_path / str(at)
        store = FolderSnapshotStore(str(folder), "app")
        for cycle in (1, 2):
            store.publish(snapshot(cycle))
        gone: list[Path] = []

        def take_away(folder: Path = folder, gone: list[Path] = gone) -> None:
            gone.append(folder)
            folder.rename(folder.with_suffix(".away"))

        with steps.paused_at(at, take_away):
            try:
                store.publish(snapshot(3))
            except StreamError as error:
                assert isinstance(error, RetriableError), at
        more = bool(gone)
        (folder / "app").mkdir(parents=True, exist_ok=True)
        store.publish(snapshot(4))
        assert loaded(store, 4) == [4], at
    assert at > 10


def test_snapshots_of_another_journal_give_way_first(tmp_path: Path) -> None:
    """A reset that was interrupted left two of higher cycles: the two newest of the task are kept all the same."""
    FolderSnapshotStore(str(tmp_path), "app").publish(of_before(4000, 1))
    FolderSnapshotStore(str(tmp_path), "app").publish(of_before(5000, 2))
    store = FolderSnapshotStore(str(tmp_path), "app")
    kept = [store.publish(checkpoint(cycle)) for cycle in (10, 20, 30, 40)]
    assert kept == [
        {"of before 5000", "digest10"},
        {"digest10", "digest20"},
        {"digest20", "digest30"},
        {"digest30", "digest40"},
    ]
    assert [store.load(0, [(cycle, f"digest{cycle}")]).checkpoint is not None for cycle in (30, 40)] == [True, True]


def test_a_clock_that_was_set_back_orders_no_snapshots_of_one_journal(tmp_path: Path) -> None:
    """What was loaded, or stored by this worker, is known: its cycles say which one is older."""
    before = FolderSnapshotStore(str(tmp_path), "app")
    for cycle in (1_000_010, 1_000_020):  # made far in the future
        before.publish(checkpoint(cycle))
    store = FolderSnapshotStore(str(tmp_path), "app")
    journal = [(cycle, f"digest{cycle}") for cycle in (1_000_010, 1_000_020)]
    assert store.load(0, journal).checkpoint is not None
    kept = [store.publish(of_before(cycle, made_ms=cycle)) for cycle in (1_000_030, 1_000_040)]
    assert kept == [{"digest1000020", "of before 1000030"}, {"of before 1000030", "of before 1000040"}]
