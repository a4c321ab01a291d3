module

/-! Lean accepts this; whoever reads the sources must not. The words in this comment, sorry and axiom, are no reason. -/

axiom convenient : ∀ a b : Nat, a = b

theorem absurd_sum : 1 + 1 = 3 := convenient _ _
