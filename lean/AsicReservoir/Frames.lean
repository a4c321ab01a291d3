module

/-!
# Frames: what the checksums of the BM13xx wire detect, and what they do not

A checksum register of `w` bits takes a message bit by bit, the most significant bit of every byte first
(`firmware_bridge/bm13xx/crc.py`).  Errors are patterns of flipped bits, in the body or in the checksum itself.
-/

@[expose] public noncomputable section

namespace Frames

/-- One bit through the register. -/
def step {w : Nat} (poly s : BitVec w) (b : Bool) : BitVec w :=
  if (s.msb ^^ b) = true then s <<< 1 ^^^ poly else s <<< 1

/-- The register after a message. -/
def crc {w : Nat} (poly : BitVec w) : BitVec w → List Bool → BitVec w
  | s, [] => s
  | s, b :: bits => crc poly (step poly s b) bits

/-- The first `n` bits of `v`, the most significant first. -/
def bitsOf {w : Nat} (v : BitVec w) : Nat → List Bool
  | 0 => []
  | n + 1 => v.msb :: bitsOf (v <<< 1) n

def bits (bytes : List (BitVec 8)) : List Bool := bytes.flatMap fun b => bitsOf b 8

/-- CRC-5 of commands and replies: polynomial 0x05, start 0x1F. -/
def crc5 (message : List Bool) : BitVec 5 := crc 0x05#5 0x1F#5 message

/-- CRC-16 of jobs: polynomial 0x1021, start 0xFFFF. -/
def crc16 (message : List Bool) : BitVec 16 := crc 0x1021#16 0xFFFF#16 message

def flip (message error : List Bool) : List Bool := List.zipWith xor message error

/-- The register is linear: errors travel through it by themselves. -/
theorem step_xor {w : Nat} (poly s t : BitVec w) (b c : Bool) :
    step poly (s ^^^ t) (b ^^ c) = step poly s b ^^^ step poly t c := by
  unfold step
  rw [BitVec.msb_xor, BitVec.shiftLeft_xor_distrib]
  cases s.msb <;> cases t.msb <;> cases b <;> cases c <;> simp [BitVec.xor_assoc]
  all_goals first
    | exact BitVec.xor_comm _ _
    | rw [BitVec.xor_comm (t <<< 1), ← BitVec.xor_assoc, BitVec.xor_self, BitVec.zero_xor]

theorem crc_xor {w : Nat} (poly s t : BitVec w) (m e : List Bool) (h : m.length = e.length) :
    crc poly (s ^^^ t) (flip m e) = crc poly s m ^^^ crc poly t e := by
  induction m generalizing s t e with
  | nil =>
    cases e with
    | nil => rfl
    | cons _ _ => exact absurd h (by simp)
  | cons b m ih =>
    cases e with
    | nil => exact absurd h (by simp)
    | cons c e =>
      show crc poly (step poly (s ^^^ t) (b ^^ c)) (flip m e) = _
      rw [step_xor]
      exact ih _ _ e (by simpa using h)

