"""``relatum serve`` under load, by wrk on loopback (Debian's package of that name).

python benchmarks/run.py serving --record
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from _harness import Row

ROUNDS = 3
SECONDS = 10
CONNECTIONS = 4
WIDTH, NEW = 384, 512
RATE, SLOWEST = 1_000.0, 10.0
"""Requests a second, and milliseconds that the slowest hundredth of them may take."""
LOAD = """
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
local file = io.open(os.getenv("BODY"))
wrk.body = file:read("*a")
file:close()
done = function(summary, latency, requests)
  local e = summary.errors
  print(string.format("FOUND %d %d %d %d", summary.requests, summary.duration,
    latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
"""


def cases(scale: float) -> Iterator[Row]:
    wrk = shutil.which("wrk")
    if wrk is None:
        sys.exit("serving needs wrk: apt-get install wrk")
    seconds = max(1, round(SECONDS * scale))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "load.lua").write_text(LOAD)
        body = {"vector": np.random.default_rng(0).normal(size=WIDTH).astype(np.float32).tolist()}
        (folder / "body.json").write_text(json.dumps(body))
        with _served(_map(folder)) as url:
            command = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", "load.lua",
                       f"{url}/translate"]  # fmt: skip
            environment = os.environ | {"BODY": "body.json"}
            rates, slowest = [], []
            for _ in range(ROUNDS + 1):
                done = subprocess.run(
                    command, cwd=folder, env=environment, capture_output=True, text=True, check=True
                )
                found = done.stdout.split("FOUND")[1].split()
                requests, microseconds, latency, errors = map(int, found)
                if errors:
                    raise RuntimeError(f"{errors} of {requests} requests failed")
                rates.append(requests / microseconds * 1e6)
                slowest.append(latency / 1e3)
    rates, slowest = rates[1:], slowest[1:]  # the first warms up
    rate, late = statistics.median(rates), statistics.median(slowest)
    case = f"serve: one vector a request, {WIDTH} to {NEW}, {CONNECTIONS} connections"
    yield Row(f"{case}: 1,000 requests/s over ours", "requests a second", RATE / rate,
              RATE / max(rates), RATE / min(rates), 1.0, rate, RATE, "requests/s")  # fmt: skip
    yield Row(f"{case}: slowest hundredth", "10 ms", late / SLOWEST, min(slowest) / SLOWEST,
              max(slowest) / SLOWEST, 1.0, late, SLOWEST, "ms")  # fmt: skip


def _map(folder: Path) -> Path:
    import relatum

    rng = np.random.default_rng(0)
    X = rng.normal(size=(1_000, WIDTH))
    Y = X @ rng.normal(size=(WIDTH, NEW)) / WIDTH**0.5 + 0.1 * rng.normal(size=(1_000, NEW))
    path = folder / "map.safetensors"
    relatum.save(relatum.Translation("ridge").fit(X, Y), path)
    return path


@contextlib.contextmanager
def _served(path: Path) -> Iterator[str]:
    """Run the service in a process of its own; give its address."""
    call = "import sys, relatum.cli; sys.exit(relatum.cli.main())"
    command = [sys.executable, "-c", call, "serve", str(path), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "http://" in line)
        yield "http://" + line.split("http://")[1].split()[0]
    finally:
        process.terminate()
        process.wait(timeout=20)
