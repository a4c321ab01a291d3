module

public import AsicReservoir.Distribution

/-!
# Leakage: how far a joint distribution is from independence

Core Lean has no real numbers, hence no logarithm.  So leakage is taken as an f-divergence between the joint
distribution and the product of its marginals, for *every* `f` with `f 1 = 0` (mutual information is `f t = t log t`),
and as total variation, where zero leakage and independence are equivalent.
-/

@[expose] public noncomputable section

namespace Leakage

open Distribution

def abs (x : Rat) : Rat := if x < 0 then -x else x

theorem abs_nonneg (x : Rat) : 0 ≤ abs x := by unfold abs; split <;> grind

theorem le_abs (x : Rat) : x ≤ abs x := by unfold abs; split <;> grind

theorem neg_le_abs (x : Rat) : -x ≤ abs x := by unfold abs; split <;> grind

theorem abs_eq_zero {x : Rat} : abs x = 0 ↔ x = 0 := by unfold abs; split <;> grind

theorem abs_add (x y : Rat) : abs (x + y) ≤ abs x + abs y := by unfold abs; split <;> split <;> split <;> grind

theorem abs_sum (n : Nat) (f : Nat → Rat) : abs (sum n f) ≤ sum n (fun i => abs (f i)) := by
  induction n with
  | zero => simp [sum, abs]; exact Rat.le_refl
  | succ n ih =>
    rw [sum, sum]
    have := abs_add (sum n f) (f n)
    grind

variable {m n : Nat} (J : Joint m n)

/-- Where the product of the marginals vanishes, so does the joint mass. -/
theorem mass_eq_zero {i j : Nat} (hi : i < m) (hj : j < n) (h : J.row i * J.col j = 0) : J.mass i j = 0 := by
  rcases Rat.mul_eq_zero.mp h with h | h
  · exact eq_zero_of_sum (fun j hj => J.nonneg i hi j hj) h hj
  · exact eq_zero_of_sum (f := fun i => J.mass i j) (fun i hi => J.nonneg i hi j hj) h hi

/-- Leakage as an f-divergence: `Σ q f (p / q)`, `p` the joint mass and `q` the product of the marginals. -/
def divergence (f : Rat → Rat) : Rat :=
  sum m fun i => sum n fun j => J.row i * J.col j * f (J.mass i j / (J.row i * J.col j))

/-- **Independent ⇒ no leakage**, whatever divergence measures it. -/
theorem divergence_eq_zero (f : Rat → Rat) (hf : f 1 = 0) (h : J.Independent) : divergence J f = 0 := by
  have : ∀ i, i < m → sum n (fun j => J.row i * J.col j * f (J.mass i j / (J.row i * J.col j))) = 0 := by
    intro i hi
    rw [← sum_zero n]
    refine sum_congr fun j hj => ?_
    rw [h i hi j hj]
    by_cases hq : J.row i * J.col j = 0
    · rw [hq]; grind
    · have : J.row i * J.col j / (J.row i * J.col j) = 1 := by grind
      rw [this, hf]; grind
  rw [divergence, sum_congr this, sum_zero]

/-- Joint mass and product of marginals have the same total. -/
theorem sum_difference : (sum m fun i => sum n fun j => J.mass i j - J.row i * J.col j) = 0 := by
  have h := J.product.total
  have h2 := J.total
  have : (sum m fun i => sum n fun j => J.mass i j - J.row i * J.col j)
      = sum m (fun i => sum n (fun j => J.mass i j) - sum n (fun j => J.row i * J.col j)) :=
    sum_congr fun i _ => sum_sub n _ _
  rw [this, sum_sub, h2]
  have h3 : sum m (fun i => sum n (fun j => J.row i * J.col j)) = 1 := h
  rw [h3]; decide +kernel

