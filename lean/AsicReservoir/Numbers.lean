module

/-!
# Numbers: hierarchical numbers, exactly

Digits to the base `b`, the lowest first (base 1000: R, G, B, A), and the second form of the same idea, a number as a
set of exponents of two in which two equal ones become the next.
-/

@[expose] public noncomputable section

namespace Numbers

/-- The number that the digits stand for. -/
def value (b : Nat) : List Nat → Nat
  | [] => 0
  | d :: ds => d + b * value b ds

def digitsFuel (b : Nat) : Nat → Nat → List Nat
  | 0, _ => []
  | fuel + 1, n => if n = 0 then [] else n % b :: digitsFuel b fuel (n / b)

/-- The digits of `n`, the lowest first, no zero at the top. -/
def digits (b n : Nat) : List Nat := digitsFuel b n n

theorem div_lt (b n : Nat) (hb : 2 ≤ b) (hn : n ≠ 0) : n / b < n := Nat.div_lt_self (by omega) (by omega)

theorem value_digitsFuel (b : Nat) (hb : 2 ≤ b) (fuel n : Nat) (h : n ≤ fuel) : value b (digitsFuel b fuel n) = n := by
  induction fuel generalizing n with
  | zero => simp [digitsFuel, value]; omega
  | succ fuel ih =>
    rw [digitsFuel]
    split
    · rename_i e; rw [e]; rfl
    · rename_i hn
      have := div_lt b n hb hn
      rw [value, ih (n / b) (by omega)]
      exact Nat.mod_add_div n b

/-- **Decoding gives back what was encoded.** -/
theorem value_digits (b n : Nat) (hb : 2 ≤ b) : value b (digits b n) = n := value_digitsFuel b hb n n (Nat.le_refl n)

theorem digitsFuel_lt (b : Nat) (hb : 2 ≤ b) (fuel n : Nat) : ∀ d ∈ digitsFuel b fuel n, d < b := by
  induction fuel generalizing n with
  | zero => simp [digitsFuel]
  | succ fuel ih =>
    rw [digitsFuel]
    split
    · simp
    · intro d hd
      rcases List.mem_cons.mp hd with rfl | hd
      · exact Nat.mod_lt _ (by omega)
      · exact ih _ d hd

/-- Every digit lies below the base. -/
theorem digits_lt (b n : Nat) (hb : 2 ≤ b) : ∀ d ∈ digits b n, d < b := digitsFuel_lt b hb n n

/-- The form that encoding gives: digits below the base, the highest not zero. -/
def Normal (b : Nat) (ds : List Nat) : Prop := (∀ d ∈ ds, d < b) ∧ ds.getLast? ≠ some 0

theorem value_pos (b : Nat) (hb : 2 ≤ b) (d : Nat) (ds : List Nat) (h : Normal b (d :: ds)) : 0 < value b (d :: ds) := by
  induction ds generalizing d with
  | nil =>
    have := h.2
    simp at this
    rw [value]
    omega
  | cons e ds ih =>
    have h2 : Normal b (e :: ds) := ⟨fun x hx => h.1 x (List.mem_cons_of_mem _ hx), by
      have := h.2
      rwa [List.getLast?_cons_cons] at this⟩
    have h3 := ih e h2
    have h4 : 0 < b * value b (e :: ds) := Nat.mul_pos (by omega) h3
    rw [value]
    omega

theorem digitsFuel_value (b : Nat) (hb : 2 ≤ b) (ds : List Nat) (h : Normal b ds) (fuel : Nat) (hf : value b ds ≤ fuel) :
    digitsFuel b fuel (value b ds) = ds := by
  induction ds generalizing fuel with
  | nil => cases fuel <;> simp [digitsFuel, value]
  | cons d ds ih =>
    have hp := value_pos b hb d ds h
    have hd : d < b := h.1 d (by simp)
    cases fuel with
    | zero => omega
    | succ fuel =>
      rw [digitsFuel, if_neg (by omega)]
      have h1 : value b (d :: ds) % b = d := by
        rw [value, Nat.add_mul_mod_self_left, Nat.mod_eq_of_lt hd]
      have h2 : value b (d :: ds) / b = value b ds := by
        rw [value, Nat.add_mul_div_left _ _ (by omega), Nat.div_eq_of_lt hd, Nat.zero_add]
      rw [h1, h2]
      congr 1
      cases ds with
      | nil => cases fuel <;> simp [digitsFuel, value]
      | cons e ds =>
        have h3 : Normal b (e :: ds) := ⟨fun x hx => h.1 x (List.mem_cons_of_mem _ hx), by
          have := h.2
          rwa [List.getLast?_cons_cons] at this⟩
        refine ih h3 fuel ?_
        have h4 := div_lt b (value b (d :: e :: ds)) hb (by omega)
        omega

