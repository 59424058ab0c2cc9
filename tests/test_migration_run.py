"""Planned, run, verified, switched, rolled back, filled with native vectors."""

from __future__ import annotations

import gc
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from migrating import N, World, names, texts, two_encoders
from store_cases import CASES

from relatum import Translation, artifact
from relatum._gemm import unit_rows
from relatum.migration import check
from relatum.migration._items import sample_ids
from relatum.migration._work import MAP, native_ids
from relatum.migration.plan import MigrationPlan, read_plan, state_folder
from relatum.migration.planning import make_plan
from relatum.migration.report import migration_report
from relatum.migration.steps import GateError, backfill, rollback, run, status, switch
from relatum.migration.verification import verify
from relatum.stores import Shadow, Store, current, open_store

pytest.importorskip("tomlkit")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def planned(world: World, n_anchors: int = 150, **settings: object) -> MigrationPlan:
    given: dict[str, object] = {"pilot": 100, "method": "procrustes"} | settings
    return make_plan(world.plan, world.store, world.encoder, n_anchors=n_anchors, **given)  # type: ignore[arg-type]


def sides(world: World) -> tuple[Store, Shadow]:
    store = open_store(world.case.url)
    return store, store.shadow(read_plan(world.plan).run.shadow)


def vectors(store: Store) -> dict[str, np.ndarray]:
    return {i: x for rows in store.batches(1000) for i, x in zip(rows.ids, rows.X, strict=True)}


def test_draws_are_nested_and_do_not_depend_on_order() -> None:
    ids = names(1000)
    found = sample_ids(ids, 300, 3)
    assert found[:100] == sample_ids(reversed(ids), 100, 3)
    assert len(set(found)) == 300
    assert found != sample_ids(ids, 300, 4)
    left_out = sample_ids(ids, 300, 3, skip=found[:50])
    assert not set(left_out) & set(found[:50])
    assert left_out[:250] == found[50:]
    numbers = np.array([int(i[1:]) for i in found])
    assert 400 < numbers.mean() < 600


def test_a_plan_says_what_to_expect_and_what_it_costs(world: World) -> None:
    seen: list[int] = []
    plan = planned(world, price_per_1000=2.0, progress=seen.append)
    assert seen[-1] == 100
    assert read_plan(world.plan) == plan
    assert (plan.run.shadow, plan.run.alias) == ("items__new_12", "items_current")
    p = plan.predicted
    assert [c["n_anchors"] for c in p["curve"]] == [100, 300]
    for point in p["curve"]:
        for name in ("recall_1", "recall_10", "overlap_10"):
            value, low, high = point[name]
            assert 0 <= low <= value <= high <= 1
    assert (p["n_rows"], p["n_embedded"]) == (N, 150)
    assert (p["price_of_anchors"], p["price_of_everything"]) == (0.3, 1.2)
    assert 0 < p["overlap_staying"] < 1
    store = open_store(world.case.url)
    assert not store.shadow(plan.run.shadow).exists()


def test_rows_have_norm_1_where_the_new_encoder_s_have(world: World) -> None:
    assert planned(world).run.normalize
    run(world.plan)
    norms = np.linalg.norm(np.stack(list(vectors(sides(world)[1].open()).values())), axis=1)
    np.testing.assert_allclose(norms, 1, atol=1e-4)
    world.write_new(world.ids, 3 * world.Y)
    world.plan = world.folder / "other.toml"
    assert not planned(world, shadow="longer", method="scaled_procrustes").run.normalize
    run(world.plan)
    norms = np.linalg.norm(np.stack(list(vectors(sides(world)[1].open()).values())), axis=1)
    assert norms.mean() > 2


def test_as_many_anchors_as_are_needed(world: World) -> None:
    few = make_plan(world.plan, world.store, world.encoder, pilot=100, min_retention=0.5)
    assert few.map.n_anchors == 100
    many = make_plan(world.plan, world.store, world.encoder, pilot=100, min_retention=0.9999)
    most = N - N // 3  # some must be left to verify on
    assert many.map.n_anchors == most
    assert make_plan(world.plan, world.store, world.encoder, pilot=100).map.n_anchors == most


