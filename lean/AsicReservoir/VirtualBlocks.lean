module

/-!
# VirtualBlocks: when prefetching keeps a chip busy, and what a share may do

Times are natural numbers (nanoseconds).  Block `i` of work starts at `s i` and takes `T`.  The first `d` templates
are there at the start; the template of block `i + d` is asked for when block `i` starts, and arrives `L i` later.
-/

@[expose] public noncomputable section

namespace VirtualBlocks

/-- A chip that starts a block as soon as the one before is done and its template has arrived. -/
structure Schedule (T d : Nat) (L s : Nat → Nat) : Prop where
  first : s 0 = 0
  prefetched : ∀ i, i + 1 < d → s (i + 1) = s i + T
  awaited : ∀ i, d ≤ i + 1 → s (i + 1) = max (s i + T) (s (i + 1 - d) + L (i + 1 - d))

/-- **With prefetch depth `d` and latency at most `d` block times the chip never idles.** -/
theorem never_idle {T d : Nat} {L s : Nat → Nat} (h : Schedule T d L s) (hd : 0 < d) (hL : ∀ i, L i ≤ d * T) (i : Nat) :
    s i = i * T := by
  induction i using Nat.strongRecOn with
  | ind i ih =>
    cases i with
    | zero => rw [h.first]; omega
    | succ i =>
      have hi := ih i (by omega)
      by_cases hp : i + 1 < d
      · rw [h.prefetched i hp, hi, Nat.add_mul]; omega
      · have hj := ih (i + 1 - d) (by omega)
        have hl := hL (i + 1 - d)
        rw [h.awaited i (by omega), hi, hj]
        have h1 : (i + 1 - d) * T + d * T = (i + 1) * T := by rw [← Nat.add_mul]; congr 1; omega
        have h2 : (i + 1) * T = i * T + T := by rw [Nat.add_mul]; omega
        omega

/-- **With more latency than that it idles, by exactly this much**: `d` blocks then take `L`, not `d T`. -/
theorem idle {T d L : Nat} {s : Nat → Nat} (h : Schedule T d (fun _ => L) s) (hd : 0 < d) (hL : d * T ≤ L) (k j : Nat) (hj : j < d) :
    s (k * d + j) = k * L + j * T := by
  induction k generalizing j with
  | zero =>
    induction j with
    | zero => simp [h.first]
    | succ j ihj =>
      have h1 := ihj (by omega)
      have h2 := h.prefetched (0 * d + j) (by omega)
      have h3 : (j + 1) * T = j * T + T := by rw [Nat.add_mul]; omega
      have h4 : 0 * d + (j + 1) = 0 * d + j + 1 := by omega
      rw [h4, h2, h1, h3]
      omega
  | succ k ihk =>
    have hk : (k + 1) * d = k * d + d := by rw [Nat.add_mul]; omega
    have hkL : (k + 1) * L = k * L + L := by rw [Nat.add_mul]; omega
    induction j with
    | zero =>
      have h1 := ihk (d - 1) (by omega)
      have h2 := ihk 0 hd
      have h3 := h.awaited (k * d + (d - 1)) (by omega)
      have h4 : k * d + (d - 1) + 1 = (k + 1) * d + 0 := by omega
      have h5 : k * d + (d - 1) + 1 - d = k * d + 0 := by omega
      rw [h5] at h3
      rw [h4, h1, h2] at h3
      have h6 : d * T = (d - 1) * T + T := by
        have : d = d - 1 + 1 := by omega
        rw [this, Nat.add_mul]
        simp
      rw [h3, hkL]
      omega
    | succ j ihj =>
      have h1 := ihj (by omega)
      have h2 := ihk (j + 1) (by omega)
      have h3 := h.awaited ((k + 1) * d + j) (by omega)
      have h4 : (k + 1) * d + j + 1 - d = k * d + (j + 1) := by omega
      have h5 : (k + 1) * d + (j + 1) = (k + 1) * d + j + 1 := by omega
      have h6 : (j + 1) * T = j * T + T := by rw [Nat.add_mul]; omega
      rw [h4, h1, h2] at h3
      rw [h5, h3, hkL]
      omega

/-- Part of the time in which a miner hashes that waits for each answer before it goes on. -/
def blocking (hash network stratum : Rat) : Rat := hash / (hash + network + stratum)

/-- Part of the time in which a miner hashes that has `d` templates in hand, at a latency of at least `d` block times. -/
def prefetching (d hash latency : Rat) : Rat := d * hash / latency

/-- A blocking miner that hashes the part `η` of its time gains at most `(1 - η) / η` by never waiting. -/
theorem recovered (η : Rat) (h : 0 < η) : 1 / η - 1 = (1 - η) / η := by grind

/-- **The published +25 % needs a miner that idles a fifth of its time**, no less. -/
theorem quarter_needs_fifth (η : Rat) (h : 0 < η) (hg : 1 / 4 ≤ 1 / η - 1) : 1 / 5 ≤ 1 - η := by
  have h1 : 5 / 4 ≤ 1 / η := by grind
  have h2 := Rat.mul_le_mul_of_nonneg_right h1 (Rat.le_of_lt h)
  have h3 : 1 / η * η = 1 := by grind
  rw [h3] at h2
  grind

/-! ## Shares -/

structure Share where
  template : Nat
  nonce : Nat
deriving DecidableEq

inductive Event where
  | offer
  | withdraw (template : Nat)
  | found (share : Share)
deriving DecidableEq

