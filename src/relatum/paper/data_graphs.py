"""Citation graphs: features, undirected edges, labels, and the split of the nodes."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from relatum import _validation, select_anchors
from relatum.paper.cache import content_hash

if TYPE_CHECKING:
    from relatum.paper.runner import Run

FOLDERS = {
    "cora": "planetoid",
    "citeseer": "planetoid",
    "pubmed": "planetoid",
    "blogcatalog": "graphs_extra",
    "flickr": "graphs_extra",
}
"""Folder below the data folder that holds ``<name>.npz``."""

PLANETOID = {"cora": "Cora", "citeseer": "CiteSeer", "pubmed": "PubMed"}
_RAW = ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index")


@dataclass(frozen=True)
class Graph:
    """An attributed graph whose nodes have labels.

    Attributes
    ----------
    features : csr_array, (n_nodes, n_features)
        Each row sums to one; a node without features has an empty row.
    labels : (n_nodes,)
        Classes from 0; -1: no label.
    edges : (2, n_edges)
        Both directions of every edge, sorted; no loops.
    """

    name: str
    features: sp.csr_array
    labels: np.ndarray
    edges: np.ndarray

    @property
    def n_nodes(self) -> int:
        return int(self.features.shape[0])

    @property
    def n_features(self) -> int:
        return int(self.features.shape[1])

    @property
    def n_classes(self) -> int:
        return int(self.labels.max()) + 1

    def content_hash(self) -> str:
        """Return a hash of all that the graph holds."""
        x = self.features
        return content_hash([x.indptr, x.indices, x.data, self.labels, self.edges])


@dataclass(frozen=True)
class Split:
    """Numbers of the nodes to train on and to validate on."""

    train: np.ndarray
    validation: np.ndarray


def load_graph(run: Run, dataset: str) -> Graph:
    """Return a graph: from its ``.npz``, or for the paper preset from the Planetoid files.

    Raises
    ------
    MissingDataError
        The data folder has no such file.
    """
    _validation.check_choice(dataset, "dataset", FOLDERS)
    if not run.offline and dataset in PLANETOID:
        return _read_planetoid(run, dataset)
    return read_npz(run.data(f"{FOLDERS[dataset]}/{dataset}.npz"), dataset)


def read_npz(path: Path, name: str) -> Graph:
    """Read ``x_data``, ``x_indices``, ``x_indptr``, ``x_shape``, ``y`` and ``edges``.

    Raises
    ------
    ValueError
        Features that most nodes lack: such a graph trains nothing.
    """
    with np.load(path, allow_pickle=False) as file:
        x = sp.csr_array(
            (file["x_data"], file["x_indices"], file["x_indptr"]), shape=tuple(file["x_shape"])
        )
        labels, pairs = file["y"].astype(np.int64), file["edges"].astype(np.int64)
    n_bare = int(np.sum(np.diff(x.indptr) == 0))
    if n_bare > x.shape[0] / 2:
        raise ValueError(f"{path}: {n_bare} of {x.shape[0]} nodes have no features")
    return make_graph(name, x, labels, pairs.T)


def make_graph(name: str, features: sp.csr_array, labels: np.ndarray, edges: np.ndarray) -> Graph:
    """Normalise features by row, count labels from 0, and give edges both directions, once."""
    features = sp.csr_array(features, dtype=np.float32)
    features.sort_indices()
    sums = np.maximum(np.asarray(features.sum(axis=1)).ravel(), 1.0)
    features.data = (features.data / np.repeat(sums, np.diff(features.indptr))).astype(np.float32)
    known = labels >= 0
    labels = np.where(known, labels - labels[known].min(), -1)
    both = np.hstack([edges, edges[::-1]])
    both = np.unique(both[:, both[0] != both[1]], axis=1)
    return Graph(name, features, labels, both)


def _read_planetoid(run: Run, dataset: str) -> Graph:
    """Read the original ``ind.*`` files, with torch-geometric."""
    datasets = _validation.require("torch_geometric.datasets", "paper", "the Planetoid graphs")
    name = PLANETOID[dataset]
    root = run.work / "planetoid"
    raw = root / name / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for part in _RAW:  # beside what torch-geometric writes, which the data folder may not allow
        file = run.data(f"planetoid/raw/ind.{dataset}.{part}")
        shutil.copyfile(file, raw / file.name)
    data = datasets.Planetoid(str(root), name)[0]
    x = sp.csr_array(data.x.numpy())
    return make_graph(dataset, x, data.y.numpy().astype(np.int64), data.edge_index.numpy())


def split_nodes(graph: Graph, *, seed: int, validation: float = 0.1) -> Split:
    """Draw nodes to validate on; all others train. Nodes without label do neither.

    The draw is that of torch-geometric's ``RandomNodeSplit(num_val=validation,
    num_test=0)`` after seeding torch.
    """
    import torch

    order = torch.randperm(graph.n_nodes, generator=torch.Generator().manual_seed(seed)).numpy()
    n_validation = round(graph.n_nodes * validation)
    labelled = graph.labels[order] >= 0
    held_out = np.arange(graph.n_nodes) < n_validation
    return Split(np.sort(order[labelled & ~held_out]), np.sort(order[labelled & held_out]))


def draw_anchors(
    graph: Graph, split: Split, n_anchors: int, *, method: str = "uniform", seed: int = 0
) -> np.ndarray:
    """Return the nodes that are anchors, ``(n_anchors,)``, chosen among the training nodes.

    ``method`` is one of :func:`relatum.select_anchors`, which sees the nodes' features,
    their classes, and as frequencies the numbers of their edges.
    """
    X = graph.features[split.train].toarray()
    degrees = np.bincount(graph.edges[0], minlength=graph.n_nodes)
    chosen = select_anchors(
        X,
        n_anchors,
        method=method,
        labels=graph.labels[split.train],
        frequencies=degrees[split.train],
        random_state=seed,
    )
    return np.asarray(split.train[chosen])
