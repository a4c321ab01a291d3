module

/-!
# Energy: what an early-abort filter costs, and when it pays

A filter looks at a nonce after `k` of `n` compression rounds and lets it continue with probability `c`.
Of the nonces that are shares it keeps the part `recall`.  Everything is a rational number, as in the Python:
`κ = k / n` is the part that is always paid, `cost κ c = κ + (1 - κ) c` the expected part of the full work,
`gain = recall / cost` the hits per joule relative to no filter.
-/

@[expose] public noncomputable section

namespace Energy

/-- Expected rounds a nonce: `k` always, the other `n - k` only when it continues. -/
def expectedRounds (n k : Nat) (c : Rat) : Rat := k + (n - k) * c

/-- The part of the rounds that is not computed. -/
def savings (n k : Nat) (c : Rat) : Rat := 1 - expectedRounds n k c / n

/-- Expected work a nonce, as a part of the full work. -/
def cost (κ c : Rat) : Rat := κ + (1 - κ) * c

/-- Hits per joule with the filter over hits per joule without it. -/
def gain (recall κ c : Rat) : Rat := recall / cost κ c

/-- Rounds per found share with the filter over rounds per found share without it. -/
def roundsPerHit (recall κ c : Rat) : Rat := cost κ c / recall

theorem div_le_iff {a b c : Rat} (hc : 0 < c) : a / c ≤ b ↔ a ≤ b * c := by
  have h := Rat.lt_div_iff (a := b) (b := a) hc
  rw [← Rat.not_lt, ← Rat.not_lt (a := b * c), h]

/-- Expected rounds over `n` are the cost at `κ = k / n`. -/
theorem expectedRounds_div (n k : Nat) (c : Rat) (hn : 0 < n) :
    expectedRounds n k c / n = cost (k / n) c := by
  have h : (n : Rat) ≠ 0 := by
    have := Rat.natCast_pos.mpr hn
    grind
  unfold expectedRounds cost
  grind

