"""The proofs, and what checks them: ``python3 -m lean.check``. Needs nothing but the standard library."""
