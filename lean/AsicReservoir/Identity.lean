module

public import AsicReservoir.Distribution

/-!
# Identity: two devices with different responses can be told apart, the better the more often one asks

A device answers a challenge with one of `n` responses, `p j` its probability.  Repetitions are independent; `expect`
is the expectation of a function of the number of successes among them.
-/

@[expose] public noncomputable section

namespace Identity

open Distribution

/-- **Two devices that differ, differ at a single response**, and one that the first gives more often. -/
theorem separating_response (n : Nat) (p q : Nat → Rat) (hp : sum n p = 1) (hq : sum n q = 1)
    (h : ¬ ∀ j, j < n → p j = q j) : ∃ j, j < n ∧ q j < p j := by
  refine Classical.byContradiction fun hno => h ?_
  have hle : ∀ j, j < n → 0 ≤ q j - p j := fun j hj => by
    by_cases hlt : q j < p j
    · exact absurd ⟨j, hj, hlt⟩ hno
    · grind
  have hs : sum n (fun j => q j - p j) = 0 := by rw [sum_sub, hp, hq]; decide +kernel
  intro j hj
  have := eq_zero_of_sum hle hs hj
  grind

/-- Expectation of `f` of the number of successes in `n` independent trials of success probability `p`. -/
def expect (p : Rat) : Nat → (Nat → Rat) → Rat
  | 0, f => f 0
  | n + 1, f => p * expect p n (fun k => f (k + 1)) + (1 - p) * expect p n f

theorem expect_le (p : Rat) (h0 : 0 ≤ p) (h1 : p ≤ 1) (n : Nat) (f g : Nat → Rat) (h : ∀ k, f k ≤ g k) :
    expect p n f ≤ expect p n g := by
  induction n generalizing f g with
  | zero => exact h 0
  | succ n ih =>
    have h2 := Rat.mul_le_mul_of_nonneg_left (ih (fun k => f (k + 1)) (fun k => g (k + 1)) (fun k => h (k + 1))) h0
    have h3 := Rat.mul_le_mul_of_nonneg_left (ih f g h) (show 0 ≤ 1 - p by grind)
    rw [expect, expect]
    grind

theorem expect_mul (p c : Rat) (n : Nat) (f : Nat → Rat) : expect p n (fun k => c * f k) = c * expect p n f := by
  induction n generalizing f with
  | zero => rfl
  | succ n ih =>
    have h1 := ih f
    have h2 := ih (fun k => f (k + 1))
    rw [expect, expect, h1, h2]
    grind

/-- Probabilities sum to 1. -/
theorem expect_one (p : Rat) (n : Nat) : expect p n (fun _ => 1) = 1 := by
  induction n with
  | zero => rfl
  | succ n ih => rw [expect, ih]; grind

/-- Mean and variance of the number of successes in one formula: `E (K - c)² = n p (1 - p) + (n p - c)²`. -/
theorem expect_square (p c : Rat) (n : Nat) :
    expect p n (fun k => ((k : Rat) - c) * (k - c)) = n * (p * (1 - p)) + (n * p - c) * (n * p - c) := by
  induction n generalizing c with
  | zero => rw [expect]; simp; grind
  | succ n ih =>
    have h1 : (fun k : Nat => (((k + 1 : Nat) : Rat) - c) * ((k + 1 : Nat) - c)) = fun k : Nat => ((k : Rat) - (c - 1)) * (k - (c - 1)) := by
      funext k
      rw [Rat.natCast_add]
      grind
    have h2 : ((n + 1 : Nat) : Rat) = n + 1 := by rw [Rat.natCast_add]; rfl
    rw [expect, h1, ih, ih, h2]
    grind

/-- Probability that the majority vote of `n` trials is wrong: no more than half succeed. -/
def majorityError (p : Rat) (n : Nat) : Rat := expect p n fun k => if 2 * k ≤ n then 1 else 0

