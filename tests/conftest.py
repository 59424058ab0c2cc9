"""What every test file shares: the array back ends and the hypothesis profile."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test asks a hub
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")

# the same examples on every run; slow shared machines miss hypothesis' deadline
settings.register_profile(
    "relatum", deadline=None, derandomize=True, database=None, max_examples=20
)
settings.load_profile("relatum")


@dataclass(frozen=True)
class Backend:
    """One way of holding an array: a library, and for NumPy a memory layout."""

    name: str
    array: Callable[[np.ndarray], Any]
    """Turn NumPy values into an array of this back end, of the same dtype."""

    @property
    def is_numpy(self) -> bool:
        return self.name.startswith("numpy")

    @property
    def is_torch(self) -> bool:
        return self.name == "torch"

    @staticmethod
    def numpy(x: Any) -> np.ndarray:
        """Turn an array of this back end into NumPy values."""
        return np.asarray(x.detach() if hasattr(x, "detach") else x)


def _read_only(values: np.ndarray) -> np.ndarray:
    values = np.array(values)
    values.setflags(write=False)
    return values


def _strided(values: np.ndarray) -> np.ndarray:
    """The same values as every second one of a larger array, rows backwards."""
    large = np.full([2 * n for n in values.shape], 77, dtype=values.dtype)
    view = large[tuple([slice(None, None, -2)] + [slice(None, None, 2)] * (values.ndim - 1))]
    view[...] = values
    return view


def _torch(values: np.ndarray) -> Any:
    import torch

    return torch.as_tensor(np.array(values))


def _strict(values: np.ndarray) -> Any:
    import array_api_strict

    return array_api_strict.asarray(np.array(values))


BACKENDS = {
    "numpy": np.array,
    "numpy-read-only": _read_only,
    "numpy-fortran": np.asfortranarray,
    "numpy-strided": _strided,
    "torch": _torch,
    "array-api-strict": _strict,
}


def _parameter(name: str) -> Any:
    module = {"torch": "torch", "array-api-strict": "array_api_strict"}.get(name)
    absent = module is not None and importlib.util.find_spec(module) is None
    reason = f"{module} is an extra, and is not installed"
    return pytest.param(name, marks=[pytest.mark.skip(reason=reason)] if absent else [])


@pytest.fixture(params=[_parameter(name) for name in BACKENDS])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each back end in turn; the optional ones only where they are installed."""
    return Backend(request.param, BACKENDS[request.param])


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