/-- Templates get numbers in order; those that may still be mined; shares sent on, the newest first. -/
structure State where
  next : Nat
  live : List Nat
  submitted : List Share
deriving DecidableEq

def init : State := ⟨0, [], []⟩

/-- What an event does, and the share that it sends on. -/
def step (s : State) : Event → State × Option Share
  | .offer => ({ s with next := s.next + 1, live := s.next :: s.live }, none)
  | .withdraw t => ({ s with live := s.live.filter (· != t) }, none)
  | .found x =>
    if x.template ∈ s.live ∧ x ∉ s.submitted then ({ s with submitted := x :: s.submitted }, some x) else (s, none)

def run : State → List Event → State
  | s, [] => s
  | s, e :: es => run (step s e).1 es

theorem nodup_step (s : State) (e : Event) (h : s.submitted.Nodup) : (step s e).1.submitted.Nodup := by
  cases e with
  | offer => exact h
  | withdraw t => exact h
  | found x =>
    simp only [step]
    split
    · rename_i hx
      exact List.nodup_cons.mpr ⟨hx.2, h⟩
    · exact h

/-- **No share is submitted twice**, however often a miner sends it. -/
theorem submitted_once (es : List Event) : (run init es).submitted.Nodup := by
  have : ∀ s : State, s.submitted.Nodup → (run s es).submitted.Nodup := by
    induction es with
    | nil => intro s h; exact h
    | cons e es ih => intro s h; exact ih _ (nodup_step s e h)
  exact this init (by simp [init])

/-- A withdrawn template and its number stay withdrawn. -/
def Gone (t : Nat) (s : State) : Prop := t ∉ s.live ∧ t < s.next

theorem gone_step (t : Nat) (s : State) (e : Event) (h : Gone t s) : Gone t (step s e).1 := by
  obtain ⟨h1, h2⟩ := h
  cases e with
  | offer =>
    refine ⟨?_, Nat.lt_succ_of_lt h2⟩
    intro hm
    rcases List.mem_cons.mp hm with h3 | h3
    · omega
    · exact h1 h3
  | withdraw u =>
    refine ⟨?_, h2⟩
    intro hm
    exact h1 (List.mem_filter.mp hm).1
  | found x =>
    simp only [step]
    split
    · exact ⟨h1, h2⟩
    · exact ⟨h1, h2⟩

/-- **No share is submitted for a withdrawn template**, whatever happens after the withdrawal. -/
theorem none_after_withdrawal (s : State) (t : Nat) (ht : t < s.next) (es : List Event) (x : Share) (hx : x.template = t) :
    (step (run (step s (.withdraw t)).1 es) (.found x)).2 = none := by
  have h0 : Gone t (step s (.withdraw t)).1 := ⟨by simp [step], ht⟩
  have h1 : ∀ s : State, Gone t s → Gone t (run s es) := by
    induction es with
    | nil => intro s h; exact h
    | cons e es ih => intro s h; exact ih _ (gone_step t s e h)
  have h2 := (h1 _ h0).1
  simp only [step]
  rw [if_neg (by rw [hx]; exact fun h => h2 h.1)]

/-- What is sent on was asked for: its template was live. -/
theorem submitted_live (s : State) (x y : Share) (h : (step s (.found x)).2 = some y) : y = x ∧ x.template ∈ s.live := by
  simp only [step] at h
  split at h
  · rename_i hx
    cases h
    exact ⟨rfl, hx.1⟩
  · cases h

/-! Inhabited: schedules that never idle and that do, and a share that is found twice and late. -/

theorem busy_schedule (T d : Nat) : Schedule T d (fun _ => d * T) (fun i => i * T) where
  first := by simp
  prefetched i _ := by rw [Nat.add_mul]; omega
  awaited i hi := by
    have h1 : (i + 1 - d) * T + d * T = (i + 1) * T := by rw [← Nat.add_mul]; congr 1; omega
    have h2 : (i + 1) * T = i * T + T := by rw [Nat.add_mul]; omega
    show (i + 1) * T = max (i * T + T) ((i + 1 - d) * T + d * T)
    omega

theorem blocking_schedule (T L : Nat) (h : T ≤ L) : Schedule T 1 (fun _ => L) (fun i => i * L) where
  first := by simp
  prefetched i hi := by omega
  awaited i _ := by
    have h2 : (i + 1) * L = i * L + L := by rw [Nat.add_mul]; omega
    show (i + 1) * L = max (i * L + T) ((i + 1 - 1) * L + L)
    rw [Nat.add_sub_cancel]
    omega

example : (fun i => i * 100) 7 = 7 * 100 := never_idle (busy_schedule 100 4) (by decide) (fun _ => Nat.le_refl _) 7

example : (fun i => i * 250) 3 = 3 * 250 :=
  idle (blocking_schedule 100 250 (by decide)) (by decide) (by decide) 3 0 (by decide)

example : blocking 100 125 25 = prefetching 1 100 250 := by decide +kernel

def story : List Event := [.offer, .offer, .found ⟨1, 7⟩, .found ⟨1, 7⟩, .withdraw 1, .found ⟨1, 8⟩, .found ⟨0, 9⟩]

example : (run init story).submitted = [⟨0, 9⟩, ⟨1, 7⟩] := by decide +kernel

example : (step (run (step (run init [.offer]) (.withdraw 0)).1 [.offer]) (.found ⟨0, 5⟩)).2 = none :=
  none_after_withdrawal _ 0 (by decide +kernel) _ _ rfl

end VirtualBlocks
