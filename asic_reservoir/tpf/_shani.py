"""Kernels on the SHA extensions of x86: straight LLVM code, two hashes interleaved to hide the latency.

Two instructions of the processor make two rounds; what they return after each step is one row of a trace (see
:data:`asic_reservoir.tpf._constants.PAIRS`), so a trace costs one store every two rounds. Used where the processor
has the extensions, and tested word by word against the portable kernels, which are the reference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from llvmlite import binding, ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from asic_reservoir.tpf._constants import DIGEST_BITS, HEADER_BITS, IV_INTEGERS, K_INTEGERS, PADDING, PAIRS

_I32, _I64 = ir.IntType(32), ir.IntType(64)
_V4 = ir.VectorType(_I32, 4)
_LANES = 2

Vector: TypeAlias = Any
"""An LLVM value; llvmlite brings no types."""
State: TypeAlias = tuple[Vector, Vector]
"""Registers (f, e, b, a) and (h, g, d, c), lowest lane first."""
Store: TypeAlias = Callable[[int, int, Vector], None]
"""Called with lane, row of the trace, and the row."""


def available() -> bool:
    """Whether this processor has the SHA extensions."""
    return bool(binding.get_host_cpu_features().get("sha", False))


def _constant(*words: int) -> Vector:
    return ir.Constant(_V4, [ir.Constant(_I32, word) for word in words])


_IV_STATE = (
    _constant(IV_INTEGERS[5], IV_INTEGERS[4], IV_INTEGERS[1], IV_INTEGERS[0]),
    _constant(IV_INTEGERS[7], IV_INTEGERS[6], IV_INTEGERS[3], IV_INTEGERS[2]),
)
_ZERO = _constant(0, 0, 0, 0)


def _pick(builder: ir.IRBuilder, low: Vector, high: Vector, *lanes: int) -> Vector:
    return builder.shuffle_vector(low, high, ir.Constant(_V4, [ir.Constant(_I32, lane) for lane in lanes]))


def _pack(builder: ir.IRBuilder, words: list[Vector]) -> Vector:
    vector: Vector = ir.Constant(_V4, ir.Undefined)
    for lane, word in enumerate(words):
        vector = builder.insert_element(vector, word, ir.Constant(_I32, lane))
    return vector


def _compress(
    builder: ir.IRBuilder, states: list[State], messages: list[list[Vector]], store: Store | None
) -> list[State]:
    """64 rounds from ``states`` over 4 vectors of message words a lane; the rows of the trace go to ``store``."""

    insert: Any = cgutils.get_or_insert_function

    def instruction(name: str, n_operands: int) -> Any:
        kind = ir.FunctionType(_V4, [_V4] * n_operands)
        return insert(builder.module, kind, f"llvm.x86.{name}")

    two_rounds = instruction("sha256rnds2", 3)
    schedule_1, schedule_2 = instruction("sha256msg1", 2), instruction("sha256msg2", 2)
    if store is not None:
        for lane, (abef, cdgh) in enumerate(states):
            store(lane, 0, cdgh)
            store(lane, 1, abef)
    for group in range(16):
        for words in messages:
            if group >= 4:
                partial = builder.call(schedule_1, [words[group - 4], words[group - 3]])
                partial = builder.add(partial, _pick(builder, words[group - 2], words[group - 1], 1, 2, 3, 4))
                words.append(builder.call(schedule_2, [partial, words[group - 1]]))
        keyed = [builder.add(words[group], _constant(*K_INTEGERS[4 * group : 4 * group + 4])) for words in messages]
        for half in range(2):
            for lane, (abef, cdgh) in enumerate(states):
                key = _pick(builder, keyed[lane], keyed[lane], 2, 3, 2, 3) if half else keyed[lane]
                new = builder.call(two_rounds, [cdgh, abef, key])
                states[lane] = (new, abef)
                if store is not None:
                    store(lane, 2 + 2 * group + half, new)
    return states


class _Arrays:
    """Pointers into the array arguments of an intrinsic."""

    def __init__(self, context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> None:
        self.builder, self._values = builder, values
        self._data = [
            context.make_array(kind)(context, builder, value).data if isinstance(kind, types.Array) else None
            for kind, value in zip(signature.args, values, strict=True)
        ]

    def element(self, argument: int, index: int | Vector) -> Vector:
        offset = ir.Constant(_I64, index) if isinstance(index, int) else index
        return self.builder.gep(self._data[argument], [offset])

    def load(self, argument: int, index: int | Vector) -> Vector:
        return self.builder.load(self.element(argument, index))

    def store_row(self, argument: int, index: Vector, row: Vector) -> None:
        pointer = self.builder.bitcast(self.element(argument, index), _V4.as_pointer())
        self.builder.store(row, pointer, align=4)


def _header_hash(arrays: _Arrays, indices: list[Vector], first: Store | None, second: Store | None) -> list[State]:
    """Both compressions of the headers (midstate, tail, nonces[index]); arguments 0, 1, 2 of the intrinsic."""
    builder = arrays.builder
    midstate = [arrays.load(0, word) for word in range(8)]
    tail = [arrays.load(1, word) for word in range(3)]
    abef = _pack(builder, [midstate[5], midstate[4], midstate[1], midstate[0]])
    cdgh = _pack(builder, [midstate[7], midstate[6], midstate[3], midstate[2]])
    messages = []
    for index in indices:
        nonce = builder.bswap(arrays.load(2, index))
        messages.append(
            [_pack(builder, [*tail, nonce]), _constant(PADDING, 0, 0, 0), _ZERO, _constant(0, 0, 0, HEADER_BITS)]
        )
    states = _compress(builder, [(abef, cdgh)] * len(indices), messages, first)
    messages = []
    for abef_end, cdgh_end in states:
        low, high = builder.add(abef_end, abef), builder.add(cdgh_end, cdgh)
        messages.append(
            [
                _pick(builder, low, high, 3, 2, 7, 6),
                _pick(builder, low, high, 1, 0, 5, 4),
                _constant(PADDING, 0, 0, 0),
                _constant(0, 0, 0, DIGEST_BITS),
            ]
        )
    return _compress(builder, [_IV_STATE] * len(indices), messages, second)


def _define_word7_pair(typing: Any, midstate: Any, tail: Any, nonces: Any, i: Any, j: Any, out: Any) -> Any:
    """out[i], out[j] = digest word 7 of nonces[i], nonces[j]. The rounds after the 62nd are dead code and fall away."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> Any:
        arrays = _Arrays(context, builder, signature, values)
        indices = [values[3], values[4]]
        for index, (_, hgdc) in zip(indices, _header_hash(arrays, indices, None, None), strict=True):
            last = builder.extract_element(hgdc, ir.Constant(_I32, 0))
            builder.store(builder.add(last, ir.Constant(_I32, IV_INTEGERS[7])), arrays.element(5, index))
        return context.get_dummy_value()

    return types.void(midstate, tail, nonces, i, j, out), generate