def test_from_a_plan_to_switched_vectors_and_back(world: World) -> None:
    plan = planned(world)
    before = vectors(open_store(world.case.url))
    done: list[str] = []

    def report(doing: str, total: int | None) -> object:
        done.append(doing)
        return lambda n: None

    ran = run(world.plan, report=report)  # type: ignore[arg-type]
    assert done == ["embedding anchors", "fitting", "translating", "building the index", "checking"]
    assert (ran.n_anchors, ran.method, ran.filled.n_written) == (150, "procrustes", N)
    assert ran.held.whole
    store, shadow = sides(world)
    new = vectors(shadow.open())
    fitted = artifact.load(state_folder(world.plan) / MAP)
    assert isinstance(fitted, Translation)
    P = np.asarray(fitted.transform(world.X), np.float32)
    cosines = np.vecdot(unit_rows(P), unit_rows(np.stack([new[i] for i in world.ids])))
    known = np.isin(world.ids, sample_ids(names(), 150, 0))
    np.testing.assert_allclose(cosines[~known], 1, atol=1e-5)
    weight = shadow.open().about()["anchor_weight"]
    np.testing.assert_allclose(cosines[known], weight, atol=0.05)
    with pytest.raises(GateError, match="not verified; expected relatum migrate verify before"):
        switch(world.plan)
    found, sample = verify(world.plan, segment="section", thresholds=[0.5])
    assert found.passed
    assert len(sample.ids) == 300
    assert switch(world.plan) == plan.run.shadow
    assert current(world.case.url, plan.run.alias) == plan.run.shadow
    assert rollback(world.plan) == "items"
    assert current(world.case.url, plan.run.alias) == "items"
    after = vectors(store)
    assert after.keys() == before.keys()
    assert all(np.array_equal(before[i], after[i]) for i in before)
    told = status(world.plan)
    assert (told["shadow_rows"], told["verified"], told["stands_for"]) == (N, True, "items")
    assert told["vectors"]["encoder"] == "new-12"
    assert told["vectors"]["translated_from"] == "old-16"
    json.dumps(told)


def test_what_is_verified_is_what_a_loop_finds(world: World) -> None:
    planned(world)
    run(world.plan)
    found, sample = verify(world.plan)
    _, shadow = sides(world)
    new = vectors(shadow.open())
    ids = list(new)
    M = unit_rows(np.stack([new[i] for i in ids]))
    place = {i: n for n, i in enumerate(world.ids)}
    ranks = []
    for i in sample.ids:
        own = world.Y[place[i]] @ M.T
        ranks.append(int(np.sum(own > own[ids.index(i)])))
    assert found.recall_1.value == pytest.approx(np.mean(np.array(ranks) < 1))
    assert found.recall_k.value == pytest.approx(np.mean(np.array(ranks) < 10))
    assert found.recall_k_whole == pytest.approx(found.recall_k.value)
    assert found.recall_k.low <= found.recall_k.value <= found.recall_k.high
    np.testing.assert_allclose(sample.Y, world.Y[[place[i] for i in sample.ids]], rtol=1e-6)
    assert 0 < found.overlap_k.value < 1
    text = str(found)
    for said in ("verified", "predicted", "R@10", "staying", "600 rows, each once"):
        assert said in text
    json.dumps(found.to_dict())


def test_segments_thresholds_and_queries_with_what_is_relevant(world: World) -> None:
    planned(world)
    run(world.plan)
    relevance = [{"query": f"q{n}", "relevant": {f"i{n}": 2, f"i{n + 1}": 1}} for n in range(20)]
    world.write_new(
        [*world.ids, *(f"query:q{n}" for n in range(20))],
        np.concatenate([world.Y, world.Y[:20] + 0.01]),
    )
    found, sample = verify(
        world.plan, segment="section", thresholds=[0.4, 0.5], relevance=relevance
    )
    assert 290 <= sum(s.n_items for s in found.segments) <= len(sample.ids)
    assert sorted(s.overlap_k for s in found.segments) == [s.overlap_k for s in found.segments]
    assert [t.before for t in found.thresholds] == [0.4, 0.5]
    assert found.ndcg is not None
    after, native = found.ndcg
    assert 0 < after <= native + 0.1
    assert 0.5 < native <= 1
    assert "nDCG@10" in str(found)
    for wrong in ([{"query": "q"}], [{"query": 1, "relevant": {"i1": 1}}]):
        with pytest.raises(ValueError, match="relevance, entry 1: expected"):
            verify(world.plan, relevance=wrong)
    with pytest.raises(ValueError, match="relevance names no item that is in the store"):
        verify(world.plan, relevance=[{"query": "q1", "relevant": {"nobody": 1}}])
    with pytest.raises(ValueError, match="no_such"):
        verify(world.plan, segment="no_such")


