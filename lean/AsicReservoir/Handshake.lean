module

/-!
# Handshake: requests and answers are one to one

The state machine of `firmware_bridge/stratum/handshake.py`.  The wire may lose an answer (then the request is given
up), repeat it, or bring it late: an answer of any number may come at any time, so the theorems speak of all event lists.
-/

@[expose] public noncomputable section

namespace Handshake

inductive Event where
  | sent (job time : Nat)
  | answered (job time : Nat)
  | giveUp
deriving DecidableEq

/-- A request that got its answer. -/
structure Exchange where
  job : Nat
  sentAt : Nat
  answeredAt : Nat
deriving DecidableEq

structure State where
  /-- Number and time of the request in flight: by its type at most one. -/
  inFlight : Option (Nat × Nat)
  /-- Every number below was used. -/
  next : Nat
  /-- Requests, the newest first. -/
  requests : List (Nat × Nat)
  /-- Exchanges, the newest first. -/
  exchanges : List Exchange
  givenUp : Nat
  surplus : Nat
deriving DecidableEq

def init : State := ⟨none, 0, [], [], 0, 0⟩

/-- What an event does; `none` where the ledger refuses it (a second request in flight, or a number used before). -/
def step (s : State) : Event → Option State
  | .sent job time =>
    if s.inFlight.isNone ∧ s.next ≤ job then
      some { s with inFlight := some (job, time), next := job + 1, requests := (job, time) :: s.requests }
    else none
  | .answered job time =>
    match s.inFlight with
    | some (j, t) =>
      if j = job then some { s with inFlight := none, exchanges := ⟨j, t, time⟩ :: s.exchanges }
      else some { s with surplus := s.surplus + 1 }
    | none => some { s with surplus := s.surplus + 1 }
  | .giveUp =>
    match s.inFlight with
    | some _ => some { s with inFlight := none, givenUp := s.givenUp + 1 }
    | none => some s

/-- A refused event changes nothing. -/
def run : State → List Event → State
  | s, [] => s
  | s, e :: es => run ((step s e).getD s) es

/-- The request in flight, as a count. -/
def State.open (s : State) : Nat := if s.inFlight.isSome then 1 else 0

structure Inv (s : State) : Prop where
  requests_lt : ∀ q ∈ s.requests, q.1 < s.next
  requests_distinct : s.requests.Pairwise fun a b => b.1 < a.1
  flight_mem : ∀ q, s.inFlight = some q → q ∈ s.requests ∧ ∀ x ∈ s.exchanges, x.job < q.1
  exchange_mem : ∀ x ∈ s.exchanges, (x.job, x.sentAt) ∈ s.requests
  exchanges_distinct : s.exchanges.Pairwise fun a b => b.job < a.job
  counted : s.requests.length = s.exchanges.length + s.givenUp + s.open

theorem inv_init : Inv init :=
  ⟨by simp [init], by simp [init], by simp [init], by simp [init], by simp [init], by simp [init, State.open]⟩

theorem inv_step (s t : State) (e : Event) (h : Inv s) (hs : step s e = some t) : Inv t := by
  cases e with
  | sent job time =>
    simp only [step] at hs
    split at hs
    · rename_i hc
      obtain ⟨hn, hj⟩ := hc
      cases hs
      have hnone : s.inFlight = none := by simpa using hn
      refine ⟨?_, ?_, ?_, ?_, h.exchanges_distinct, ?_⟩
      · intro q hq
        rcases List.mem_cons.mp hq with rfl | hq
        · exact Nat.lt_succ_self _
        · have := h.requests_lt q hq
          show q.1 < job + 1
          omega
      · refine List.pairwise_cons.mpr ⟨?_, h.requests_distinct⟩
        intro q hq
        have := h.requests_lt q hq
        show q.1 < job
        omega
      · intro q hq
        cases hq
        refine ⟨by simp, ?_⟩
        intro x hx
        have := h.requests_lt _ (h.exchange_mem x hx)
        show x.job < job
        have h2 : x.job < s.next := this
        omega
      · intro x hx
        exact List.mem_cons_of_mem _ (h.exchange_mem x hx)
      · have hc := h.counted
        simp only [State.open, hnone, List.length_cons] at hc ⊢
        simp at hc ⊢
        omega
    · exact absurd hs (by simp)
  | answered job time =>
    simp only [step] at hs
    split at hs
    · rename_i j t0 hf
      obtain ⟨hm, hx⟩ := h.flight_mem _ hf
      have hc := h.counted
      split at hs
      · cases hs
        refine ⟨h.requests_lt, h.requests_distinct, ?_, ?_, ?_, ?_⟩
        · intro q hq; exact absurd hq (by simp)
        · intro x hx'
          rcases List.mem_cons.mp hx' with rfl | hx'
          · exact hm
          · exact h.exchange_mem x hx'
        · refine List.pairwise_cons.mpr ⟨?_, h.exchanges_distinct⟩
          intro x hx'
          exact hx x hx'
        · simp only [State.open, hf, List.length_cons] at hc ⊢
          simp at hc ⊢
          omega
      · cases hs
        exact ⟨h.requests_lt, h.requests_distinct, h.flight_mem, h.exchange_mem, h.exchanges_distinct, h.counted⟩
    · cases hs
      exact ⟨h.requests_lt, h.requests_distinct, h.flight_mem, h.exchange_mem, h.exchanges_distinct, h.counted⟩
  | giveUp =>
    simp only [step] at hs
    split at hs
    · rename_i q hf
      have hc := h.counted
      cases hs
      refine ⟨h.requests_lt, h.requests_distinct, ?_, h.exchange_mem, h.exchanges_distinct, ?_⟩
      · intro q hq; exact absurd hq (by simp)
      · simp only [State.open, hf] at hc ⊢
        simp at hc ⊢
        omega
    · cases hs
      exact h