/-- Savings never exceed `1 - k/n`, whatever the filter does. -/
theorem savings_le (n k : Nat) (c : Rat) (hn : 0 < n) (hk : k ≤ n) (hc : 0 ≤ c) :
    savings n k c ≤ 1 - (k : Rat) / n := by
  have hn' : (0 : Rat) < n := Rat.natCast_pos.mpr hn
  have hk' : (k : Rat) ≤ n := Rat.natCast_le_natCast.mpr hk
  have hp : (0 : Rat) ≤ (n - k) * c := Rat.mul_nonneg (by grind) hc
  have hd : (0 : Rat) ≤ (n - k) * c / n := by
    rw [← Rat.not_lt, Rat.div_lt_iff hn']
    grind
  unfold savings expectedRounds
  grind

/-- The bound `1 - k/n` is reached exactly when no nonce continues. -/
theorem savings_eq_iff (n k : Nat) (c : Rat) (hk : k < n) :
    savings n k c = 1 - (k : Rat) / n ↔ c = 0 := by
  have hn' : (0 : Rat) < n := Rat.natCast_pos.mpr (by omega)
  have hk' : (k : Rat) < n := Rat.natCast_lt_natCast.mpr hk
  constructor
  · intro h
    have h1 : (n - k) * c = 0 := by
      unfold savings expectedRounds at h
      grind
    rcases Rat.mul_eq_zero.mp h1 with h2 | h2
    · grind
    · exact h2
  · intro h
    subst h
    unfold savings expectedRounds
    grind

/-- The published 92.19 %: 59/64, and only if nothing continues (so nothing is found). -/
theorem savings_published : savings 64 5 0 = 59 / 64 := by decide +kernel

/-- Cost of a filter is at least `κ` and positive once `κ` or `c` is. -/
theorem cost_pos (κ c : Rat) (h0 : 0 ≤ κ) (h1 : κ ≤ 1) (hc : 0 < c) : 0 < cost κ c := by
  have hp : 0 ≤ (1 - κ) * c := Rat.mul_nonneg (by grind) (by grind)
  unfold cost
  by_cases h : κ = 0
  · subst h; grind
  · grind

/-- **No free lunch.**  A filter without information lets shares through at the rate of everything else,
`recall = c`, and then its gain is at most 1. -/
theorem no_free_lunch (κ c : Rat) (h0 : 0 ≤ κ) (h1 : κ ≤ 1) (hc : 0 < c) (hc1 : c ≤ 1) :
    gain c κ c ≤ 1 := by
  have hp := cost_pos κ c h0 h1 hc
  rw [gain, div_le_iff hp]
  have : 0 ≤ κ * (1 - c) := Rat.mul_nonneg h0 (by grind)
  unfold cost
  grind

/-- Equality case: such a filter costs nothing only if it filters nothing (`c = 1`) or looks at nothing (`κ = 0`). -/
theorem no_free_lunch_eq_iff (κ c : Rat) (h0 : 0 ≤ κ) (h1 : κ ≤ 1) (hc : 0 < c) :
    gain c κ c = 1 ↔ c = 1 ∨ κ = 0 := by
  have hp := cost_pos κ c h0 h1 hc
  have key : gain c κ c = 1 ↔ κ * (1 - c) = 0 := by
    unfold gain
    constructor
    · intro h
      have : c = cost κ c := by grind
      unfold cost at this
      grind
    · intro h
      have : cost κ c = c := by unfold cost; grind
      rw [this]
      grind
  rw [key, Rat.mul_eq_zero]
  constructor
  · rintro (h | h)
    · exact .inr h
    · exact .inl (by grind)
  · rintro (h | h)
    · exact .inr (by grind)
    · exact .inl h

/-- **Break-even.**  A filter pays exactly when its recall exceeds its cost. -/
theorem gain_gt_one_iff (recall κ c : Rat) (h0 : 0 ≤ κ) (h1 : κ ≤ 1) (hc : 0 < c) :
    1 < gain recall κ c ↔ cost κ c < recall := by
  have hp := cost_pos κ c h0 h1 hc
  rw [gain, Rat.lt_div_iff hp]
  grind

/-- Gain and rounds per hit are two readings of one number. -/
theorem gain_mul_roundsPerHit (recall κ c : Rat) (hr : 0 < recall) (hp : 0 < cost κ c) :
    gain recall κ c * roundsPerHit recall κ c = 1 := by
  unfold gain roundsPerHit
  grind

/-- The true upper bound.  Shares make up the part `π` of the nonces and those that are kept continue, so
`recall * π ≤ c`; then no filter gains more than `1 / cost κ π`. -/
theorem gain_le (recall κ c π : Rat) (h0 : 0 ≤ κ) (h1 : κ ≤ 1) (hπ : 0 < π) (hr : recall ≤ 1)
    (hc : 0 < c) (hrc : recall * π ≤ c) : gain recall κ c ≤ 1 / cost κ π := by
  have hp := cost_pos κ c h0 h1 hc
  have hq := cost_pos κ π h0 h1 hπ
  have h2 : recall * cost κ π ≤ cost κ c := by
    have ha : 0 ≤ κ * (1 - recall) := Rat.mul_nonneg h0 (by grind)
    have hb : 0 ≤ (1 - κ) * (c - recall * π) := Rat.mul_nonneg (by grind) (by grind)
    unfold cost
    grind
  rw [gain, div_le_iff hp, ← Rat.not_lt]
  intro h3
  have h4 : 1 / cost κ π * cost κ c * cost κ π < recall * cost κ π :=
    Rat.mul_lt_mul_of_pos_right h3 hq
  have h5 : 1 / cost κ π * cost κ c * cost κ π = cost κ c := by grind
  grind

/-- The upper bound is reached by the filter that keeps every share and nothing else. -/
theorem gain_perfect (κ π : Rat) : gain 1 κ π = 1 / cost κ π := rfl

/-- What a filter did to a set of nonces, as counts: shares kept and lost, others kept and dropped. -/
structure Counts where
  keptShares : Nat
  lostShares : Nat
  keptOthers : Nat
  droppedOthers : Nat

namespace Counts

def total (t : Counts) : Nat := t.keptShares + t.lostShares + t.keptOthers + t.droppedOthers

/-- Part of the shares that the filter kept. -/
def recall (t : Counts) : Rat := (t.keptShares : Rat) / (t.keptShares + t.lostShares)

/-- Part of all nonces that continued. -/
def keepRate (t : Counts) : Rat := ((t.keptShares : Rat) + t.keptOthers) / t.total

/-- The verdict of the filter is independent of being a share, in the table as counted. -/
def Independent (t : Counts) : Prop :=
  t.keptShares * t.total = (t.keptShares + t.lostShares) * (t.keptShares + t.keptOthers)

instance (t : Counts) : Decidable t.Independent := by unfold Independent; infer_instance

/-- Independent in the table: recall is the keep rate. -/
theorem recall_eq_keepRate (t : Counts) (h : t.Independent) (hs : 0 < t.keptShares + t.lostShares) :
    t.recall = t.keepRate := by
  have hs' : (0 : Rat) < t.keptShares + t.lostShares := by
    have := Rat.natCast_pos.mpr hs
    rwa [Rat.natCast_add] at this
  have ht : (0 : Rat) < t.total := Rat.natCast_pos.mpr (by unfold total; omega)
  have h' : (t.keptShares : Rat) * t.total =
      (t.keptShares + t.lostShares) * (t.keptShares + t.keptOthers) := by
    have := congrArg (fun x : Nat => (x : Rat)) h
    simpa [Rat.natCast_add, Rat.natCast_mul] using this
  unfold recall keepRate
  grind

/-- **A filter that pays has information**: gain above 1 refutes independence. -/
theorem dependent_of_gain (t : Counts) (κ : Rat) (h0 : 0 ≤ κ) (h1 : κ ≤ 1)
    (hs : 0 < t.keptShares + t.lostShares) (hk : 0 < t.keptShares + t.keptOthers)
    (hg : 1 < gain t.recall κ t.keepRate) : ¬ t.Independent := by
  intro hi
  have hpos : 0 < t.keepRate := by
    have hk' : (0 : Rat) < t.keptShares + t.keptOthers := by
      have := Rat.natCast_pos.mpr hk
      rwa [Rat.natCast_add] at this
    have ht : (0 : Rat) < t.total := Rat.natCast_pos.mpr (by unfold total; omega)
    unfold keepRate
    rw [Rat.lt_div_iff ht]
    grind
  have hle : t.keepRate ≤ 1 := by
    have ht : (0 : Rat) < t.total := Rat.natCast_pos.mpr (by unfold total; omega)
    unfold keepRate
    rw [div_le_iff ht]
    have : t.keptShares + t.keptOthers ≤ t.total := by unfold total; omega
    have := Rat.natCast_le_natCast.mpr this
    rw [Rat.natCast_add] at this
    grind
  rw [recall_eq_keepRate t hi hs] at hg
  have := no_free_lunch κ t.keepRate h0 h1 hpos hle
  grind

end Counts

/-! The hypotheses can be met, and the figures of the report are exact. -/

example : gain (1 / 20) (5 / 64) (1 / 20) ≤ 1 :=
  no_free_lunch _ _ (by decide +kernel) (by decide +kernel) (by decide +kernel) (by decide +kernel)

example : [1, 1/2, 1/4, 1/10, 1/20, 1/100].map (fun c : Rat => roundsPerHit c (5/64) c)
    = [1, 1.078125, 1.234375, 1.703125, 2.484375, 8.734375] := by decide +kernel

/-- Break-even recall of the published filter at keep rates 5 % and 10 %. -/
theorem break_even_published : cost (5/64) (1/20) = 0.12421875 ∧ cost (5/64) (1/10) = 0.1703125 := by decide +kernel

/-- A filter with information pays: 9 of 10 shares kept at a keep rate of 109/1000. -/
example : 1 < gain (Counts.recall ⟨9, 1, 100, 890⟩) (5/64) (Counts.keepRate ⟨9, 1, 100, 890⟩) := by decide +kernel

example : ¬ Counts.Independent ⟨9, 1, 100, 890⟩ :=
  Counts.dependent_of_gain _ (5/64) (by decide +kernel) (by decide +kernel) (by decide) (by decide) (by decide +kernel)

example : Counts.recall ⟨1, 9, 10, 90⟩ = Counts.keepRate ⟨1, 9, 10, 90⟩ :=
  Counts.recall_eq_keepRate _ (by decide) (by decide)

end Energy