/-- Every term of the divergence lies above its tangent. -/
theorem term_nonneg (f : Rat → Rat) (s : Rat) (hf : ∀ t, 0 ≤ t → s * (t - 1) ≤ f t) {i j : Nat} (hi : i < m) (hj : j < n) :
    0 ≤ J.row i * J.col j * f (J.mass i j / (J.row i * J.col j)) - s * (J.mass i j - J.row i * J.col j) := by
  have hq : 0 ≤ J.row i * J.col j := Rat.mul_nonneg (J.row_nonneg hi) (J.col_nonneg hj)
  by_cases h0 : J.row i * J.col j = 0
  · have := mass_eq_zero J hi hj h0
    rw [h0, this]; grind
  · have hp := J.nonneg i hi j hj
    have hq' : 0 < J.row i * J.col j := by grind
    have ht : 0 ≤ J.mass i j / (J.row i * J.col j) := by
      rw [← Rat.not_lt, Rat.div_lt_iff hq']; grind
    have h1 := Rat.mul_le_mul_of_nonneg_left (hf _ ht) hq
    have h2 : J.row i * J.col j * (s * (J.mass i j / (J.row i * J.col j) - 1))
        = s * (J.mass i j - J.row i * J.col j) := by grind
    rw [h2] at h1
    grind

theorem divergence_eq (f : Rat → Rat) (s : Rat) : divergence J f =
    sum m fun i => sum n fun j =>
      J.row i * J.col j * f (J.mass i j / (J.row i * J.col j)) - s * (J.mass i j - J.row i * J.col j) := by
  have h0 := sum_difference J
  have h1 : (sum m fun i => sum n fun j => s * (J.mass i j - J.row i * J.col j)) = 0 := by
    have : (sum m fun i => sum n fun j => s * (J.mass i j - J.row i * J.col j))
        = sum m (fun i => s * sum n fun j => J.mass i j - J.row i * J.col j) := sum_congr fun i _ => mul_sum n s _
    rw [this, mul_sum, h0]; grind
  have h2 : ∀ i, i < m → (sum n fun j =>
      J.row i * J.col j * f (J.mass i j / (J.row i * J.col j)) - s * (J.mass i j - J.row i * J.col j))
      = (sum n fun j => J.row i * J.col j * f (J.mass i j / (J.row i * J.col j)))
        - sum n fun j => s * (J.mass i j - J.row i * J.col j) := fun i _ => sum_sub n _ _
  rw [sum_congr h2, sum_sub, h1, divergence]
  grind

/-- Leakage is never negative, for any `f` with a tangent at 1 (every convex `f` has one). -/
theorem divergence_nonneg (f : Rat → Rat) (s : Rat) (hf : ∀ t, 0 ≤ t → s * (t - 1) ≤ f t) : 0 ≤ divergence J f := by
  rw [divergence_eq J f s]
  exact sum_nonneg fun i hi => sum_nonneg fun j hj => term_nonneg J f s hf hi hj

/-- **Zero leakage ⇔ independent**, for every `f` that touches its tangent at 1 only there. -/
theorem divergence_eq_zero_iff (f : Rat → Rat) (s : Rat) (h1 : f 1 = 0)
    (hf : ∀ t, 0 ≤ t → t ≠ 1 → s * (t - 1) < f t) : divergence J f = 0 ↔ J.Independent := by
  constructor
  · intro h i hi j hj
    have hf' : ∀ t, 0 ≤ t → s * (t - 1) ≤ f t := by
      intro t ht
      by_cases e : t = 1
      · subst e; rw [h1]; grind
      · have := hf t ht e; grind
    rw [divergence_eq J f s] at h
    have hr := eq_zero_of_sum (fun i hi => sum_nonneg fun j hj => term_nonneg J f s hf' hi hj) h hi
    have ht := eq_zero_of_sum (fun j hj => term_nonneg J f s hf' hi hj) hr hj
    have hq : 0 ≤ J.row i * J.col j := Rat.mul_nonneg (J.row_nonneg hi) (J.col_nonneg hj)
    by_cases h0 : J.row i * J.col j = 0
    · rw [h0]; exact mass_eq_zero J hi hj h0
    · have hq' : 0 < J.row i * J.col j := by grind
      have hp := J.nonneg i hi j hj
      by_cases e : J.mass i j / (J.row i * J.col j) = 1
      · grind
      · have hnn : 0 ≤ J.mass i j / (J.row i * J.col j) := by
          rw [← Rat.not_lt, Rat.div_lt_iff hq']; grind
        have hlt := Rat.mul_lt_mul_of_pos_left (hf _ hnn e) hq'
        have h2 : J.row i * J.col j * (s * (J.mass i j / (J.row i * J.col j) - 1))
            = s * (J.mass i j - J.row i * J.col j) := by grind
        rw [h2] at hlt
        grind
  · exact divergence_eq_zero J f h1

/-- Leakage as total variation: half the summed distance between joint mass and product of marginals. -/
def totalVariation : Rat := (1 / 2) * sum m fun i => sum n fun j => abs (J.mass i j - J.row i * J.col j)

theorem totalVariation_nonneg : 0 ≤ totalVariation J :=
  Rat.mul_nonneg (by decide +kernel) (sum_nonneg fun _ _ => sum_nonneg fun _ _ => abs_nonneg _)

/-- **Total-variation leakage is zero exactly when state and observation are independent.** -/
theorem totalVariation_eq_zero_iff : totalVariation J = 0 ↔ J.Independent := by
  constructor
  · intro h i hi j hj
    have h0 : (sum m fun i => sum n fun j => abs (J.mass i j - J.row i * J.col j)) = 0 := by
      unfold totalVariation at h; grind
    have hr := eq_zero_of_sum (fun i _ => sum_nonneg fun j _ => abs_nonneg _) h0 hi
    have ht := eq_zero_of_sum (fun j _ => abs_nonneg _) hr hj
    have := abs_eq_zero.mp ht
    grind
  · intro h
    have : ∀ i, i < m → (sum n fun j => abs (J.mass i j - J.row i * J.col j)) = 0 := fun i hi => by
      rw [← sum_zero n]
      exact sum_congr fun j hj => by rw [h i hi j hj]; exact abs_eq_zero.mpr (by grind)
    rw [totalVariation, sum_congr this, sum_zero]; decide +kernel

/-- The joint distribution after a deterministic map of the observation (a coarser bin, a feature, a word of the state). -/
def map (g : Nat → Nat) (n' : Nat) (hg : ∀ j, j < n → g j < n') : Joint m n' where
  mass i b := sum n fun j => if g j = b then J.mass i j else 0
  nonneg i hi b _ := sum_nonneg fun j hj => by
    have := J.nonneg i hi j hj
    split
    · exact this
    · exact Rat.le_refl
  total := by
    rw [← J.total]
    refine sum_congr fun i _ => ?_
    rw [sum_swap]
    refine sum_congr fun j hj => ?_
    rw [sum_ite, if_pos (hg j hj)]

variable (g : Nat → Nat) (n' : Nat) (hg : ∀ j, j < n → g j < n')

theorem map_row (i : Nat) : (map J g n' hg).row i = J.row i := by
  show sum n' (fun b => sum n fun j => if g j = b then J.mass i j else 0) = sum n fun j => J.mass i j
  rw [sum_swap]
  exact sum_congr fun j hj => by rw [sum_ite, if_pos (hg j hj)]

theorem map_col (b : Nat) : (map J g n' hg).col b = sum n fun j => if g j = b then J.col j else 0 := by
  show sum m (fun i => sum n fun j => if g j = b then J.mass i j else 0) = _
  rw [sum_swap]
  refine sum_congr fun j _ => ?_
  by_cases h : g j = b
  · simp only [h, ite_true]; rfl
  · simp only [h, ite_false, sum_zero]

/-- **Data processing**: no deterministic map of the observation increases the leakage. -/
theorem totalVariation_map_le : totalVariation (map J g n' hg) ≤ totalVariation J := by
  unfold totalVariation
  refine Rat.mul_le_mul_of_nonneg_left (sum_le fun i _ => ?_) (by decide +kernel)
  have h1 : ∀ b, (map J g n' hg).mass i b - (map J g n' hg).row i * (map J g n' hg).col b
      = sum n fun j => if g j = b then J.mass i j - J.row i * J.col j else 0 := by
    intro b
    rw [map_row, map_col, ← mul_sum]
    show (sum n fun j => if g j = b then J.mass i j else 0) - _ = _
    rw [← sum_sub]
    refine sum_congr fun j _ => ?_
    split <;> grind
  have h2 : ∀ b, b < n' → abs ((map J g n' hg).mass i b - (map J g n' hg).row i * (map J g n' hg).col b)
      ≤ sum n fun j => if g j = b then abs (J.mass i j - J.row i * J.col j) else 0 := by
    intro b _
    rw [h1]
    have h3 := abs_sum n fun j => if g j = b then J.mass i j - J.row i * J.col j else 0
    have h4 : (sum n fun j => abs (if g j = b then J.mass i j - J.row i * J.col j else 0))
        = sum n fun j => if g j = b then abs (J.mass i j - J.row i * J.col j) else 0 :=
      sum_congr fun j _ => by
        split
        · rfl
        · exact abs_eq_zero.mpr rfl
    rwa [h4] at h3
  have h5 := sum_le h2
  rw [sum_swap] at h5
  have h6 : (sum n fun j => sum n' fun b => if g j = b then abs (J.mass i j - J.row i * J.col j) else 0)
      = sum n fun j => abs (J.mass i j - J.row i * J.col j) :=
    sum_congr fun j hj => by rw [sum_ite, if_pos (hg j hj)]
  rwa [h6] at h5

/-! Inhabited: the chi-square divergence meets the strict tangent condition, and both kinds of table exist. -/

theorem chiSquare_tangent (t : Rat) (_ : 0 ≤ t) (h : t ≠ 1) : 0 * (t - 1) < (t - 1) * (t - 1) := by
  by_cases h1 : t < 1
  · have := Rat.mul_pos (a := 1 - t) (b := 1 - t) (by grind) (by grind); grind
  · have := Rat.mul_pos (a := t - 1) (b := t - 1) (by grind) (by grind); grind

example : divergence independentTable (fun t => (t - 1) * (t - 1)) = 0 :=
  (divergence_eq_zero_iff independentTable _ 0 (by decide +kernel) chiSquare_tangent).mpr (by
    unfold Joint.Independent; decide +kernel)

example : totalVariation dependentTable = 3 / 10 := by decide +kernel

example : totalVariation (map dependentTable (fun _ => 0) 1 (by decide)) = 0 := by decide +kernel

example : ¬ dependentTable.Independent := by
  rw [← totalVariation_eq_zero_iff]; decide +kernel

end Leakage
