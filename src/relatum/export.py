"""Translations in the forms that other runtimes take: a torch module, an ONNX graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from relatum import _files, _validation
from relatum._files import Source
from relatum._gemm import unit_rows
from relatum._kernel_maps import DEGREE
from relatum._translation_map import TranslationMap
from relatum.translation import Translation

__all__ = ["to_onnx", "to_torch"]


def to_torch(translation: Translation) -> Any:
    """Return a translation as a ``torch.nn.Linear``, in float32.

    Raises
    ------
    ValueError
        The translation is not affine.
    MissingExtraError
        torch is not installed.

    Examples
    --------
    >>> import numpy as np, relatum, torch
    >>> from relatum.export import to_torch
    >>> X = np.random.default_rng(0).normal(size=(40, 8))
    >>> linear = to_torch(relatum.Translation("procrustes").fit(X, X[:, ::-1]))
    >>> linear(torch.zeros(1, 8)).shape
    torch.Size([1, 8])
    """
    torch = _validation.require("torch", "torch", "to_torch")
    matrix, bias = translation.as_affine()
    linear = torch.nn.Linear(*matrix.shape)
    with torch.no_grad():
        linear.weight.copy_(torch.as_tensor(matrix.T))
        linear.bias.copy_(torch.as_tensor(bias))
    return linear


def to_onnx(translation: Translation, path: Source, *, inverse: bool = False) -> None:
    """Write a translation as an ONNX graph: ``X`` in, ``Y`` out, float32, any number of rows.

    Parameters
    ----------
    translation : Translation
        Fitted, of any method.
    path : str or path
        Ends in ``.onnx``. It appears only when it is complete.
    inverse : bool
        The way back, as ``inverse_transform``.

    Raises
    ------
    ValueError
        Another suffix.
    MissingExtraError
        onnx is not installed.

    Examples
    --------
    >>> import numpy as np, relatum, tempfile, os
    >>> from relatum.export import to_onnx
    >>> X = np.random.default_rng(0).normal(size=(40, 8))
    >>> path = os.path.join(tempfile.mkdtemp(), "map.onnx")
    >>> to_onnx(relatum.Translation("ridge").fit(X, X[:, ::-1]), path)
    >>> os.path.exists(path)
    True
    """
    onnx = _validation.require("onnx", "onnx", "to_onnx")
    if not str(path).lower().endswith(".onnx"):
        raise ValueError(f"path is {path}; expected a name that ends in .onnx")
    _files.check_target(path)
    model = _model(onnx, translation.backward_ if inverse else translation.forward_)
    onnx.checker.check_model(model)
    with _files.replacing(path) as temporary:
        onnx.save_model(model, str(temporary))


def _model(onnx: Any, found: TranslationMap) -> Any:
    helper, arrays = onnx.helper, {"matrix": found.matrix, "bias": found.bias}
    affine = helper.make_node("Gemm", ["X", "matrix", "bias"], ["affine" if found.kernel else "Y"])
    nodes = [affine]
    if found.kernel is not None:
        arrays |= {
            "mean": found.mean,
            "anchors": unit_rows(found.kernel.anchors).T,
            "coefficients": found.kernel.coefficients,
            "half": np.array(0.5),
            "degree": np.array(float(DEGREE)),
        }
        nodes += [
            helper.make_node("Sub", ["X", "mean"], ["moved"]),
            helper.make_node("LpNormalization", ["moved"], ["unit"], axis=1, p=2),
            helper.make_node("MatMul", ["unit", "anchors"], ["cosine"]),
            helper.make_node("Mul", ["cosine", "half"], ["halved"]),
            helper.make_node("Add", ["halved", "half"], ["raised"]),
            helper.make_node("Pow", ["raised", "degree"], ["kernel"]),
            helper.make_node("MatMul", ["kernel", "coefficients"], ["rest"]),
            helper.make_node("Add", ["affine", "rest"], ["Y"]),
        ]
    width, n_outputs = found.matrix.shape
    graph = helper.make_graph(
        nodes,
        "relatum translation",
        [helper.make_tensor_value_info("X", onnx.TensorProto.FLOAT, ["rows", width])],
        [helper.make_tensor_value_info("Y", onnx.TensorProto.FLOAT, ["rows", n_outputs])],
        [onnx.numpy_helper.from_array(np.asarray(a, np.float32), n) for n, a in arrays.items()],
    )
    opset = helper.make_opsetid("", 17)
    return helper.make_model(graph, opset_imports=[opset], ir_version=8, producer_name="relatum")
