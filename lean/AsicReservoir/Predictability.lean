module

public import AsicReservoir.Distribution
public import AsicReservoir.Leakage

/-!
# Predictability: what an accuracy above the baseline shows

A predictor maps the observation `j` to a guess `h j` of the state.  Its accuracy is the mass on which it is right;
the baseline is the largest marginal mass, which is what the best constant guess reaches.
-/

@[expose] public noncomputable section

namespace Predictability

open Distribution Leakage

/-- The largest of `f 0 … f (n - 1)`, and 0 if there is none that is positive. -/
def maxTo : Nat → (Nat → Rat) → Rat
  | 0, _ => 0
  | n + 1, f => if maxTo n f < f n then f n else maxTo n f

theorem le_maxTo {n : Nat} {f : Nat → Rat} {i : Nat} (hi : i < n) : f i ≤ maxTo n f := by
  induction n with
  | zero => omega
  | succ n ih =>
    rw [maxTo]
    by_cases e : i = n
    · subst e; split <;> grind
    · have := ih (by omega)
      split <;> grind

theorem maxTo_nonneg (n : Nat) (f : Nat → Rat) : 0 ≤ maxTo n f := by
  induction n with
  | zero => exact Rat.le_refl
  | succ n ih => rw [maxTo]; split <;> grind

theorem maxTo_attained {n : Nat} {f : Nat → Rat} (h : 0 < maxTo n f) : ∃ i, i < n ∧ maxTo n f = f i := by
  induction n with
  | zero => exact absurd h (by simp [maxTo])
  | succ n ih =>
    rw [maxTo] at h ⊢
    split at h
    · rename_i hlt
      exact ⟨n, by omega, by rw [if_pos hlt]⟩
    · rename_i hlt
      obtain ⟨i, hi, he⟩ := ih h
      exact ⟨i, by omega, by rw [if_neg hlt]; exact he⟩

variable {m n : Nat} (J : Joint m n)

/-- Mass on which the predictor `h` names the state. -/
def accuracy (h : Nat → Nat) : Rat := sum n fun j => J.mass (h j) j

/-- The largest marginal mass of a state. -/
def baseline : Rat := maxTo m J.row

/-- A constant guess is right as often as its state occurs. -/
theorem accuracy_const (i : Nat) : accuracy J (fun _ => i) = J.row i := rfl

theorem baseline_pos : 0 < baseline J := by
  have h0 : 0 ≤ baseline J := maxTo_nonneg m J.row
  have h1 : baseline J ≠ 0 := by
    intro e
    have hle : ∀ i, i < m → J.row i ≤ 0 := fun i hi => by
      have := le_maxTo (f := J.row) hi
      unfold baseline at e; grind
    have h2 := sum_le (g := fun _ => 0) hle
    have h3 := J.row_sum
    rw [h3, sum_zero] at h2
    exact absurd h2 (by decide +kernel)
  grind

/-- **Equality case**: the best constant guess reaches the baseline. -/
theorem baseline_attained : ∃ i, i < m ∧ accuracy J (fun _ => i) = baseline J := by
  obtain ⟨i, hi, he⟩ := maxTo_attained (baseline_pos J)
  exact ⟨i, hi, he.symm⟩

/-- **Under independence no predictor beats the best constant guess.** -/
theorem accuracy_le_baseline (hi : J.Independent) (h : Nat → Nat) (hh : ∀ j, j < n → h j < m) :
    accuracy J h ≤ baseline J := by
  have h1 : ∀ j, j < n → J.mass (h j) j ≤ baseline J * J.col j := fun j hj => by
    rw [hi (h j) (hh j hj) j hj]
    exact Rat.mul_le_mul_of_nonneg_right (le_maxTo (hh j hj)) (J.col_nonneg hj)
  have h2 := sum_le h1
  rw [mul_sum, J.col_sum] at h2
  unfold accuracy
  grind

/-- **A predictor that beats the baseline shows dependence.** -/
theorem dependent_of_accuracy (h : Nat → Nat) (hh : ∀ j, j < n → h j < m) (hb : baseline J < accuracy J h) :
    ¬ J.Independent := fun hi => by
  have := accuracy_le_baseline J hi h hh
  grind

