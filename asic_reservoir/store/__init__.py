"""The store: every nonce kept, found again at once, whatever is killed.

Two kinds of things are kept, in two ways:

* events (nonces, telemetry, steps, operating points, safety decisions, clock triples): one folder a run, a framed
  write-ahead log while it is written, Parquet segments after that, see :mod:`asic_reservoir.store.events`;
* facts (boards, calibrations, runs, tasks, results, models, keys, claims, the catalogue of segments): SQL, see
  :mod:`asic_reservoir.store.facts`.
"""
