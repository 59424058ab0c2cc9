"""A cluster of several nodes writes what one process writes, byte for byte.

Each test runs a script of its own: Ray starts processes, and warns of much.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import relatum
from relatum.distributed import SHARE, _shares, _tasks

pytest.importorskip("ray.data")

SCRIPT = """
import json, os, sys, time
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
import numpy as np, ray
from ray.cluster_utils import Cluster
from relatum.distributed import ray_engine
from relatum.projection import fit_projection, project
from relatum.row_maps import RowMap
from relatum.streaming import transform_file

projection = fit_projection(np.load("a.npy"), center=True)

def function(x):
    place = os.path.join(FOLDER, f"node-{ray.get_runtime_context().get_node_id()}")
    open(place, "w").close()
    if KILL and len(x) and not os.path.exists(KILL):
        open(KILL, "w").close()
        os.kill(os.getpid(), 9)
    if FAIL and (x == 7).any():
        raise KeyboardInterrupt if FAIL == "stop" else OSError("no luck")
    time.sleep(0.05)
    return project(x, projection)

FOLDER, output, KILL, FAIL = os.getcwd(), *sys.argv[1:]
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
cluster.add_node(num_cpus=1)
ray.init(address=cluster.address, log_to_driver=False)
done = []
try:
    found = transform_file("x.npy", RowMap(function, 8, 12, {"a": 1}), output, memory=100_000,
                           engine=ray_engine(2), progress=done.append)
    print(json.dumps({**found._asdict(), "done": done}))
except Exception as error:
    print(json.dumps({"error": type(error).__name__, "kept": len(done)}))
finally:
    ray.shutdown()
    cluster.shutdown()
"""
MEMORY = 100_000


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.save("x.npy", rng.normal(size=(5000, 8)).astype(np.float32))
    np.save("a.npy", rng.normal(size=(12, 8)).astype(np.float32))
    return tmp_path


def on_cluster(output: str, kill: str = "", fail: str = "") -> dict[str, object]:
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, output, kill, fail],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    lines = [line for line in run.stdout.splitlines() if line.startswith("{")]
    assert lines, run.stdout[-1000:] + run.stderr[-2000:]
    found: dict[str, object] = json.loads(lines[-1])
    return found


def alone(output: str) -> relatum.streaming.Written:
    from relatum.projection import fit_projection, project
    from relatum.row_maps import RowMap
    from relatum.streaming import transform_file

    projection = fit_projection(np.load("a.npy"), center=True)
    rows = RowMap(lambda x: project(x, projection), 8, 12, {"a": 1})
    return transform_file("x.npy", rows, output, memory=MEMORY)


def same(a: Path, b: Path) -> bool:
    if a.is_dir():
        names = sorted(p.name for p in a.iterdir())
        assert names == sorted(p.name for p in b.iterdir())
        return all((a / n).read_bytes() == (b / n).read_bytes() for n in names)
    return a.read_bytes() == b.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("output", ["r.npy", "folder"])
def test_two_nodes_write_what_one_process_writes_though_a_worker_is_lost(output, files):
    found = on_cluster(output, kill=str(files / "killed"))
    assert (found["n_rows"], found["n_outputs"], found["n_kept"]) == (5000, 12, 0)
    assert found["n_parts"] > 4
    assert found["done"][-1] == 5000
    assert (files / "killed").exists()
    assert len(list(files.glob("node-*"))) == 2
    alone(f"alone-{output}")
    assert same(files / output, files / f"alone-{output}")


@pytest.mark.slow
def test_workers_send_their_parts_to_a_url(files):
    pytest.importorskip("fsspec")
    found = on_cluster(f"file://{files}/there", kill=str(files / "killed"))
    assert found["n_rows"] == 5000
    alone("here")
    assert same(files / "there", files / "here")
    assert not list(files.glob(".there*"))


@pytest.mark.slow
def test_what_a_cluster_began_one_process_can_finish(files):
    X = np.load("x.npy")
    bad = X.copy()
    bad[4900, 0] = 7
    np.save("x.npy", bad)
    found = on_cluster("r.npy", fail="error")
    assert "error" in found
    assert found["kept"] > 0
    written = alone("r.npy")
    assert written.n_kept > 0
    alone("whole.npy")
    assert same(files / "r.npy", files / "whole.npy")


@pytest.mark.slow
def test_the_command_line_runs_on_a_cluster_that_it_starts(files):
    call = "import sys, relatum.cli; sys.exit(relatum.cli.main())"
    command = [sys.executable, "-c", call, "project", "x.npy", "--anchors", "a.npy"]
    run = subprocess.run(
        [*command, "-o", "r.npy", "--engine", "ray", "--workers", "1", "--memory", "1MB", "--json"],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["n_rows"] == 5000
    assert subprocess.run([*command, "-o", "s.npy", "--memory", "1MB"], check=False).returncode == 0
    assert same(files / "r.npy", files / "s.npy")


@given(st.integers(1, 300), st.integers(1, 40))
def test_workers_share_all_parts_and_none_has_much_more_than_another(n_parts, n_workers):
    parts = [(i, slice(10 * i, 10 * i + 10)) for i in range(n_parts)]
    shares = [share["parts"] for share in _shares(parts, n_workers)]
    assert [part for share in shares for part in share] == [[i, s.start, s.stop] for i, s in parts]
    sizes = {len(share) for share in shares}
    assert max(sizes) - min(sizes) <= 1
    assert 1 <= min(sizes) <= max(sizes) <= SHARE
    assert len(shares) % n_workers == 0 or max(sizes) == 1


def test_shares_wait_on_machines_only_where_all_processors_are_workers():
    assert _tasks(2, 2) == 4
    assert _tasks(2, 8) == 2


def test_a_wrong_number_of_workers_is_refused():
    from relatum.distributed import ray_engine

    with pytest.raises(ValueError, match="n_workers is 0; expected at least 1"):
        ray_engine(0)