/-- The difference of joint mass and product of marginals on any event is at most the total variation. -/
theorem prob_sub_le (E : Nat → Nat → Bool) : J.prob E - J.product.prob E ≤ totalVariation J := by
  have hd := sum_difference J
  have ha : ∀ i, i < m → sum n (fun j => if E i j then J.mass i j else 0)
      - sum n (fun j => if E i j then J.row i * J.col j else 0)
      ≤ (1 / 2) * sum n (fun j => abs (J.mass i j - J.row i * J.col j))
        + (1 / 2) * sum n (fun j => J.mass i j - J.row i * J.col j) := by
    intro i _
    rw [← sum_sub, ← mul_sum, ← mul_sum, ← sum_add]
    refine sum_le fun j _ => ?_
    have h1 := le_abs (J.mass i j - J.row i * J.col j)
    have h2 := neg_le_abs (J.mass i j - J.row i * J.col j)
    split <;> grind
  have hs := sum_le ha
  rw [sum_sub, sum_add, mul_sum, mul_sum, hd] at hs
  have e1 : J.prob E = sum m fun i => sum n fun j => if E i j then J.mass i j else 0 := rfl
  have e2 : J.product.prob E = sum m fun i => sum n fun j => if E i j then J.row i * J.col j else 0 := rfl
  rw [e1, e2]
  unfold totalVariation
  grind

theorem accuracy_eq_prob (h : Nat → Nat) (hh : ∀ j, j < n → h j < m) :
    accuracy J h = J.prob fun i j => decide (h j = i) := by
  unfold accuracy Joint.prob
  rw [sum_swap]
  refine sum_congr fun j hj => ?_
  have : (sum m fun i => if (decide (h j = i)) = true then J.mass i j else 0)
      = sum m fun i => if h j = i then J.mass (h j) j else 0 :=
    sum_congr fun i _ => by
      by_cases e : h j = i
      · subst e; simp
      · simp [e]
  rw [this, sum_ite, if_pos (hh j hj)]

/-- **What an accuracy is worth**: the advantage over the baseline is a lower bound of the leakage. -/
theorem accuracy_sub_baseline_le (h : Nat → Nat) (hh : ∀ j, j < n → h j < m) :
    accuracy J h - baseline J ≤ totalVariation J := by
  have h1 := prob_sub_le J fun i j => decide (h j = i)
  rw [← accuracy_eq_prob J h hh] at h1
  have h2 : J.product.prob (fun i j => decide (h j = i)) ≤ baseline J := by
    have e : J.product.prob (fun i j => decide (h j = i)) = sum n fun j => J.row (h j) * J.col j := by
      have e1 : J.product.prob (fun i j => decide (h j = i))
          = sum m fun i => sum n fun j => if (decide (h j = i)) = true then J.row i * J.col j else 0 := rfl
      rw [e1, sum_swap]
      refine sum_congr fun j hj => ?_
      have : (sum m fun i => if (decide (h j = i)) = true then J.row i * J.col j else 0)
          = sum m fun i => if h j = i then J.row (h j) * J.col j else 0 :=
        sum_congr fun i _ => by
          by_cases e : h j = i
          · subst e; simp
          · simp [e]
      rw [this, sum_ite, if_pos (hh j hj)]
    have h3 : ∀ j, j < n → J.row (h j) * J.col j ≤ baseline J * J.col j := fun j hj =>
      Rat.mul_le_mul_of_nonneg_right (le_maxTo (hh j hj)) (J.col_nonneg hj)
    have h4 := sum_le h3
    rw [mul_sum, J.col_sum] at h4
    rw [e]; grind
  grind

/-! Inhabited. -/

example : accuracy independentTable (fun _ => 1) ≤ baseline independentTable :=
  accuracy_le_baseline independentTable (by unfold Joint.Independent; decide +kernel) _ (by decide)

example : ¬ dependentTable.Independent :=
  dependent_of_accuracy dependentTable (fun j => j) (by decide) (by decide +kernel)

example : accuracy dependentTable (fun j => j) = 4 / 5 ∧ baseline dependentTable = 1 / 2 := by decide +kernel

/-- The bound is sharp: here the advantage is the leakage. -/
example : accuracy dependentTable (fun j => j) - baseline dependentTable = totalVariation dependentTable := by
  decide +kernel

end Predictability