theorem square_le (x y : Rat) (h0 : 0 ≤ x) (h : x ≤ y) : x * x ≤ y * y := by
  have h1 := Rat.mul_le_mul_of_nonneg_left h h0
  have h2 := Rat.mul_le_mul_of_nonneg_right h (show 0 ≤ y by grind)
  grind

/-- **The majority test errs less and less** (Chebyshev): `n (p - 1/2)² · error ≤ p (1 - p)`. -/
theorem majority_bound (p : Rat) (n : Nat) (hp : 1 / 2 < p) (h1 : p ≤ 1) (hn : 0 < n) :
    n * ((p - 1 / 2) * (p - 1 / 2)) * majorityError p n ≤ p * (1 - p) := by
  have hn' : (0 : Rat) < n := Rat.natCast_pos.mpr hn
  have ht : 0 ≤ (n : Rat) * (p - 1 / 2) := Rat.mul_nonneg (Rat.le_of_lt hn') (by grind)
  have hpt : ∀ k : Nat, (n * (p - 1 / 2)) * (n * (p - 1 / 2)) * (if 2 * k ≤ n then 1 else 0)
      ≤ ((k : Rat) - n * p) * (k - n * p) := by
    intro k
    split
    · rename_i hk
      have hk' : (2 : Rat) * k ≤ n := by
        have := Rat.natCast_le_natCast.mpr hk
        rwa [Rat.natCast_mul] at this
      have := square_le (n * (p - 1 / 2)) (n * p - k) ht (by grind)
      grind
    · have h2 : 0 ≤ ((k : Rat) - n * p) * (k - n * p) := by
        by_cases h : 0 ≤ (k : Rat) - n * p
        · exact Rat.mul_nonneg h h
        · have := Rat.mul_nonneg (a := n * p - k) (b := n * p - k) (by grind) (by grind)
          grind
      grind
  have he := expect_le p (by grind) h1 n _ _ hpt
  rw [expect_mul, expect_square] at he
  have h3 : n * (n * ((p - 1 / 2) * (p - 1 / 2)) * majorityError p n) ≤ n * (p * (1 - p)) := by
    unfold majorityError
    grind
  exact Rat.le_of_mul_le_mul_left h3 hn'

/-- **Repetitions enough for an error of at most `ε`.** -/
theorem majority_error_le (p ε : Rat) (n : Nat) (hp : 1 / 2 < p) (h1 : p ≤ 1) (hn : 0 < n)
    (h : p * (1 - p) ≤ n * ((p - 1 / 2) * (p - 1 / 2)) * ε) : majorityError p n ≤ ε := by
  have hb := majority_bound p n hp h1 hn
  have hn' : (0 : Rat) < n := Rat.natCast_pos.mpr hn
  have hd : 0 < (p - 1 / 2) * (p - 1 / 2) := Rat.mul_pos (by grind) (by grind)
  exact Rat.le_of_mul_le_mul_left (Rat.le_trans hb h) (Rat.mul_pos hn' hd)

/-! Inhabited: two devices of three responses, and a response that is right in 3 of 4 trials. -/

def deviceA : Nat → Rat | 0 => 1/2 | 1 => 1/4 | _ => 1/4
def deviceB : Nat → Rat | 0 => 1/4 | 1 => 1/2 | _ => 1/4

example : ∃ j, j < 3 ∧ deviceB j < deviceA j :=
  separating_response 3 deviceA deviceB (by decide +kernel) (by decide +kernel) fun h =>
    absurd (h 0 (by decide)) (by decide +kernel)

example : majorityError (3/4) 300 ≤ 1/100 :=
  majority_error_le (3/4) (1/100) 300 (by decide +kernel) (by decide +kernel) (by decide) (by decide +kernel)

example : majorityError (3/4) 1 = 1/4 ∧ majorityError (3/4) 3 = 5/32 := by decide +kernel

end Identity
