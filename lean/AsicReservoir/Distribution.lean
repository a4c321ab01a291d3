module

/-!
# Distribution: finite joint distributions with rational weights

The table that the leakage estimator builds: `m` states (rows) by `n` observations (columns), every mass a rational
number.  A table of counts becomes such a distribution by dividing by its total (`Joint.ofCounts`).
-/

@[expose] public noncomputable section

namespace Distribution

/-- `sum n f = f 0 + … + f (n - 1)`. -/
def sum : Nat → (Nat → Rat) → Rat
  | 0, _ => 0
  | n + 1, f => sum n f + f n

theorem sum_congr {n : Nat} {f g : Nat → Rat} (h : ∀ i, i < n → f i = g i) : sum n f = sum n g := by
  induction n with
  | zero => rfl
  | succ n ih => rw [sum, sum, ih (fun i hi => h i (by omega)), h n (by omega)]

theorem sum_add (n : Nat) (f g : Nat → Rat) : sum n (fun i => f i + g i) = sum n f + sum n g := by
  induction n with
  | zero => simp [sum]; grind
  | succ n ih => rw [sum, sum, sum, ih]; grind

theorem sum_sub (n : Nat) (f g : Nat → Rat) : sum n (fun i => f i - g i) = sum n f - sum n g := by
  induction n with
  | zero => simp [sum]; grind
  | succ n ih => rw [sum, sum, sum, ih]; grind

theorem mul_sum (n : Nat) (c : Rat) (f : Nat → Rat) : sum n (fun i => c * f i) = c * sum n f := by
  induction n with
  | zero => simp [sum]
  | succ n ih => rw [sum, sum, ih]; grind

theorem sum_mul (n : Nat) (c : Rat) (f : Nat → Rat) : sum n (fun i => f i * c) = sum n f * c := by
  induction n with
  | zero => simp [sum]
  | succ n ih => rw [sum, sum, ih]; grind

theorem sum_zero (n : Nat) : sum n (fun _ => 0) = 0 := by
  induction n with
  | zero => rfl
  | succ n ih => rw [sum, ih]; decide +kernel

theorem sum_le {n : Nat} {f g : Nat → Rat} (h : ∀ i, i < n → f i ≤ g i) : sum n f ≤ sum n g := by
  induction n with
  | zero => exact Rat.le_refl
  | succ n ih =>
    have h1 := ih (fun i hi => h i (by omega))
    have h2 := h n (by omega)
    rw [sum, sum]; grind

theorem sum_nonneg {n : Nat} {f : Nat → Rat} (h : ∀ i, i < n → 0 ≤ f i) : 0 ≤ sum n f := by
  have := sum_le (n := n) (f := fun _ => 0) h
  rwa [sum_zero] at this

/-- One nonnegative term is at most the sum. -/
theorem le_sum {n : Nat} {f : Nat → Rat} (h : ∀ i, i < n → 0 ≤ f i) {i : Nat} (hi : i < n) : f i ≤ sum n f := by
  induction n with
  | zero => omega
  | succ n ih =>
    have h1 : 0 ≤ sum n f := sum_nonneg (fun i hi => h i (by omega))
    have h2 := h n (by omega)
    rw [sum]
    by_cases e : i = n
    · subst e; grind
    · have := ih (fun i hi => h i (by omega)) (by omega)
      grind

/-- Nonnegative terms with sum 0 are all 0. -/
theorem eq_zero_of_sum {n : Nat} {f : Nat → Rat} (h : ∀ i, i < n → 0 ≤ f i) (hs : sum n f = 0) {i : Nat} (hi : i < n) :
    f i = 0 := by
  have h1 := le_sum h hi
  have h2 := h i hi
  grind

theorem sum_swap (m n : Nat) (f : Nat → Nat → Rat) :
    sum m (fun i => sum n (fun j => f i j)) = sum n (fun j => sum m (fun i => f i j)) := by
  induction m with
  | zero => simp only [sum]; rw [sum_zero]
  | succ m ih => simp only [sum]; rw [ih, sum_add]

/-- A sum with a single term that can be nonzero. -/
theorem sum_ite (n k : Nat) (x : Rat) : sum n (fun i => if k = i then x else 0) = if k < n then x else 0 := by
  induction n with
  | zero => simp [sum]
  | succ n ih =>
    rw [sum, ih]
    by_cases h : k < n
    · have h1 : k ≠ n := by omega
      have h2 : k < n + 1 := by omega
      simp only [h, h1, h2, ite_true, ite_false]; grind
    · by_cases h3 : k = n
      · simp only [h3, Nat.lt_irrefl, Nat.lt_succ_self, ite_true, ite_false]; grind
      · have h4 : ¬ k < n + 1 := by omega
        simp only [h, h3, h4, ite_false]; grind

/-- A joint distribution of a state (`m` values) and an observation (`n` values). -/
structure Joint (m n : Nat) where
  mass : Nat → Nat → Rat
  nonneg : ∀ i, i < m → ∀ j, j < n → 0 ≤ mass i j
  total : sum m (fun i => sum n (fun j => mass i j)) = 1

namespace Joint

variable {m n : Nat} (J : Joint m n)

/-- Mass of the state `i`. -/
def row (i : Nat) : Rat := sum n (fun j => J.mass i j)

