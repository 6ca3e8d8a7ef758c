"""Snapshots in a folder: a damaged one, and a folder that cannot be written."""

from pathlib import Path

from stream.engine.snapshot_format import decode_manifest
from tests.runtime.conftest import Deploy
from tests.runtime.traffic import SteadyTraffic
from tests.runtime.truth import check_journal, check_outputs, check_states, state_of_journal, state_of_snapshot


def test_a_folder_that_cannot_be_written_costs_a_snapshot_and_a_damaged_one_gives_way_to_the_one_before(
    deploy: Deploy, tmp_path: Path
) -> None:
    """Neither costs an event: the worker says what happened, and the state is the journal's."""
    app = deploy(1, snapshots=tmp_path.as_uri(), snapshot_interval_s="1")
    folder = tmp_path / app.name
    folder.mkdir()
    in_the_way = folder / "0.chunks"
    in_the_way.write_text("no folder")
    worker = app.start()
    app.traffic.send(200)
    with SteadyTraffic(app.traffic, per_second=100):
        worker.wait_for_log("snapshot not published")
        in_the_way.unlink()
        worker.wait(lambda: len(list(folder.glob("*.manifest"))) == 2, "two snapshots")
    assert "0.chunks" in str(worker.said("snapshot not published")[0]["error"])
    app.wait_until_handled()
    app.stop(worker)
    check_states(app)

    older, newest = sorted(folder.glob("*.manifest"), key=lambda path: path.stat().st_mtime_ns)
    key, place = min(chunks_of(newest) - chunks_of(older))
    damaged = folder / "0.chunks" / f"{key}.{place:x}"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    assert state_of_snapshot(app, 0)[0] < state_of_journal(app, 0)[0]
    again = app.start()
    app.traffic.send(200)
    app.wait_until_handled()
    app.stop(again)

    (left_out,) = again.said("a damaged snapshot is left out")
    assert left_out["path"] == str(newest)
    assert f"chunk {key} at {place} is gone or damaged" in str(left_out["reason"])
    check_outputs(app)
    check_journal(app)
    check_states(app)


def chunks_of(manifest: Path) -> set[tuple[str, int]]:
    """Digest and random number of the chunks that a manifest names."""
    return {(chunk.key, chunk.place) for chunk in decode_manifest(manifest.read_bytes()).chunks}
