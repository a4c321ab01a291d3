module

public import AsicReservoir.Energy

/-! Must be refused: an uninformative filter would gain. -/

theorem free_lunch : 1 < Energy.gain (1 / 20) (5 / 64) (1 / 20) := by decide +kernel