theorem inv_run (s : State) (es : List Event) (h : Inv s) : Inv (run s es) := by
  induction es generalizing s with
  | nil => exact h
  | cons e es ih =>
    refine ih _ ?_
    cases hs : step s e with
    | none => exact h
    | some t => exact inv_step s t e h hs

/-- **Every answer that counts belongs to a request**: same number, and the time of that request. -/
theorem answered_was_requested (es : List Event) (x : Exchange) (hx : x ∈ (run init es).exchanges) :
    (x.job, x.sentAt) ∈ (run init es).requests := (inv_run init es inv_init).exchange_mem x hx

theorem pairwise_injective {α : Type} (f : α → Nat) (l : List α) (h : l.Pairwise fun a b => f b < f a) (x y : α)
    (hx : x ∈ l) (hy : y ∈ l) (e : f x = f y) : x = y := by
  induction l with
  | nil => exact absurd hx (by simp)
  | cons a l ih =>
    obtain ⟨ha, hl⟩ := List.pairwise_cons.mp h
    rcases List.mem_cons.mp hx with hx' | hx' <;> rcases List.mem_cons.mp hy with hy' | hy'
    · exact hx'.trans hy'.symm
    · have := ha y hy'; subst hx'; omega
    · have := ha x hx'; subst hy'; omega
    · exact ih hl hx' hy'

/-- **No request is answered twice**: two exchanges of one number are one exchange. -/
theorem counted_once (es : List Event) (x y : Exchange) (hx : x ∈ (run init es).exchanges)
    (hy : y ∈ (run init es).exchanges) (h : x.job = y.job) : x = y :=
  pairwise_injective Exchange.job _ (inv_run init es inv_init).exchanges_distinct x y hx hy h

/-- **A number stands for one request**: so an answer belongs to exactly one. -/
theorem request_unique (es : List Event) (p q : Nat × Nat) (hp : p ∈ (run init es).requests)
    (hq : q ∈ (run init es).requests) (h : p.1 = q.1) : p = q :=
  pairwise_injective Prod.fst _ (inv_run init es inv_init).requests_distinct p q hp hq h

/-- **Nothing is lost from the books**: every request was answered, given up, or is the one in flight. -/
theorem requests_accounted (es : List Event) : (run init es).requests.length =
    (run init es).exchanges.length + (run init es).givenUp + (run init es).open := (inv_run init es inv_init).counted

/-- At most one request is in flight. -/
theorem at_most_one_in_flight (es : List Event) :
    (run init es).requests.length ≤ (run init es).exchanges.length + (run init es).givenUp + 1 := by
  have h := requests_accounted es
  have : (run init es).open ≤ 1 := by unfold State.open; split <;> omega
  omega

/-- While a request is in flight the ledger refuses another. -/
theorem second_request_refused (s : State) (q : Nat × Nat) (h : s.inFlight = some q) (job time : Nat) :
    step s (.sent job time) = none := by simp [step, h]

/-- An answer of another number completes nothing. -/
theorem late_answer_is_surplus (s : State) (job time : Nat) (h : ∀ q, s.inFlight = some q → q.1 ≠ job) :
    step s (.answered job time) = some { s with surplus := s.surplus + 1 } := by
  simp only [step]
  split
  · rename_i j t hf
    rw [if_neg (h _ hf)]
  · rfl

/-- What the Python ledger counts after a trace: in flight, exchanges (number, sent, answered; the newest first), given up, surplus. -/
def summary (es : List Event) : Option Nat × List (Nat × Nat × Nat) × Nat × Nat :=
  let s := run init es
  (s.inFlight.map (·.1), s.exchanges.map fun x => (x.job, x.sentAt, x.answeredAt), s.givenUp, s.surplus)

/-! Inhabited: an answer, its repetition, a loss, the late answer of the lost one. -/

def story : List Event :=
  [.sent 0 1000, .answered 0 1700, .answered 0 1800, .sent 1 2000, .giveUp, .sent 2 3000, .answered 1 3100, .answered 2 3500]

example : summary story = (none, [(2, 3000, 3500), (0, 1000, 1700)], 1, 2) := by decide +kernel

example : (2, 3000) ∈ (run init story).requests := answered_was_requested story ⟨2, 3000, 3500⟩ (by decide +kernel)

end Handshake