/-- **An error goes unseen exactly when the checksum of its pattern, from 0, is 0.** -/
theorem undetected_iff {w : Nat} (poly init : BitVec w) (m e : List Bool) (h : m.length = e.length) :
    crc poly init (flip m e) = crc poly init m ↔ crc poly 0#w e = 0#w := by
  have hx := crc_xor poly init 0#w m e h
  rw [BitVec.xor_zero] at hx
  rw [hx]
  constructor
  · intro h1
    have h2 : crc poly init m ^^^ (crc poly init m ^^^ crc poly 0#w e) = crc poly init m ^^^ crc poly init m := by rw [h1]
    rwa [← BitVec.xor_assoc, BitVec.xor_self, BitVec.zero_xor] at h2
  · intro h1
    rw [h1, BitVec.xor_zero]

theorem crc_append {w : Nat} (poly s : BitVec w) (m e : List Bool) : crc poly s (m ++ e) = crc poly (crc poly s m) e := by
  induction m generalizing s with
  | nil => rfl
  | cons b m ih => exact ih _

/-- Without further errors the register only shifts. -/
def shift {w : Nat} (poly : BitVec w) : Nat → BitVec w → BitVec w
  | 0, s => s
  | n + 1, s => shift poly n (step poly s false)

theorem crc_zeros {w : Nat} (poly s : BitVec w) (n : Nat) : crc poly s (List.replicate n false) = shift poly n s := by
  induction n generalizing s with
  | zero => rfl
  | succ n ih => exact ih _

theorem step_zero {w : Nat} (poly : BitVec w) : step poly 0#w false = 0#w := by
  unfold step
  simp

theorem shift_zero {w : Nat} (poly : BitVec w) (n : Nat) : shift poly n 0#w = 0#w := by
  induction n with
  | zero => rfl
  | succ n ih => rw [shift, step_zero, ih]

/-- With an odd polynomial a step loses nothing: only 0 goes to 0. -/
theorem step_injective {w : Nat} (poly s : BitVec (w + 1)) (hp : poly.getLsbD 0 = true) (h : step poly s false = 0#(w + 1)) :
    s = 0#(w + 1) := by
  have hm : s.msb = false := by
    have h0 := congrArg (fun v => v.getLsbD 0) h
    unfold step at h0
    cases hs : s.msb with
    | false => rfl
    | true =>
      simp [hs] at h0
      rw [← BitVec.getLsbD_eq_getElem, hp] at h0
      exact h0
  have h1 : s <<< 1 = 0#(w + 1) := by
    unfold step at h
    simpa [hm] using h
  apply BitVec.eq_of_getLsbD_eq
  intro i hi
  by_cases e : i = w
  · have : s.msb = s.getLsbD w := by simp [BitVec.msb_eq_getLsbD_last]
    rw [e, ← this, hm]; simp
  · have h2 := congrArg (fun v => v.getLsbD (i + 1)) h1
    simp at h2
    have h3 := h2 (by omega)
    rw [h3]; simp

theorem shift_injective {w : Nat} (poly : BitVec (w + 1)) (hp : poly.getLsbD 0 = true) (n : Nat) (s : BitVec (w + 1))
    (h : shift poly n s = 0#(w + 1)) : s = 0#(w + 1) := by
  induction n generalizing s with
  | zero => exact h
  | succ n ih => exact step_injective poly s hp (ih _ h)

/-- One flipped bit with `a` bits before it and `b` behind. -/
def single (a b : Nat) : List Bool := List.replicate a false ++ true :: List.replicate b false

/-- Two flipped bits, `b` bits between them. -/
def double (a b c : Nat) : List Bool :=
  List.replicate a false ++ true :: (List.replicate b false ++ true :: List.replicate c false)

theorem step_zero_true {w : Nat} (poly : BitVec w) : step poly 0#w true = poly := by
  unfold step
  simp

theorem step_true {w : Nat} (poly s : BitVec w) : step poly s true = step poly s false ^^^ poly := by
  have h := step_xor poly s 0#w false true
  rw [step_zero_true, BitVec.xor_zero] at h
  exact h

theorem shift_succ {w : Nat} (poly s : BitVec w) (n : Nat) : shift poly (n + 1) s = step poly (shift poly n s) false := by
  induction n generalizing s with
  | zero => rfl
  | succ n ih => rw [shift, ih]; rfl

theorem crc_single {w : Nat} (poly : BitVec w) (a b : Nat) : crc poly 0#w (single a b) = shift poly b poly := by
  rw [single, crc_append, crc_zeros, shift_zero]
  show crc poly (step poly 0#w true) _ = _
  rw [step_zero_true, crc_zeros]

theorem crc_double {w : Nat} (poly : BitVec w) (a b c : Nat) :
    crc poly 0#w (double a b c) = shift poly c (shift poly (b + 1) poly ^^^ poly) := by
  rw [double, crc_append, crc_zeros, shift_zero]
  show crc poly (step poly 0#w true) _ = _
  rw [step_zero_true, crc_append, crc_zeros]
  show crc poly (step poly (shift poly b poly) true) _ = _
  rw [step_true, crc_zeros, shift_succ]

/-- Within `n` steps the register does not come back to the polynomial. -/
def noReturn {w : Nat} (poly : BitVec w) : Nat → BitVec w → Bool
  | 0, _ => true
  | n + 1, s => step poly s false != poly && noReturn poly n (step poly s false)

theorem noReturn_shift {w : Nat} (poly : BitVec w) (n : Nat) (s : BitVec w) (h : noReturn poly n s = true) (b : Nat) (hb : b < n) :
    shift poly (b + 1) s ≠ poly := by
  induction n generalizing s b with
  | zero => omega
  | succ n ih =>
    simp only [noReturn, Bool.and_eq_true, bne_iff_ne, ne_eq] at h
    cases b with
    | zero => exact h.1
    | succ b => exact ih _ h.2 b (by omega)

theorem eq_of_xor_eq_zero {w : Nat} (a b : BitVec w) (h : a ^^^ b = 0#w) : a = b := by
  have h2 : a ^^^ b ^^^ b = 0#w ^^^ b := by rw [h]
  rwa [BitVec.xor_assoc, BitVec.xor_self, BitVec.xor_zero, BitVec.zero_xor] at h2

theorem length_single (a b : Nat) : (single a b).length = a + 1 + b := by simp [single]; omega

theorem length_double (a b c : Nat) : (double a b c).length = a + 1 + b + 1 + c := by simp [double]; omega

/-- **CRC-5 detects every single-bit error**, in a frame of any length. -/
theorem crc5_detects_single (m : List Bool) (a b : Nat) (h : m.length = a + 1 + b) : crc5 (flip m (single a b)) ≠ crc5 m := by
  intro he
  have h1 := (undetected_iff 0x05#5 0x1F#5 m _ (h.trans (length_single a b).symm)).mp he
  rw [crc_single] at h1
  exact absurd (shift_injective 0x05#5 (by decide) b _ h1) (by decide)

/-- **CRC-16 detects every single-bit error**, in a frame of any length. -/
theorem crc16_detects_single (m : List Bool) (a b : Nat) (h : m.length = a + 1 + b) :
    crc16 (flip m (single a b)) ≠ crc16 m := by
  intro he
  have h1 := (undetected_iff 0x1021#16 0xFFFF#16 m _ (h.trans (length_single a b).symm)).mp he
  rw [crc_single] at h1
  exact absurd (shift_injective 0x1021#16 (by decide) b _ h1) (by decide)

/-- **CRC-5 detects two flipped bits that are less than 31 bits apart.** -/
theorem crc5_detects_double (m : List Bool) (a b c : Nat) (h : m.length = a + 1 + b + 1 + c) (hb : b + 1 < 31) :
    crc5 (flip m (double a b c)) ≠ crc5 m := by
  intro he
  have h1 := (undetected_iff 0x05#5 0x1F#5 m _ (h.trans (length_double a b c).symm)).mp he
  rw [crc_double] at h1
  have h2 := shift_injective 0x05#5 (by decide) c _ h1
  have hn : noReturn 0x05#5 30 0x05#5 = true := by decide +kernel
  exact noReturn_shift _ 30 _ hn b (by omega) (eq_of_xor_eq_zero _ _ h2)

/-- **And no further**: two flipped bits exactly 31 apart pass CRC-5, whatever the frame says.  A command has 32 bits
before its checksum, so this can happen there. -/
theorem crc5_misses_31 (m : List Bool) (a c : Nat) (h : m.length = a + 1 + 30 + 1 + c) :
    crc5 (flip m (double a 30 c)) = crc5 m := by
  refine (undetected_iff 0x05#5 0x1F#5 m _ (h.trans (length_double a 30 c).symm)).mpr ?_
  have h1 : shift 0x05#5 (30 + 1) 0x05#5 ^^^ 0x05#5 = 0#5 := by decide +kernel
  rw [crc_double, h1, shift_zero]

/-- **CRC-16 detects every double-bit error** in frames of up to 704 bits: a job has 88 bytes with its preamble. -/
theorem crc16_detects_double (m : List Bool) (a b c : Nat) (h : m.length = a + 1 + b + 1 + c) (hl : m.length ≤ 704) :
    crc16 (flip m (double a b c)) ≠ crc16 m := by
  intro he
  have h1 := (undetected_iff 0x1021#16 0xFFFF#16 m _ (h.trans (length_double a b c).symm)).mp he
  rw [crc_double] at h1
  have h2 := shift_injective 0x1021#16 (by decide) c _ h1
  have hn : noReturn 0x1021#16 703 0x1021#16 = true := by decide +kernel
  exact noReturn_shift _ 703 _ hn b (by omega) (eq_of_xor_eq_zero _ _ h2)

theorem step_msb {w : Nat} (poly s : BitVec w) : step poly s s.msb = s <<< 1 := by
  unfold step
  simp

theorem crc_bitsOf {w : Nat} (poly s : BitVec w) (n : Nat) : crc poly s (bitsOf s n) = s <<< n := by
  induction n generalizing s with
  | zero => simp [bitsOf, crc]
  | succ n ih =>
    show crc poly (step poly s s.msb) (bitsOf (s <<< 1) n) = _
    rw [step_msb, ih, ← BitVec.shiftLeft_add, Nat.add_comm]

/-- **A frame with its own checksum leaves 0**: the test that a receiver makes, and why an error in the checksum
itself is an error like any other. -/
theorem residue_zero {w : Nat} (poly init : BitVec w) (m : List Bool) :
    crc poly init (m ++ bitsOf (crc poly init m) w) = 0#w := by
  rw [crc_append, crc_bitsOf]
  apply BitVec.eq_of_getLsbD_eq
  intro i hi
  simp

/-! ## Commands -/

/-- The commands of a host to a BM1366; a register value as its four bytes, the highest first. -/
inductive Command where
  | setAddress (chip : BitVec 8)
  | chainInactive
  | readAll (register : BitVec 8)
  | readOne (chip register : BitVec 8)
  | writeAll (register v3 v2 v1 v0 : BitVec 8)
  | writeOne (chip register v3 v2 v1 v0 : BitVec 8)
deriving DecidableEq

/-- CRC-5 as the last byte of a command: its upper three bits are 0. -/
def crcByte (body : List (BitVec 8)) : BitVec 8 := (crc5 (bits body)).setWidth 8

def body : Command → List (BitVec 8)
  | .setAddress c => [0x40, 5, c, 0]
  | .chainInactive => [0x53, 5, 0, 0]
  | .readAll r => [0x52, 5, 0, r]
  | .readOne c r => [0x42, 5, c, r]
  | .writeAll r v3 v2 v1 v0 => [0x51, 9, 0, r, v3, v2, v1, v0]
  | .writeOne c r v3 v2 v1 v0 => [0x41, 9, c, r, v3, v2, v1, v0]

def encode (c : Command) : List (BitVec 8) := 0x55 :: 0xAA :: (body c ++ [crcByte (body c)])

def short (t l x y : BitVec 8) : Option Command :=
  if t = 0x40 ∧ l = 5 ∧ y = 0 then some (.setAddress x)
  else if t = 0x53 ∧ l = 5 ∧ x = 0 ∧ y = 0 then some .chainInactive
  else if t = 0x52 ∧ l = 5 ∧ x = 0 then some (.readAll y)
  else if t = 0x42 ∧ l = 5 then some (.readOne x y)
  else none

def long (t l x y v3 v2 v1 v0 : BitVec 8) : Option Command :=
  if t = 0x51 ∧ l = 9 ∧ x = 0 then some (.writeAll y v3 v2 v1 v0)
  else if t = 0x41 ∧ l = 9 then some (.writeOne x y v3 v2 v1 v0)
  else none

def decode : List (BitVec 8) → Option Command
  | [p, q, t, l, x, y, k] =>
    if p = 0x55 ∧ q = 0xAA ∧ k = crcByte [t, l, x, y] then short t l x y else none
  | [p, q, t, l, x, y, v3, v2, v1, v0, k] =>
    if p = 0x55 ∧ q = 0xAA ∧ k = crcByte [t, l, x, y, v3, v2, v1, v0] then long t l x y v3 v2 v1 v0 else none
  | _ => none

/-- **What was encoded is decoded.** -/
theorem decode_encode (c : Command) : decode (encode c) = some c := by
  cases c <;> simp [encode, body, decode, short, long]

/-- **What was decoded is the frame of that command and of no other**: decoding accepts nothing else. -/
theorem encode_of_decode (f : List (BitVec 8)) (c : Command) (h : decode f = some c) : encode c = f := by
  unfold decode at h
  split at h
  · split at h
    · rename_i hk
      obtain ⟨rfl, rfl, rfl⟩ := hk
      unfold short at h
      repeat' split at h
      all_goals first
        | (rename_i ht; cases h; obtain ⟨rfl, rfl, rfl, rfl⟩ := ht; rfl)
        | (rename_i ht; cases h; obtain ⟨rfl, rfl, rfl⟩ := ht; rfl)
        | (rename_i ht; cases h; obtain ⟨rfl, rfl⟩ := ht; rfl)
        | cases h
    · exact absurd h (by simp)
  · split at h
    · rename_i hk
      obtain ⟨rfl, rfl, rfl⟩ := hk
      unfold long at h
      repeat' split at h
      all_goals first
        | (rename_i ht; cases h; obtain ⟨rfl, rfl, rfl⟩ := ht; rfl)
        | (rename_i ht; cases h; obtain ⟨rfl, rfl⟩ := ht; rfl)
        | cases h
    · exact absurd h (by simp)
  · exact absurd h (by simp)

/-! Inhabited: check values of the two checksums, and a pair of errors that CRC-5 misses in a real command. -/

def digits : List (BitVec 8) := [0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39]

example : crc5 (bits digits) = 0x0F#5 ∧ crc16 (bits digits) = 0x29B1#16 := by decide +kernel

example : encode (.readAll 0) = [0x55, 0xAA, 0x52, 0x05, 0x00, 0x00, 0x0A] := by decide +kernel

example : crc5 (flip (bits [0x52, 0x05, 0x00, 0x00]) (single 3 28)) ≠ crc5 (bits [0x52, 0x05, 0x00, 0x00]) :=
  crc5_detects_single _ 3 28 (by decide +kernel)

example : crc5 (flip (bits [0x52, 0x05, 0x00, 0x00]) (double 0 30 0)) = crc5 (bits [0x52, 0x05, 0x00, 0x00]) :=
  crc5_misses_31 _ 0 0 (by decide +kernel)

example : crc16 (flip (bits digits) (double 7 40 23)) ≠ crc16 (bits digits) :=
  crc16_detects_double _ 7 40 23 (by decide +kernel) (by decide +kernel)

end Frames
