"""Graphs of planted communities in the format of the Planetoid archives."""

from pathlib import Path

import numpy as np
import scipy.sparse as sp


def write_graphs(folder: Path) -> None:
    """Write ``planetoid/cora.npz``, ``citeseer.npz`` and ``graphs_extra/blogcatalog.npz``."""
    for seed, name in enumerate(
        ("planetoid/cora", "planetoid/citeseer", "graphs_extra/blogcatalog")
    ):
        path = folder / f"{name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **planted_graph(seed))


def planted_graph(seed: int, n_nodes: int = 150, n_classes: int = 3) -> dict[str, np.ndarray]:
    """Nodes of a class share words and have more edges among them than to others."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n_nodes) % n_classes
    same = labels[:, None] == labels
    linked = np.triu(rng.random((n_nodes, n_nodes)) < np.where(same, 0.06, 0.005), 1)
    topics = rng.random((n_classes, 40)) < 0.3
    words = rng.random((n_nodes, 40)) < np.where(topics[labels], 0.4, 0.05)
    words[:, 0] = True  # no node without a word
    x = sp.csr_array(words.astype(np.float32))
    return {
        "x_data": x.data,
        "x_indices": x.indices,
        "x_indptr": x.indptr,
        "x_shape": np.array(x.shape),
        "y": labels,
        "edges": np.argwhere(linked).astype(np.int32),
    }