/-- **Encoding gives back the digits that were decoded**: normal digits and numbers are one to one. -/
theorem digits_value (b : Nat) (hb : 2 ≤ b) (ds : List Nat) (h : Normal b ds) : digits b (value b ds) = ds :=
  digitsFuel_value b hb ds h _ (Nat.le_refl _)

theorem digitsFuel_bounds (b : Nat) (hb : 2 ≤ b) (fuel n : Nat) (hn : 0 < n) (h : n ≤ fuel) :
    b ^ ((digitsFuel b fuel n).length - 1) ≤ n ∧ n < b ^ (digitsFuel b fuel n).length
      ∧ 0 < (digitsFuel b fuel n).length := by
  induction fuel generalizing n with
  | zero => omega
  | succ fuel ih =>
    have hlt := div_lt b n hb (by omega)
    rw [digitsFuel, if_neg (by omega)]
    simp only [List.length_cons]
    by_cases h0 : n / b = 0
    · have hnb : n < b := by
        rcases Nat.div_eq_zero_iff.mp h0 with h | h <;> omega
      have : digitsFuel b fuel (n / b) = [] := by
        rw [h0]; cases fuel <;> simp [digitsFuel]
      rw [this]
      simp
      omega
    · obtain ⟨h1, h2, h3⟩ := ih (n / b) (Nat.pos_of_ne_zero h0) (by omega)
      generalize (digitsFuel b fuel (n / b)).length = l at h1 h2 h3
      obtain ⟨k, rfl⟩ : ∃ k, l = k + 1 := ⟨l - 1, by omega⟩
      simp only [Nat.add_sub_cancel] at h1 ⊢
      have h4 : b ^ (k + 1) = b ^ k * b := Nat.pow_succ _ _
      have h5 : b ^ (k + 1 + 1) = b ^ (k + 1) * b := Nat.pow_succ _ _
      refine ⟨?_, ?_, by omega⟩
      · rw [h4]
        exact (Nat.le_div_iff_mul_le (by omega)).mp h1
      · rw [h5]
        exact (Nat.div_lt_iff_lt_mul (by omega)).mp h2

/-- **The number of levels is `⌊log_b n⌋ + 1`**: with `l` levels, `b ^ (l - 1) ≤ n < b ^ l`. -/
theorem levels (b n : Nat) (hb : 2 ≤ b) (hn : 0 < n) :
    b ^ ((digits b n).length - 1) ≤ n ∧ n < b ^ (digits b n).length :=
  let h := digitsFuel_bounds b hb n n hn (Nat.le_refl n)
  ⟨h.1, h.2.1⟩

/-- A carry into a number. -/
def addCarry (b : Nat) : Nat → List Nat → List Nat
  | c, [] => if c = 0 then [] else [c]
  | c, y :: ys => (c + y) % b :: addCarry b ((c + y) / b) ys

/-- Digit by digit, with the carry. -/
def add (b : Nat) : Nat → List Nat → List Nat → List Nat
  | c, [], ys => addCarry b c ys
  | c, x :: xs, [] => addCarry b c (x :: xs)
  | c, x :: xs, y :: ys => (c + x + y) % b :: add b ((c + x + y) / b) xs ys

theorem value_addCarry (b c : Nat) (ys : List Nat) : value b (addCarry b c ys) = c + value b ys := by
  induction ys generalizing c with
  | nil =>
    rw [addCarry]
    split <;> simp [value]
    omega
  | cons y ys ih =>
    have := Nat.mod_add_div (c + y) b
    simp only [addCarry, value, ih, Nat.mul_add] at *
    omega

/-- **Addition with carry is addition.** -/
theorem value_add (b c : Nat) (xs ys : List Nat) : value b (add b c xs ys) = c + value b xs + value b ys := by
  induction xs generalizing c ys with
  | nil => rw [add, value_addCarry]; simp [value]
  | cons x xs ih =>
    cases ys with
    | nil => rw [add, value_addCarry]; simp [value]
    | cons y ys =>
      have := Nat.mod_add_div (c + x + y) b
      simp only [add, value, ih, Nat.mul_add] at *
      omega