def _define_trace_pair(typing: Any, midstate: Any, tail: Any, nonces: Any, i: Any, j: Any, out: Any, row: Any) -> Any:
    """Traces of nonces[i], nonces[j] into rows ``row`` and ``row`` + 1 of ``out`` (n, 2, PAIRS, 4)."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> Any:
        arrays = _Arrays(context, builder, signature, values)

        def into(compression: int) -> Store:
            def store(lane: int, pair: int, vector: Vector) -> None:
                header = builder.add(values[6], ir.Constant(_I64, lane))
                base = builder.mul(header, ir.Constant(_I64, 2 * PAIRS * 4))
                offset = ir.Constant(_I64, (compression * PAIRS + pair) * 4)
                arrays.store_row(5, builder.add(base, offset), vector)

            return store

        _header_hash(arrays, [values[3], values[4]], into(0), into(1))
        return context.get_dummy_value()

    return types.void(midstate, tail, nonces, i, j, out, row), generate


_word7_pair: Any = intrinsic(_define_word7_pair)
_trace_pair: Any = intrinsic(_define_trace_pair)


@njit(nogil=True, cache=True)
def word7(midstate: Any, tail: Any, nonces: Any, out: Any) -> None:
    """Digest word 7 of every nonce, rounds 63 and 64 left out; same contract as the portable kernel."""
    n = nonces.shape[0]
    for i in range(0, n, _LANES):
        _word7_pair(midstate, tail, nonces, i, min(i + 1, n - 1), out)


@njit(nogil=True, cache=True)
def trace(midstate: Any, tail: Any, nonces: Any, out: Any) -> None:
    """Traces of both compressions; same contract as the portable kernel."""
    n = nonces.shape[0]
    for i in range(0, n - 1, _LANES):
        _trace_pair(midstate, tail, nonces, i, i + 1, out, i)
    if n % _LANES:
        last = np.empty((_LANES, 2, PAIRS, 4), np.uint32)
        _trace_pair(midstate, tail, nonces, n - 1, n - 1, last, 0)
        out[n - 1] = last[0]


@njit(nogil=True, cache=True)
def tap(midstate: Any, tail: Any, nonces: Any, compression: int, r: int, states: Any, words: Any) -> None:
    """State after round r of one compression and digest word 7; same contract as the portable kernel."""
    n = nonces.shape[0]
    scratch = np.empty((_LANES, 2, PAIRS, 4), np.uint32)
    for i in range(0, n, _LANES):
        _trace_pair(midstate, tail, nonces, i, min(i + 1, n - 1), scratch, 0)
        for lane in range(min(_LANES, n - i)):
            for back in range(4):
                t = r + 3 - back
                states[i + lane, back] = scratch[lane, compression, t >> 1, 2 + (t & 1)]
                states[i + lane, 4 + back] = scratch[lane, compression, t >> 1, t & 1]
            words[i + lane] = scratch[lane, 1, 32, 0] + np.uint32(IV_INTEGERS[7])