/-- Mass of the observation `j`. -/
def col (j : Nat) : Rat := sum m (fun i => J.mass i j)

theorem row_nonneg {i : Nat} (hi : i < m) : 0 ≤ J.row i := sum_nonneg (fun j hj => J.nonneg i hi j hj)

theorem col_nonneg {j : Nat} (hj : j < n) : 0 ≤ J.col j := sum_nonneg (fun i hi => J.nonneg i hi j hj)

/-- Marginal masses of the states sum to 1. -/
theorem row_sum : sum m J.row = 1 := J.total

/-- Marginal masses of the observations sum to 1. -/
theorem col_sum : sum n J.col = 1 := by
  have := J.total
  rwa [sum_swap] at this

/-- The product of the marginals, again a joint distribution. -/
def product : Joint m n where
  mass i j := J.row i * J.col j
  nonneg i hi j hj := Rat.mul_nonneg (J.row_nonneg hi) (J.col_nonneg hj)
  total := by
    have : sum m (fun i => sum n (fun j => J.row i * J.col j)) = sum m (fun i => J.row i * 1) :=
      sum_congr (fun i _ => by rw [mul_sum, J.col_sum])
    rw [this, sum_mul, J.row_sum]; decide +kernel

/-- State and observation are independent. -/
def Independent : Prop := ∀ i, i < m → ∀ j, j < n → J.mass i j = J.row i * J.col j

/-- Probability of an event. -/
def prob (E : Nat → Nat → Bool) : Rat := sum m (fun i => sum n (fun j => if E i j then J.mass i j else 0))

theorem prob_nonneg (E : Nat → Nat → Bool) : 0 ≤ J.prob E :=
  sum_nonneg fun i hi => sum_nonneg fun j hj => by
    have := J.nonneg i hi j hj
    split
    · exact this
    · exact Rat.le_refl

theorem prob_compl (E : Nat → Nat → Bool) : J.prob E + J.prob (fun i j => !E i j) = 1 := by
  rw [← J.total, prob, prob, ← sum_add]
  refine sum_congr fun i _ => ?_
  rw [← sum_add]
  refine sum_congr fun j _ => ?_
  cases E i j <;> simp <;> grind

/-- The probability of an event is at most 1. -/
theorem prob_le_one (E : Nat → Nat → Bool) : J.prob E ≤ 1 := by
  have h1 := J.prob_compl E
  have h2 := J.prob_nonneg (fun i j => !E i j)
  grind

/-- Mass of the state `i`, given the observation `j`. -/
def given (j i : Nat) : Rat := J.mass i j / J.col j

/-- Conditional masses sum to 1 where the condition has positive mass. -/
theorem given_sum {j : Nat} (hj : 0 < J.col j) : sum m (J.given j) = 1 := by
  have h : sum m (J.given j) = sum m (fun i => J.mass i j * (J.col j)⁻¹) :=
    sum_congr (fun i _ => by rw [given, Rat.div_def])
  have h2 : sum m (fun i => J.mass i j) = J.col j := rfl
  rw [h, sum_mul, h2]
  exact Rat.mul_inv_cancel _ (by grind)

/-- Under independence the observation says nothing: the conditional mass is the marginal. -/
theorem given_of_independent (h : J.Independent) {i j : Nat} (hi : i < m) (hj : j < n) (hc : 0 < J.col j) :
    J.given j i = J.row i := by
  rw [given, h i hi j hj]
  grind

/-- A table of counts, divided by its total. -/
def ofCounts (m n : Nat) (t : Nat → Nat → Nat)
    (h : 0 < sum m (fun i => sum n (fun j => (t i j : Rat)))) : Joint m n where
  mass i j := t i j / sum m (fun i => sum n (fun j => (t i j : Rat)))
  nonneg i _ j _ := by
    rw [← Rat.not_lt, Rat.div_lt_iff h, Rat.zero_mul, Rat.not_lt]
    exact Rat.natCast_nonneg
  total := by
    have e : ∀ i, sum n (fun j => (t i j : Rat) / sum m (fun i => sum n (fun j => (t i j : Rat))))
        = sum n (fun j => (t i j : Rat)) * (sum m (fun i => sum n (fun j => (t i j : Rat))))⁻¹ := fun i => by
      rw [← sum_mul]; exact sum_congr (fun j _ => by rw [Rat.div_def])
    rw [sum_congr (fun i _ => e i), sum_mul]
    exact Rat.mul_inv_cancel _ (by grind)

end Joint

/-- A table as a list of rows, as the Python hands it over. -/
def table (rows : List (List Nat)) (i j : Nat) : Nat := (rows.getD i []).getD j 0

/-! Inhabited: a dependent and an independent table of counts. -/

def dependentTable : Joint 2 2 := Joint.ofCounts 2 2 (table [[40, 10], [10, 40]]) (by decide +kernel)

def independentTable : Joint 2 2 := Joint.ofCounts 2 2 (table [[10, 30], [15, 45]]) (by decide +kernel)

example : independentTable.Independent := by unfold Joint.Independent; decide +kernel

example : ¬ dependentTable.Independent := by unfold Joint.Independent; decide +kernel

example : sum 2 (dependentTable.given 1) = 1 := dependentTable.given_sum (by decide +kernel)

end Distribution