def test_a_report_shows_what_was_verified_beside_what_was_predicted(world: World) -> None:
    pytest.importorskip("jinja2")
    planned(world)
    run(world.plan)
    found, sample = verify(world.plan)
    anchors = set(sample_ids(names(), 150, 0))
    assert not anchors & set(sample.ids)
    html = migration_report(world.folder / "report.html", world.plan, found, sample).read_text()
    table = html.split('aria-label="Verified"')[1].split("</table>")[0]
    for pair in ((found.recall_1, found.predicted.recall_1),
                 (found.overlap_k, found.predicted.overlap_k)):  # fmt: skip
        for estimate in pair:
            assert estimate is not None
            assert f"{estimate.value:.3f}<small>{estimate.low:.3f} to" in table
    assert "none of them an anchor" in html


def test_a_gate_stops_a_run_before_anything_is_written(world: World) -> None:
    planned(world)
    world.plan.write_text(
        world.plan.read_text().replace("min_retention = 0.0", "min_retention = 0.9999")
    )
    with pytest.raises(GateError, match=r"predicted R@10 is 0\.\d+; the plan asks for 0\.9999"):
        run(world.plan)
    assert not sides(world)[1].exists()


def test_a_gate_stops_a_switch(world: World) -> None:
    planned(world)
    run(world.plan)
    world.plan.write_text(
        world.plan.read_text().replace("min_retention = 0.0", "min_retention = 0.9999")
    )
    assert not verify(world.plan)[0].passed
    with pytest.raises(GateError, match="verification failed"):
        switch(world.plan)
    assert switch(world.plan, force=True) == "items__new_12"


def test_rows_that_came_since_stop_a_switch_until_the_next_run(world: World) -> None:
    planned(world)
    run(world.plan)
    verify(world.plan)
    X, _ = two_encoders(3, seed=5)
    world.case.add(["x1", "x2", "x3"], X, texts(["x1", "x2", "x3"]))
    with pytest.raises(GateError, match="the store has changed since"):
        switch(world.plan)
    assert run(world.plan).filled.n_written == 3
    assert switch(world.plan) == "items__new_12"


def test_a_second_run_goes_on_with_the_same_map(world: World) -> None:
    planned(world)
    run(world.plan)
    first = artifact.read_manifest(state_folder(world.plan) / MAP)["checksum"]
    X, _ = two_encoders(200, seed=5)
    more = [f"x{n}" for n in range(200)]
    world.case.add(more, X, texts(more))
    again = run(world.plan)
    assert (again.filled.n_written, again.held.whole) == (200, True)
    assert artifact.read_manifest(state_folder(world.plan) / MAP)["checksum"] == first


def test_another_map_needs_another_shadow_or_a_new_beginning(world: World) -> None:
    planned(world)
    run(world.plan)
    world.plan.write_text(world.plan.read_text().replace("n_anchors = 150", "n_anchors = 200", 1))
    with pytest.raises(ValueError, match=r"was filled by another map .*--restart"):
        run(world.plan)
    switch(world.plan, force=True)
    with pytest.raises(ValueError, match="roll back before it is removed"):
        run(world.plan, restart=True)
    rollback(world.plan)
    assert run(world.plan, restart=True).n_anchors == 200


def test_native_vectors_come_where_they_help_most(world: World) -> None:
    planned(world)
    run(world.plan)
    assert backfill(world.plan, 0) == 150
    store, shadow = sides(world)
    assert native_ids(shadow) == set(sample_ids(names(), 150, 0))
    often = [i for i in names() if i not in native_ids(shadow)][:20]
    assert backfill(world.plan, 20, queried=dict.fromkeys(often, 1e6)) == 170
    assert set(often) <= native_ids(shadow)
    assert check(store, shadow).whole
    new, about = vectors(shadow.open()), shadow.open().about()
    place = {i: n for n, i in enumerate(world.ids)}
    cosines = [world.Y[place[i]] @ new[i] / np.linalg.norm(new[i]) for i in native_ids(shadow)]
    np.testing.assert_allclose(cosines, about["native_weight"], atol=0.1)
    assert verify(world.plan)[0].held.n_native == 170
    assert run(world.plan).filled.n_written == 0
    assert len(native_ids(shadow)) == 170


