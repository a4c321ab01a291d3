"""Trials of published claims on a board: each collects, judges with its controls, and gives a verdict.

* :mod:`.rhythm`: are arrivals those of independent events, is there a rhythm in them?
* :mod:`.regimes`: do voltage, clock and difficulty take the gaps through regimes?
* :mod:`.transition`: is the loss of right nonces at low voltage a change of phase?
* :mod:`.diffusion`: does the Hamming distance of consecutive hashes tell how good a board is?
* :mod:`.universality`: does what was found on one family of boards hold on the others?

Every module keeps collecting and judging apart: ``collect…`` drives a board, ``judge…`` is arithmetic on what it
answered. The rules are constants of the modules, fixed before anything is looked at.
"""

from asic_reservoir.claim_trials.trial import Effect, Finding, label_of

__all__ = ["Effect", "Finding", "label_of"]
