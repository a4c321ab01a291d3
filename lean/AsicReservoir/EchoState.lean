module

/-!
# Echo state: a contraction forgets where it started

A reservoir is a map from state and input to state; `dist` is any measure of distance of states.  Where every input
brings two states closer by the same factor `a < 1`, two replicas driven by the same input agree within `ε` after a
number of steps that can be computed: the washout.
-/

@[expose] public noncomputable section

namespace EchoState

variable {S I : Type}

/-- The state after a series of inputs. -/
def drive (f : S → I → S) : S → List I → S
  | s, [] => s
  | s, u :: us => drive f (f s u) us

/-- Every input contracts distances by the factor `a`. -/
def Contracts (f : S → I → S) (dist : S → S → Rat) (a : Rat) : Prop := ∀ s t u, dist (f s u) (f t u) ≤ a * dist s t

/-- **Distance after `t` steps is at most `aᵗ` times the distance at the start**, for any input. -/
theorem dist_le (f : S → I → S) (dist : S → S → Rat) (a : Rat) (ha : 0 ≤ a) (hf : Contracts f dist a) (s t : S) (us : List I) :
    dist (drive f s us) (drive f t us) ≤ a ^ us.length * dist s t := by
  induction us generalizing s t with
  | nil =>
    show dist s t ≤ a ^ 0 * dist s t
    rw [Rat.pow_zero, Rat.one_mul]
    exact Rat.le_refl
  | cons u us ih =>
    have h1 := ih (f s u) (f t u)
    have h2 : 0 ≤ a ^ us.length := Rat.pow_nonneg ha
    have h3 := Rat.mul_le_mul_of_nonneg_left (hf s t u) h2
    show dist (drive f (f s u) us) (drive f (f t u) us) ≤ a ^ (us.length + 1) * dist s t
    rw [Rat.pow_succ]
    grind

/-- Bernoulli: `(1 + x)ᵗ ≥ 1 + t x`. -/
theorem bernoulli (x : Rat) (hx : 0 ≤ x) (t : Nat) : 1 + t * x ≤ (1 + x) ^ t := by
  induction t with
  | zero => rw [Rat.pow_zero]; grind
  | succ t ih =>
    rw [Rat.pow_succ]
    have h1 := Rat.mul_le_mul_of_nonneg_right ih (show 0 ≤ 1 + x by grind)
    have h2 : 0 ≤ (t : Rat) * (x * x) := Rat.mul_nonneg Rat.natCast_nonneg (Rat.mul_nonneg hx hx)
    have h3 : ((t + 1 : Nat) : Rat) = t + 1 := by simp
    rw [h3]
    grind

theorem pow_mul_pow (a b : Rat) (t : Nat) : a ^ t * b ^ t = (a * b) ^ t := by
  induction t with
  | zero => rw [Rat.pow_zero, Rat.pow_zero, Rat.pow_zero]; grind
  | succ t ih => rw [Rat.pow_succ, Rat.pow_succ, Rat.pow_succ, ← ih]; grind

theorem one_pow (t : Nat) : (1 : Rat) ^ t = 1 := by
  induction t with
  | zero => exact Rat.pow_zero _
  | succ t ih => rw [Rat.pow_succ, ih]; grind

/-- Powers of a rate below 1 vanish, at a speed that can be computed: `aᵗ (1 + t (1 - a) / a) ≤ 1`. -/
theorem pow_le (a : Rat) (h0 : 0 < a) (h1 : a ≤ 1) (t : Nat) : a ^ t * (1 + t * ((1 - a) / a)) ≤ 1 := by
  have hx : 0 ≤ (1 - a) / a := by
    rw [← Rat.not_lt, Rat.div_lt_iff h0]
    grind
  have hb := bernoulli _ hx t
  have hp : 0 ≤ a ^ t := Rat.pow_nonneg (Rat.le_of_lt h0)
  have h2 := Rat.mul_le_mul_of_nonneg_left hb hp
  have h3 : a * (1 + (1 - a) / a) = 1 := by grind
  rw [pow_mul_pow, h3, one_pow] at h2
  exact h2

/-- Steps after which a distance `d` has fallen to `ε`, at the rate `a`: `⌈(d / ε) · a / (1 - a)⌉`. -/
def washout (a d ε : Rat) : Nat := (d / ε * (a / (1 - a))).ceil.toNat

theorem le_washout (a d ε : Rat) : d / ε * (a / (1 - a)) ≤ (washout a d ε : Rat) := by
  have h1 : d / ε * (a / (1 - a)) ≤ ((d / ε * (a / (1 - a))).ceil : Rat) := by
    have := Rat.floor_le (-(d / ε * (a / (1 - a))))
    rw [Rat.ceil_eq_neg_floor_neg]
    rw [Rat.intCast_neg]
    grind
  have h2 : (d / ε * (a / (1 - a))).ceil ≤ ((washout a d ε : Nat) : Int) := by
    unfold washout
    omega
  have h3 := Rat.intCast_le_intCast.mpr h2
  rw [Rat.intCast_natCast] at h3
  exact Rat.le_trans h1 h3

