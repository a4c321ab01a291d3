module

/-!
# Lease: one holder a board, whatever the order of events

The table of leases as rows, the newest first, and the driver's fence: the highest token that it has accepted.
`step` is the state machine of `asic_reservoir/lease_model.py`, event by event; an `expire` may come at any time, so
every clock and every crash is covered.
-/

@[expose] public noncomputable section

namespace Lease

structure Row where
  holder : Nat
  token : Nat
  live : Bool
deriving DecidableEq

structure State where
  rows : List Row
  last : Nat
  fence : Nat
deriving DecidableEq

inductive Event where
  | acquire (holder : Nat)
  | renew (token : Nat)
  | expire (token : Nat)
  | release (token : Nat)
  | write (token : Nat)
deriving DecidableEq

def init : State := ⟨[], 0, 0⟩

/-- A row of this token is live. -/
def State.isLive (s : State) (token : Nat) : Bool := s.rows.any fun r => r.live && r.token == token

/-- The row of this token is over. -/
def close (token : Nat) (r : Row) : Row := if r.token = token then { r with live := false } else r

/-- What an event does, and whether it was accepted. -/
def step (s : State) : Event → State × Bool
  | .acquire holder =>
    if s.rows.any (·.live) then (s, false)
    else ({ s with rows := ⟨holder, s.last + 1, true⟩ :: s.rows, last := s.last + 1 }, true)
  | .renew token => (s, s.isLive token)
  | .expire token => ({ s with rows := s.rows.map (close token) }, s.isLive token)
  | .release token => ({ s with rows := s.rows.map (close token) }, s.isLive token)
  | .write token =>
    if s.fence ≤ token ∧ 0 < token ∧ token ≤ s.last then ({ s with fence := token }, true) else (s, false)

def run : State → List Event → State
  | s, [] => s
  | s, e :: es => run (step s e).1 es

/-- The answers to a list of events. -/
def answers : State → List Event → List Bool
  | _, [] => []
  | s, e :: es => (step s e).2 :: answers (step s e).1 es

/-- Tokens of the accepted writes, in order. -/
def accepted : State → List Event → List Nat
  | _, [] => []
  | s, .write t :: es =>
    if (step s (.write t)).2 then t :: accepted (step s (.write t)).1 es else accepted (step s (.write t)).1 es
  | s, e :: es => accepted (step s e).1 es

/-- What holds in every state that can be reached. -/
structure Inv (s : State) : Prop where
  live_last : ∀ r ∈ s.rows, r.live = true → r.token = s.last
  le_last : ∀ r ∈ s.rows, r.token ≤ s.last
  decreasing : s.rows.Pairwise fun a b => b.token < a.token
  fence_le : s.fence ≤ s.last
  positive : ∀ r ∈ s.rows, 0 < r.token

theorem inv_init : Inv init := ⟨by simp [init], by simp [init], by simp [init], by simp [init], by simp [init]⟩

theorem close_token (t : Nat) (r : Row) : (close t r).token = r.token := by unfold close; split <;> rfl

theorem close_live (t : Nat) (r : Row) (h : (close t r).live = true) : r.live = true := by
  unfold close at h; split at h <;> simp_all

theorem inv_close (s : State) (t : Nat) (h : Inv s) : Inv { s with rows := s.rows.map (close t) } where
  live_last := by
    intro r hr hl
    obtain ⟨q, hq, rfl⟩ := List.mem_map.mp hr
    rw [close_token]
    exact h.live_last q hq (close_live t q hl)
  le_last := by
    intro r hr
    obtain ⟨q, hq, rfl⟩ := List.mem_map.mp hr
    rw [close_token]
    exact h.le_last q hq
  decreasing := by
    refine List.pairwise_map.mpr (h.decreasing.imp ?_)
    intro a b hab
    rw [close_token, close_token]
    exact hab
  fence_le := h.fence_le
  positive := by
    intro r hr
    obtain ⟨q, hq, rfl⟩ := List.mem_map.mp hr
    rw [close_token]
    exact h.positive q hq

