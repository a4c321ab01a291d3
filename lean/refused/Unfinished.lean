module

/-! Must be refused: a proof with a hole. -/

theorem unfinished (a b : Nat) : a + b = b + a := by sorry