/-- **Echo state**: after the washout two replicas agree within `ε`, from any two starts at a distance of at most `d`,
under any input. -/
theorem replicas_agree (f : S → I → S) (dist : S → S → Rat) (a d ε : Rat) (h0 : 0 < a) (h1 : a < 1) (hε : 0 < ε)
    (hf : Contracts f dist a) (s t : S) (hd : dist s t ≤ d) (us : List I) (hu : washout a d ε ≤ us.length) :
    dist (drive f s us) (drive f t us) ≤ ε := by
  have hb := dist_le f dist a (Rat.le_of_lt h0) hf s t us
  have hp : 0 ≤ a ^ us.length := Rat.pow_nonneg (Rat.le_of_lt h0)
  have hb2 := Rat.mul_le_mul_of_nonneg_left hd hp
  by_cases hd0 : d ≤ 0
  · have : a ^ us.length * d ≤ a ^ us.length * 0 := Rat.mul_le_mul_of_nonneg_left hd0 hp
    grind
  · have hdpos : 0 < d := by grind
    have hq := pow_le a h0 (Rat.le_of_lt h1) us.length
    have hw : d / ε * (a / (1 - a)) ≤ (us.length : Rat) :=
      Rat.le_trans (le_washout a d ε) (Rat.natCast_le_natCast.mpr hu)
    have h1a : 0 < 1 - a := by grind
    have hx : 0 < (1 - a) / a := by
      rw [Rat.lt_div_iff h0]
      grind
    have h4 := Rat.mul_le_mul_of_nonneg_right hw (Rat.le_of_lt hx)
    have h5 : d / ε * (a / (1 - a)) * ((1 - a) / a) = d / ε := by grind
    rw [h5] at h4
    have h6 : a ^ us.length * (d / ε) ≤ 1 := by
      have h7 : d / ε ≤ 1 + us.length * ((1 - a) / a) := by grind
      have h8 := Rat.mul_le_mul_of_nonneg_left h7 hp
      grind
    have h9 := Rat.mul_le_mul_of_nonneg_right h6 (Rat.le_of_lt hε)
    have h10 : a ^ us.length * (d / ε) * ε = a ^ us.length * d := by grind
    rw [h10] at h9
    grind

def distance (x y : Rat) : Rat := if x < y then y - x else x - y

/-- A leaky node, `x ← r x + u`, contracts by its leak, whatever the input. -/
theorem leaky_contracts (r : Rat) (hr : 0 ≤ r) : Contracts (fun x u : Rat => r * x + u) distance r := by
  intro x y u
  unfold distance
  split <;> split
  · grind
  · rename_i h1 h2
    have := Rat.mul_le_mul_of_nonneg_left (show y ≤ x by grind) hr
    grind
  · rename_i h1 h2
    have := Rat.mul_le_mul_of_nonneg_left (Rat.le_of_lt h2) hr
    grind
  · grind

/-- The thermal coupling of two dies, `(x, y) ← (r x + c y + u, c x + r y)`, contracts by `r + c` in the sum of the distances. -/
theorem coupled_contracts (r c : Rat) (hr : 0 ≤ r) (hc : 0 ≤ c) :
    Contracts (fun (p : Rat × Rat) (u : Rat) => (r * p.1 + c * p.2 + u, c * p.1 + r * p.2))
      (fun p q => distance p.1 q.1 + distance p.2 q.2) (r + c) := by
  have habs : ∀ x y : Rat, x - y ≤ distance x y ∧ y - x ≤ distance x y := by
    intro x y
    unfold distance
    split <;> grind
  have hle : ∀ x y b : Rat, x - y ≤ b → y - x ≤ b → distance x y ≤ b := by
    intro x y b h1 h2
    unfold distance
    split <;> grind
  intro p q u
  obtain ⟨a1, a2⟩ := habs p.1 q.1
  obtain ⟨b1, b2⟩ := habs p.2 q.2
  have h1 := Rat.mul_le_mul_of_nonneg_left a1 hr
  have h2 := Rat.mul_le_mul_of_nonneg_left a2 hr
  have h3 := Rat.mul_le_mul_of_nonneg_left b1 hr
  have h4 := Rat.mul_le_mul_of_nonneg_left b2 hr
  have h5 := Rat.mul_le_mul_of_nonneg_left a1 hc
  have h6 := Rat.mul_le_mul_of_nonneg_left a2 hc
  have h7 := Rat.mul_le_mul_of_nonneg_left b1 hc
  have h8 := Rat.mul_le_mul_of_nonneg_left b2 hc
  have g1 := hle (r * p.1 + c * p.2 + u) (r * q.1 + c * q.2 + u) (r * distance p.1 q.1 + c * distance p.2 q.2)
    (by grind) (by grind)
  have g2 := hle (c * p.1 + r * p.2) (c * q.1 + r * q.2) (c * distance p.1 q.1 + r * distance p.2 q.2)
    (by grind) (by grind)
  show distance (r * p.1 + c * p.2 + u) (r * q.1 + c * q.2 + u) + distance (c * p.1 + r * p.2) (c * q.1 + r * q.2)
    ≤ (r + c) * (distance p.1 q.1 + distance p.2 q.2)
  grind

/-! Inhabited: a leak of 9/10, starts at most 1 apart, an agreement within 1/100. -/

example : washout (9 / 10) 1 (1 / 100) = 900 := by decide +kernel

example (us : List Rat) (h : us.length = 900) :
    distance (drive (fun x u => 9 / 10 * x + u) 0 us) (drive (fun x u => 9 / 10 * x + u) 1 us) ≤ 1 / 100 :=
  replicas_agree _ distance (9 / 10) 1 (1 / 100) (by decide +kernel) (by decide +kernel) (by decide +kernel)
    (leaky_contracts _ (by decide +kernel)) 0 1 (by decide +kernel) us (by rw [h]; decide +kernel)

example : drive (fun x u : Rat => 1 / 2 * x + u) 0 [1, 1] = 3 / 2 := by decide +kernel

end EchoState
