"""Moving a vector store to a new encoder without embedding it again.

Plan, run, verify, switch, and roll back: what ``relatum migrate`` does, from Python.
"""

from relatum.migration.filling import Filled, Held, check, fill, row_sums, write_native
from relatum.migration.plan import EncoderPart, MigrationPlan, StorePart, read_plan, write_plan
from relatum.migration.planning import make_plan
from relatum.migration.steps import GateError, Ran, backfill, rollback, run, status, switch
from relatum.migration.verification import Verified, verify

__all__ = [
    "EncoderPart", "Filled", "GateError", "Held", "MigrationPlan", "Ran", "StorePart", "Verified",
    "backfill", "check", "fill", "make_plan", "read_plan", "rollback", "row_sums", "run", "status",
    "switch", "verify", "write_native", "write_plan",
]  # fmt: skip
