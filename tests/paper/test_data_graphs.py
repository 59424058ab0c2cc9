"""Graphs: what is read from their files, the split of the nodes, the anchors."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp

pytest.importorskip("pydantic", reason="relatum.paper needs pydantic")
torch = pytest.importorskip("torch", reason="the split is drawn as torch-geometric does")

from tiny_graphs import planted_graph  # noqa: E402

from relatum.paper.data_graphs import draw_anchors, load_graph, make_graph, read_npz, split_nodes  # noqa: E402
from relatum.paper.runner import MissingDataError  # noqa: E402


def small_graph():
    x = sp.csr_array(np.array([[2.0, 2, 0], [0, 0, 4], [0, 0, 0], [1, 1, 2]], dtype=np.float32))
    edges = np.array([[0, 1, 1, 2], [1, 0, 3, 2]])  # one edge twice, one loop
    return make_graph("small", x, np.array([2, 1, -1, 1]), edges)


def test_features_are_shares_and_labels_count_from_zero():
    graph = small_graph()
    expected = [[0.5, 0.5, 0], [0, 0, 1], [0, 0, 0], [0.25, 0.25, 0.5]]
    np.testing.assert_allclose(graph.features.toarray(), expected)
    assert graph.labels.tolist() == [1, 0, -1, 0]
    assert (graph.n_nodes, graph.n_features, graph.n_classes) == (4, 3, 2)


def test_edges_have_both_directions_once_and_no_loop():
    assert small_graph().edges.T.tolist() == [[0, 1], [1, 0], [1, 3], [3, 1]]


def test_content_hash_sees_a_changed_label():
    x, edges = sp.csr_array(np.eye(3, dtype=np.float32)), np.array([[0], [1]])
    one = make_graph("a", x, np.array([0, 1, 1]), edges)
    other = make_graph("a", x, np.array([0, 1, 0]), edges)
    assert one.content_hash() != other.content_hash()
    assert one.content_hash() == make_graph("b", x, np.array([0, 1, 1]), edges).content_hash()


def test_normalising_agrees_with_torch_geometric(make_run):
    transforms = pytest.importorskip("torch_geometric.transforms")
    data = pytest.importorskip("torch_geometric.data")
    graph = load_graph(make_run(), "cora")
    rng = np.random.default_rng(0)
    counts = sp.random_array((30, 8), density=0.4, rng=rng, dtype=np.float32)
    ours = make_graph("x", sp.csr_array(counts * 5), np.zeros(30, dtype=int), graph.edges[:, :0])
    theirs = transforms.NormalizeFeatures()(data.Data(x=torch.from_numpy((counts * 5).toarray())))
    np.testing.assert_allclose(ours.features.toarray(), theirs.x.numpy(), rtol=1e-6)


def test_the_split_is_that_of_torch_geometric(make_run):
    transforms = pytest.importorskip("torch_geometric.transforms")
    data = pytest.importorskip("torch_geometric.data")
    graph = load_graph(make_run(), "cora")
    with torch.random.fork_rng():
        torch.manual_seed(3)
        whole = data.Data(x=torch.zeros(graph.n_nodes, 1), y=torch.zeros(graph.n_nodes))
        theirs = transforms.RandomNodeSplit(num_val=0.1, num_test=0)(whole)
    split = split_nodes(graph, seed=3)
    np.testing.assert_array_equal(split.train, theirs.train_mask.nonzero().ravel())
    np.testing.assert_array_equal(split.validation, theirs.val_mask.nonzero().ravel())


def test_nodes_without_label_are_in_neither_part():
    graph = small_graph()
    split = split_nodes(graph, seed=0, validation=0.5)
    assert sorted([*split.train, *split.validation]) == [0, 1, 3]


@pytest.mark.parametrize("method", ["uniform", "stratified", "farthest_point", "most_frequent"])
def test_anchors_are_training_nodes(make_run, method):
    graph = load_graph(make_run(), "cora")
    split = split_nodes(graph, seed=0)
    anchors = draw_anchors(graph, split, 20, method=method, seed=1)
    assert len(set(anchors)) == 20
    assert set(anchors) <= set(split.train)


def test_most_frequent_anchors_have_the_most_edges(make_run):
    graph = load_graph(make_run(), "cora")
    split = split_nodes(graph, seed=0)
    degrees = np.bincount(graph.edges[0], minlength=graph.n_nodes)
    anchors = draw_anchors(graph, split, 5, method="most_frequent")
    others = np.setdiff1d(split.train, anchors)
    assert degrees[anchors].min() >= degrees[others].max()


def test_unknown_graph_is_refused(make_run):
    with pytest.raises(ValueError, match=r"dataset is 'core'.*cora"):
        load_graph(make_run(), "core")


def test_missing_graph_says_where_to_put_it(make_run, tmp_path):
    with pytest.raises(MissingDataError, match=r"planetoid/cora\.npz"):
        load_graph(make_run(data_dir=tmp_path), "cora")


def test_a_graph_mostly_without_features_is_refused(tmp_path):
    x = sp.csr_array((10, 4), dtype=np.float32)
    path = tmp_path / "pubmed.npz"
    np.savez(
        path, x_data=x.data, x_indices=x.indices, x_indptr=x.indptr, x_shape=x.shape,
        y=np.zeros(10, dtype=int), edges=np.array([[0, 1]]),
    )  # fmt: skip
    with pytest.raises(ValueError, match="10 of 10 nodes have no features"):
        read_npz(path, "pubmed")


def test_planetoid_files_give_the_same_graph(make_run, tmp_path):
    pytest.importorskip("torch_geometric", reason="reads the Planetoid files")
    np.savez(tmp_path / "cora.npz", **planted_graph(0, n_nodes=620))
    graph = read_npz(tmp_path / "cora.npz", "cora")
    n, n_train, n_test = graph.n_nodes, 30, 50
    x = sp.csr_matrix(graph.features)
    onehot = np.eye(graph.n_classes, dtype=np.int32)[graph.labels]
    parts = {
        "x": x[:n_train], "y": onehot[:n_train],
        "allx": x[: n - n_test], "ally": onehot[: n - n_test],
        "tx": x[n - n_test :], "ty": onehot[n - n_test :],
        "graph": {i: graph.edges[1][graph.edges[0] == i].tolist() for i in range(n)},
    }  # fmt: skip
    raw = tmp_path / "planetoid" / "raw"
    raw.mkdir(parents=True)
    for name, value in parts.items():
        (raw / f"ind.cora.{name}").write_bytes(pickle.dumps(value, protocol=2))
    (raw / "ind.cora.test.index").write_text("".join(f"{i}\n" for i in range(n - n_test, n)))
    found = load_graph(make_run(preset="paper", data_dir=tmp_path), "cora")
    np.testing.assert_allclose(found.features.toarray(), graph.features.toarray(), rtol=1e-6)
    np.testing.assert_array_equal(found.labels, graph.labels)
    np.testing.assert_array_equal(found.edges, graph.edges)


def test_missing_planetoid_file_says_where_to_put_it(make_run, tmp_path):
    with pytest.raises(MissingDataError, match=r"planetoid/raw/ind\.cora\.x"):
        load_graph(make_run(preset="paper", data_dir=tmp_path), "cora")
