"""Exports run in their own runtimes and give what the translation gives."""

from __future__ import annotations

import numpy as np
import pytest

from relatum.export import to_onnx, to_torch
from relatum.translation import METHODS, Translation

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 9)) + 1
Y = X @ RNG.normal(size=(9, 7)) + 0.1 * RNG.normal(size=(80, 7))
KNOWN = {"transport": {"X_background": X, "y_background": Y}}
NAMES = [name for name in METHODS if name != "mean_shift"]


@pytest.mark.parametrize("method", NAMES)
@pytest.mark.parametrize("inverse", [False, True])
def test_onnx_runs_elsewhere(method, inverse, tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    found = Translation(method).fit(X[:60], Y[:60], **KNOWN.get(method, {}))
    path = tmp_path / "map.onnx"
    to_onnx(found, path, inverse=inverse)
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rows = Y if inverse else X
    expected = found.inverse_transform(Y) if inverse else found.transform(X)
    for n in (1, 80):
        (out,) = session.run(None, {"X": rows[:n].astype(np.float32)})
        np.testing.assert_allclose(out, expected[:n], rtol=1e-3, atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize("method", [name for name in NAMES if name != "procrustes_kernel"])
def test_torch_gives_the_same(method):
    torch = pytest.importorskip("torch")
    found = Translation(method).fit(X[:60], Y[:60], **KNOWN.get(method, {}))
    out = to_torch(found)(torch.tensor(X, dtype=torch.float32)).detach().numpy()
    expected = found.transform(X)
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_what_is_refused(tmp_path):
    pytest.importorskip("onnx")
    found = Translation("procrustes_kernel").fit(X[:60], Y[:60])
    with pytest.raises(ValueError, match=r"map\.bin; expected a name that ends in \.onnx"):
        to_onnx(found, tmp_path / "map.bin")
    pytest.importorskip("torch")
    with pytest.raises(ValueError, match="is no affine map"):
        to_torch(found)