theorem addCarry_lt (b c : Nat) (hb : 2 ≤ b) (hc : c ≤ 1) (ys : List Nat) (hy : ∀ d ∈ ys, d < b) :
    ∀ d ∈ addCarry b c ys, d < b := by
  induction ys generalizing c with
  | nil =>
    intro d hd
    rw [addCarry] at hd
    split at hd
    · exact absurd hd (by simp)
    · have := List.mem_singleton.mp hd; omega
  | cons y ys ih =>
    have h1 := hy y (by simp)
    have h2 := (Nat.div_lt_iff_lt_mul (x := c + y) (y := 2) (k := b) (by omega)).mpr (by omega)
    intro d hd
    rw [addCarry] at hd
    rcases List.mem_cons.mp hd with rfl | hd
    · exact Nat.mod_lt _ (by omega)
    · exact ih _ (by omega) (fun d hd => hy d (List.mem_cons_of_mem _ hd)) d hd

/-- Addition keeps the digits below the base, with a carry of at most 1. -/
theorem add_lt (b c : Nat) (hb : 2 ≤ b) (hc : c ≤ 1) (xs ys : List Nat) (hx : ∀ d ∈ xs, d < b) (hy : ∀ d ∈ ys, d < b) :
    ∀ d ∈ add b c xs ys, d < b := by
  induction xs generalizing c ys with
  | nil => exact addCarry_lt b c hb hc ys hy
  | cons x xs ih =>
    cases ys with
    | nil => exact addCarry_lt b c hb hc (x :: xs) hx
    | cons y ys =>
      have h1 := hx x (by simp)
      have h2 := hy y (by simp)
      have h3 := (Nat.div_lt_iff_lt_mul (x := c + x + y) (y := 2) (k := b) (by omega)).mpr (by omega)
      intro d hd
      rw [add] at hd
      rcases List.mem_cons.mp hd with rfl | hd
      · exact Nat.mod_lt _ (by omega)
      · exact ih _ (by omega) ys (fun d hd => hx d (List.mem_cons_of_mem _ hd))
          (fun d hd => hy d (List.mem_cons_of_mem _ hd)) d hd

/-- One more, and how many digits were written for it. -/
def increment (b : Nat) : List Nat → List Nat × Nat
  | [] => ([1], 1)
  | d :: ds => if d + 1 < b then ((d + 1) :: ds, 1) else (0 :: (increment b ds).1, (increment b ds).2 + 1)

theorem value_increment (b : Nat) (ds : List Nat) (hd : ∀ d ∈ ds, d < b) :
    value b (increment b ds).1 = value b ds + 1 := by
  induction ds with
  | nil => simp [increment, value]
  | cons d ds ih =>
    have h1 := hd d (by simp)
    have h2 := ih (fun d h => hd d (List.mem_cons_of_mem _ h))
    rw [increment]
    split
    · simp only [value]; omega
    · simp only [value, h2, Nat.mul_add]; omega

theorem increment_lt (b : Nat) (hb : 2 ≤ b) (ds : List Nat) (hd : ∀ d ∈ ds, d < b) : ∀ d ∈ (increment b ds).1, d < b := by
  induction ds with
  | nil => intro d h; simp [increment] at h; omega
  | cons e ds ih =>
    have h2 := ih (fun d h => hd d (List.mem_cons_of_mem _ h))
    rw [increment]
    split
    · intro d h
      rcases List.mem_cons.mp h with rfl | h
      · assumption
      · exact hd d (List.mem_cons_of_mem _ h)
    · intro d h
      rcases List.mem_cons.mp h with rfl | h
      · omega
      · exact h2 d h

/-- What an increment writes is paid by what the digit sum falls. -/
theorem increment_cost (b : Nat) (ds : List Nat) (hd : ∀ d ∈ ds, d < b) :
    (b - 1) * (increment b ds).2 + (increment b ds).1.sum + 1 = ds.sum + 1 + b ∨ b ≤ 1 := by
  induction ds with
  | nil => simp [increment]; omega
  | cons d ds ih =>
    have h1 := hd d (by simp)
    rcases ih (fun d h => hd d (List.mem_cons_of_mem _ h)) with h2 | h2
    · rw [increment]
      split
      · simp only [List.sum_cons]; omega
      · simp only [List.sum_cons, Nat.mul_add]; omega
    · exact .inr h2

/-- The digits after `n` increments from zero, and all digits written. -/
def count (b : Nat) : Nat → List Nat × Nat
  | 0 => ([], 0)
  | n + 1 => ((increment b (count b n).1).1, (count b n).2 + (increment b (count b n).1).2)

theorem count_lt (b n : Nat) (hb : 2 ≤ b) : ∀ d ∈ (count b n).1, d < b := by
  induction n with
  | zero => simp [count]
  | succ n ih => exact increment_lt b hb _ ih

theorem value_count (b n : Nat) (hb : 2 ≤ b) : value b (count b n).1 = n := by
  induction n with
  | zero => rfl
  | succ n ih =>
    have := value_increment b (count b n).1 (count_lt b n hb)
    rw [ih] at this
    exact this