theorem inv_step (s : State) (e : Event) (h : Inv s) : Inv (step s e).1 := by
  cases e with
  | acquire holder =>
    simp only [step]
    split
    · exact h
    · rename_i hn
      have hn' : ∀ r ∈ s.rows, r.live = false := by simpa using hn
      refine ⟨?_, ?_, ?_, ?_, ?_⟩
      · intro r hr hl
        rcases List.mem_cons.mp hr with rfl | hr
        · rfl
        · rw [hn' r hr] at hl; exact absurd hl (by decide)
      · intro r hr
        rcases List.mem_cons.mp hr with rfl | hr
        · exact Nat.le_refl _
        · exact Nat.le_succ_of_le (h.le_last r hr)
      · refine List.pairwise_cons.mpr ⟨?_, h.decreasing⟩
        intro r hr
        have := h.le_last r hr
        show r.token < s.last + 1
        omega
      · exact Nat.le_succ_of_le h.fence_le
      · intro r hr
        rcases List.mem_cons.mp hr with rfl | hr
        · exact Nat.succ_pos _
        · exact h.positive r hr
  | renew token => exact h
  | expire token => exact inv_close s token h
  | release token => exact inv_close s token h
  | write token =>
    simp only [step]
    split
    · rename_i hw
      exact ⟨h.live_last, h.le_last, h.decreasing, hw.2.2, h.positive⟩
    · exact h

theorem inv_run (s : State) (es : List Event) (h : Inv s) : Inv (run s es) := by
  induction es generalizing s with
  | nil => exact h
  | cons e es ih => exact ih _ (inv_step s e h)

/-- Distinct rows have distinct tokens. -/
theorem token_unique (es : List Event) (r q : Row) (hr : r ∈ (run init es).rows) (hq : q ∈ (run init es).rows)
    (h : r.token = q.token) : r = q := by
  have hd := (inv_run init es inv_init).decreasing
  revert hr hq
  generalize (run init es).rows = rows at hd
  intro hr hq
  induction rows with
  | nil => exact absurd hr (by simp)
  | cons a rows ih =>
    obtain ⟨ha, hd⟩ := List.pairwise_cons.mp hd
    rcases List.mem_cons.mp hr with hr' | hr' <;> rcases List.mem_cons.mp hq with hq' | hq'
    · exact hr'.trans hq'.symm
    · have := ha q hq'; subst hr'; omega
    · have := ha r hr'; subst hq'; omega
    · exact ih hd hr' hq'

/-- **At most one lease of a board is live, after any events in any order.** -/
theorem at_most_one_live (es : List Event) (r q : Row) (hr : r ∈ (run init es).rows) (hq : q ∈ (run init es).rows)
    (hrl : r.live = true) (hql : q.live = true) : r = q := by
  have h := inv_run init es inv_init
  exact token_unique es r q hr hq ((h.live_last r hr hrl).trans (h.live_last q hq hql).symm)

/-- The same, counted: the rows of the table that are live are none or one. -/
theorem live_count_le_one (es : List Event) : ((run init es).rows.filter (·.live)).length ≤ 1 := by
  have h := inv_run init es inv_init
  have hd := h.decreasing.filter (·.live)
  have hl : ∀ r ∈ (run init es).rows.filter (·.live), r.token = (run init es).last := fun r hr => by
    obtain ⟨h1, h2⟩ := List.mem_filter.mp hr
    exact h.live_last r h1 h2
  revert hd hl
  generalize (run init es).rows.filter (·.live) = rows
  intro hd hl
  match rows, hd, hl with
  | [], _, _ => simp
  | [_], _, _ => simp
  | a :: b :: rest, hd, hl =>
    have h1 := hl a (by simp)
    have h2 := hl b (by simp)
    have h3 := (List.pairwise_cons.mp hd).1 b (by simp)
    omega

/-- A new lease carries a token that nobody had before. -/
theorem acquire_fresh (es : List Event) (holder : Nat) (h : (step (run init es) (.acquire holder)).2 = true) (r : Row)
    (hr : r ∈ (run init es).rows) : r.token < (step (run init es) (.acquire holder)).1.last := by
  have hi := (inv_run init es inv_init).le_last r hr
  simp only [step] at h ⊢
  split at h
  · exact absurd h (by simp)
  · rename_i hn
    rw [if_neg hn]
    show r.token < (run init es).last + 1
    omega

/-- The holder of the live lease is never fenced out. -/
theorem holder_writes (es : List Event) (r : Row) (hr : r ∈ (run init es).rows) (hl : r.live = true) :
    (step (run init es) (.write r.token)).2 = true := by
  have h := inv_run init es inv_init
  have h1 := h.live_last r hr hl
  have h2 := h.fence_le
  have h3 := h.positive r hr
  simp only [step]
  rw [if_pos (by omega)]

theorem fence_mono_step (s : State) (e : Event) : s.fence ≤ (step s e).1.fence := by
  cases e <;> simp only [step] <;> (try split) <;> simp_all

theorem fence_mono (s : State) (es : List Event) : s.fence ≤ (run s es).fence := by
  induction es generalizing s with
  | nil => exact Nat.le_refl _
  | cons e es ih => exact Nat.le_trans (fence_mono_step s e) (ih _)

/-- **A stale token is refused for good**: after a write with token `t`, no older token writes again. -/
theorem stale_write_refused (s : State) (es : List Event) (t u : Nat) (h : (step s (.write t)).2 = true) (hu : u < t) :
    (step (run (step s (.write t)).1 es) (.write u)).2 = false := by
  have hf : (step s (.write t)).1.fence = t := by
    simp only [step] at h ⊢
    split at h
    · rename_i hw; rw [if_pos hw]
    · exact absurd h (by simp)
  have hm := fence_mono (step s (.write t)).1 es
  rw [hf] at hm
  show (if _ then _ else _ : State × Bool).2 = false
  rw [if_neg (by omega)]

theorem accepted_ge (s : State) (es : List Event) : ∀ t ∈ accepted s es, s.fence ≤ t := by
  induction es generalizing s with
  | nil => simp [accepted]
  | cons e es ih =>
    have hm := fence_mono_step s e
    cases e with
    | write t =>
      intro u hu
      simp only [accepted] at hu
      split at hu
      · rename_i hacc
        rcases List.mem_cons.mp hu with rfl | hu
        · simp only [step] at hacc
          split at hacc
          · rename_i hw; exact hw.1
          · exact absurd hacc (by simp)
        · exact Nat.le_trans hm (ih _ u hu)
      · exact Nat.le_trans hm (ih _ u hu)
    | acquire _ => intro u hu; exact Nat.le_trans hm (ih _ u hu)
    | renew _ => intro u hu; exact Nat.le_trans hm (ih _ u hu)
    | expire _ => intro u hu; exact Nat.le_trans hm (ih _ u hu)
    | release _ => intro u hu; exact Nat.le_trans hm (ih _ u hu)

/-- **The commands that reach a board never go back to an earlier holder.** -/
theorem writes_in_order (s : State) (es : List Event) : (accepted s es).Pairwise (· ≤ ·) := by
  induction es generalizing s with
  | nil => simp [accepted]
  | cons e es ih =>
    cases e with
    | write t =>
      simp only [accepted]
      split
      · rename_i hacc
        refine List.pairwise_cons.mpr ⟨?_, ih _⟩
        intro u hu
        have := accepted_ge _ es u hu
        simp only [step] at hacc
        split at hacc
        · rename_i hw
          simp only [step, if_pos hw] at this
          exact this
        · exact absurd hacc (by simp)
      · exact ih _
    | acquire _ => exact ih _
    | renew _ => exact ih _
    | expire _ => exact ih _
    | release _ => exact ih _

/-- **The holder has stopped before the next one begins**, with two clocks that only differ in pace.
A renewal began at real time `b`; its mark was written, and then seen by the contender at `s`.  The holder drives at
`d` only while its own clock shows less than `term - margin` since `b`; the contender takes the lease at `t` only
after its own clock has shown a whole `term` since `s`.  `slow` and `fast` bound the pace of any clock. -/
theorem stopped_before_taken (b s d t term margin slow fast heldClock seenClock : Rat)
    (hs : b ≤ s) (hslow : 0 < slow) (hfast : 0 < fast)
    (hh : (d - b) * slow ≤ heldClock) (hd : heldClock < term - margin)
    (hc : seenClock ≤ (t - s) * fast) (ht : term ≤ seenClock)
    (hmargin : (term - margin) * fast ≤ term * slow) : d < t := by
  have h1 : (d - b) * slow < term - margin := by grind
  have h2 : term ≤ (t - s) * fast := by grind
  have h3 := Rat.mul_lt_mul_of_pos_right h1 hfast
  have h4 := Rat.mul_le_mul_of_nonneg_right h2 (Rat.le_of_lt hslow)
  have h5 : (d - b) * (slow * fast) < (t - s) * (slow * fast) := by grind
  have h6 : d - b < t - s := Rat.lt_of_mul_lt_mul_right h5 (Rat.le_of_lt (Rat.mul_pos hslow hfast))
  grind

/-- A trace of the Python: events with the answers that it gave. -/
def agrees (trace : List (Event × Bool)) : Bool := answers init (trace.map (·.1)) == trace.map (·.2)

/-! Inhabited: two holders, an expiry between them, and the first one's late write. -/

def story : List Event := [.acquire 1, .write 1, .acquire 2, .expire 1, .acquire 2, .write 2, .write 1, .renew 1, .release 2]

example : answers init story = [true, true, false, true, true, true, false, false, true] := by decide +kernel

example : accepted init story = [1, 2] := by decide +kernel

example : (step (run (step (run init [.acquire 1, .expire 1, .acquire 2]) (.write 2)).1 [.renew 2]) (.write 1)).2 = false :=
  stale_write_refused _ _ 2 1 (by decide +kernel) (by decide)

/-- The service's term and margin allow each clock to be 2.5 % off. -/
example : ((10 : Rat) - 1) * (1025 / 1000) ≤ 10 * (975 / 1000) := by decide +kernel

example : (8 : Rat) < 11 :=
  stopped_before_taken 0 1 8 11 10 1 1 1 8 10 (by decide +kernel) (by decide +kernel) (by decide +kernel)
    (by decide +kernel) (by decide +kernel) (by decide +kernel) (by decide +kernel) (by decide +kernel)

/-- Until the new holder's first write, the fence alone does not stop the old one: the term does. -/
example : (step (run init [.acquire 1, .expire 1, .acquire 2]) (.write 1)).2 = true := by decide +kernel

end Lease