def test_before_a_run_there_is_nothing_to_verify(world: World) -> None:
    planned(world)
    for step in (verify, switch, lambda p: backfill(p, 1)):
        with pytest.raises(ValueError, match="was not run; expected relatum migrate run before"):
            step(world.plan)
    assert status(world.plan)["shadow_rows"] == 0


def test_a_store_that_is_too_small(tmp_path: Path) -> None:
    world = World(tmp_path, n=60)
    with pytest.raises(ValueError, match="has 60 rows; expected at least 100"):
        planned(world)
    with pytest.raises(ValueError, match=r"min_retention is 1; expected a number in \[0, 1\)"):
        planned(world, min_retention=1)
    with pytest.raises(ValueError, match="pilot is 10; expected at least 50"):
        planned(world, pilot=10)


def test_two_processes_at_one_plan(world: World) -> None:
    planned(world)
    from relatum.migration._work import opened_plan

    with opened_plan(world.plan), pytest.raises(OSError, match="another process is writing"):
        run(world.plan)


KILLED = """
import sys, time
from relatum.migration import steps
before = steps.fill
def slow(store, shadow, translate, **kwargs):
    def waiting(X):
        print("batch", flush=True)
        time.sleep(0.15)
        return translate(X)
    return before(store, shadow, waiting, **kwargs)
steps.fill = slow
steps.run(sys.argv[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", CASES)
def test_killed_ten_times_at_any_moment_it_goes_on(tmp_path: Path, kind: str) -> None:
    def ready(name: str) -> World:
        found = World(made(tmp_path / name), kind)
        planned(found)
        found.plan.write_text(found.plan.read_text().replace("batch = 8192", "batch = 40"))
        return found

    clean = ready("clean")
    run(clean.plan)
    expected = vectors(sides(clean)[1].open())
    world = ready("killed")
    url = world.case.url
    del clean, world.case  # a folder's client is for one process
    gc.collect()
    before = vectors(open_store(url))
    rng = np.random.default_rng(0)
    stopped = 0
    for _ in range(10):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(world.plan)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(rng.random() * 0.5)
        process.kill()
        stopped += process.wait() == -signal.SIGKILL
        process.stdout.close()
    assert stopped >= 5
    assert run(world.plan).held.whole
    store = open_store(url)
    shadow = store.shadow(read_plan(world.plan).run.shadow)
    new = vectors(shadow.open())
    assert new.keys() == before.keys()
    assert sorted(i for m in shadow.marks() for i in m.ids) == sorted(before)
    np.testing.assert_allclose(
        np.stack([new[i] for i in before]), np.stack([expected[i] for i in before]), atol=1e-6
    )
    after = vectors(store)
    assert all(np.array_equal(before[i], after[i]) for i in before)


FULL = """
import resource, signal, sys
from relatum.migration import steps
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
before, seen = steps.fill, []
def full(store, shadow, translate, **kwargs):
    def limited(X):
        seen.append(len(X))
        if len(seen) == 4:
            resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))  # no file may grow beyond
        return translate(X)
    return before(store, shadow, limited, **kwargs)
steps.fill = full
try:
    steps.run(sys.argv[1])
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="limits on files are those of Unix")
@pytest.mark.parametrize("kind", ["parquet", "lancedb", "qdrant", "chroma"])
def test_where_the_disk_is_full_it_stops_and_goes_on_later(tmp_path: Path, kind: str) -> None:
    world = World(tmp_path, kind)
    planned(world)
    world.plan.write_text(world.plan.read_text().replace("batch = 8192", "batch = 100"))
    url = world.case.url
    del world.case
    gc.collect()
    before = vectors(open_store(url))
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(world.plan)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("OSError"), done.stdout + done.stderr
    assert str(tmp_path) in done.stdout
    store = open_store(url)
    there = store.shadow(read_plan(world.plan).run.shadow).open().count()
    assert 0 < there < N
    ran = run(world.plan)
    assert ran.held.whole
    assert ran.filled.n_written == N - there
    after = vectors(store)
    assert all(np.array_equal(before[i], after[i]) for i in before)