/-- **Counting to `n` writes at most `n b / (b - 1)` digits**, exactly `(n b - digit sum) / (b - 1)`: a constant number
an increment, whatever the number of levels.  This is what the claim «O(log N) against O(2^N)» comes to. -/
theorem count_cost (b n : Nat) (hb : 2 ≤ b) : (b - 1) * (count b n).2 + (count b n).1.sum = n * b := by
  induction n with
  | zero => simp [count]
  | succ n ih =>
    rcases increment_cost b (count b n).1 (count_lt b n hb) with h | h
    · show (b - 1) * ((count b n).2 + (increment b (count b n).1).2) + (increment b (count b n).1).1.sum = (n + 1) * b
      rw [Nat.mul_add, Nat.add_mul]
      omega
    · omega

/-! ## Exponents -/

/-- The number that a list of exponents of two stands for. -/
def weight : List Nat → Nat
  | [] => 0
  | p :: ps => 2 ^ p + weight ps

/-- Put an exponent into an increasing list; two equal ones become the next. -/
def insert (p : Nat) : List Nat → List Nat
  | [] => [p]
  | q :: qs => if p < q then p :: q :: qs else if p = q then insert (p + 1) qs else q :: insert p qs

def normalize : List Nat → List Nat
  | [] => []
  | p :: ps => insert p (normalize ps)

theorem weight_insert (p : Nat) (qs : List Nat) : weight (insert p qs) = 2 ^ p + weight qs := by
  induction qs generalizing p with
  | nil => rfl
  | cons q qs ih =>
    rw [insert]
    split
    · rfl
    · split
      · rename_i e
        rw [ih, weight, e, Nat.pow_succ]
        omega
      · rw [weight, ih, weight]
        omega

theorem mem_insert (p : Nat) (qs : List Nat) (x : Nat) (h : x ∈ insert p qs) : x ∈ qs ∨ p ≤ x := by
  induction qs generalizing p with
  | nil => simp [insert] at h; omega
  | cons q qs ih =>
    rw [insert] at h
    split at h
    · rcases List.mem_cons.mp h with rfl | h
      · exact .inr (Nat.le_refl _)
      · exact .inl h
    · split at h
      · rcases ih _ h with h | h
        · exact .inl (List.mem_cons_of_mem _ h)
        · exact .inr (by omega)
      · rcases List.mem_cons.mp h with rfl | h
        · exact .inl (by simp)
        · rcases ih _ h with h | h
          · exact .inl (List.mem_cons_of_mem _ h)
          · exact .inr h

theorem increasing_insert (p : Nat) (qs : List Nat) (h : qs.Pairwise (· < ·)) : (insert p qs).Pairwise (· < ·) := by
  induction qs generalizing p with
  | nil => simp [insert]
  | cons q qs ih =>
    obtain ⟨h1, h2⟩ := List.pairwise_cons.mp h
    rw [insert]
    split
    · rename_i hpq
      refine List.pairwise_cons.mpr ⟨?_, h⟩
      intro x hx
      rcases List.mem_cons.mp hx with rfl | hx
      · exact hpq
      · have := h1 x hx; omega
    · split
      · exact ih _ h2
      · refine List.pairwise_cons.mpr ⟨?_, ih _ h2⟩
        intro x hx
        rcases mem_insert p qs x hx with hx | hx
        · exact h1 x hx
        · omega

/-- **Normalizing keeps the number**, -/
theorem weight_normalize (ps : List Nat) : weight (normalize ps) = weight ps := by
  induction ps with
  | nil => rfl
  | cons p ps ih => rw [normalize, weight_insert, ih, weight]

/-- and leaves every exponent at most once, in order. -/
theorem increasing_normalize (ps : List Nat) : (normalize ps).Pairwise (· < ·) := by
  induction ps with
  | nil => simp [normalize]
  | cons p ps ih => exact increasing_insert p _ ih

/-! Inhabited. -/

example : add 1000 0 [999, 999, 0, 0] [1, 0, 0, 0] = [0, 0, 1, 0] := by decide +kernel

example : digits 1000 1000000 = [0, 0, 1] ∧ value 1000 [0, 0, 1] = 1000000 := by decide +kernel

example : 10 ^ 2 ≤ 100 ∧ 100 < 10 ^ 3 := levels 10 100 (by decide) (by decide)

example : digits 1000 (value 1000 [7, 0, 12]) = [7, 0, 12] :=
  digits_value 1000 (by decide) _ ⟨by decide, by decide⟩

example : normalize [0, 0, 1] = [2] := by decide +kernel

example : (count 10 100).2 = 111 ∧ (count 10 100).1 = [0, 0, 1] := by decide +kernel

end Numbers
