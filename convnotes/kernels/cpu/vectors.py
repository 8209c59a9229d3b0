"""Vector instructions for the loops that numba compiles: what its compiler does not find in a loop of scalars.

A file of loops may use what stands here or in another such file: `compile.loop` keeps the dates of them all.
"""

from __future__ import annotations

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

_FEATURES = llvmlite.binding.get_host_cpu_features()
WIDE = bool(_FEATURES.get("avx512f"))  # 32 registers of 64 bytes
RANGE = WIDE and bool(_FEATURES.get("avx512dq"))  # an instruction that clamps
_BYTES = 64 if WIDE else 32  # of a vector
_INDEX = ir.IntType(64)


@register_jitable
def lanes(itemsize: int) -> int:
    """Elements of a vector."""
    return _BYTES // itemsize


class Vectors:
    """Vector instructions on elements of `dtype`, written where `builder` stands; with `single` on one at a time."""

    def __init__(self, context, builder, dtype, single: bool = False) -> None:
        self.builder, self.bits = builder, dtype.bitwidth
        self.lanes = 1 if single else lanes(self.bits // 8)
        self.type = ir.VectorType(context.get_value_type(dtype), self.lanes)

    def constant(self, value: float) -> ir.Constant:
        return ir.Constant(self.type, [value] * self.lanes)

    def numbers(self, first: int = 0) -> ir.Constant:
        """Of the lanes."""
        return ir.Constant(ir.VectorType(_INDEX, self.lanes), list(range(first, first + self.lanes)))

    def at(self, base, index):
        return self.builder.bitcast(self.builder.gep(base, [index]), self.type.as_pointer())

    def load(self, base, index):
        loaded = self.builder.load(self.at(base, index))
        loaded.align = self.bits // 8
        return loaded

    def load_some(self, base, index, wanted):
        """The elements that are wanted, and zeros; the others are not read."""
        place, i32 = self.at(base, index), ir.IntType(32)
        zeros = self.constant(0.0)
        rest = (ir.Constant(i32, self.bits // 8), wanted, zeros)
        function = ir.FunctionType(self.type, [place.type, *(value.type for value in rest)])
        name = f"llvm.masked.load.v{self.lanes}f{self.bits}.p0"
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, function, name), [place, *rest])

    def store_some(self, value, base, index, wanted) -> None:
        """The elements that are wanted; where the others would go nothing is written."""
        place, i32 = self.at(base, index), ir.IntType(32)
        given = (value, place, ir.Constant(i32, self.bits // 8), wanted)
        function = ir.FunctionType(ir.VoidType(), [one.type for one in given])
        name = f"llvm.masked.store.v{self.lanes}f{self.bits}.p0"
        self.builder.call(cgutils.get_or_insert_function(self.builder.module, function, name), given)

    def store(self, value, base, index) -> None:
        self.builder.store(value, self.at(base, index)).align = self.bits // 8

    def summed(self, count: int, steps):
        """Write a loop of `steps` turns that carries `count` sums in registers; `body(n, sums) → sums` fills it."""
        builder = self.builder

        def write(body):
            before = builder.block
            turn, after = builder.append_basic_block("turn"), builder.append_basic_block("after")
            builder.branch(turn)
            builder.position_at_end(turn)
            n = builder.phi(_INDEX)
            sums = [builder.phi(self.type) for _ in range(count)]
            now = body(n, sums)
            following = builder.add(n, ir.Constant(_INDEX, 1))
            builder.cbranch(builder.icmp_signed("<", following, steps), turn, after)
            n.add_incoming(ir.Constant(_INDEX, 0), before)
            n.add_incoming(following, builder.block)
            for total, value in zip(sums, now, strict=True):
                total.add_incoming(self.constant(0.0), before)
                total.add_incoming(value, turn)
            builder.position_at_end(after)
            return now

        return write

    def splat(self, scalar):
        anything = ir.Constant(ir.VectorType(scalar.type, self.lanes), ir.Undefined)
        first = self.builder.insert_element(anything, scalar, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, anything, zeros)

    def call(self, name: str, *vectors):
        function = ir.FunctionType(self.type, [self.type] * len(vectors))
        full_name = f"llvm.{name}.v{self.lanes}f{self.bits}"
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, function, full_name), vectors)

    def where(self, relation: str, a, b, chosen, other):
        return self.builder.select(self.builder.fcmp_ordered(relation, a, b), chosen, other)

    def nearer_to_zero(self, a, b):
        """The one of the smaller size, with the sign of a; b where a is NaN. For `RANGE` only."""
        i32, name = ir.IntType(32), f"llvm.x86.avx512.mask.range.p{'s' if self.bits == 32 else 'd'}.512"
        rest = (
            ir.Constant(i32, 0b0010),
            self.constant(0.0),
            ir.Constant(ir.IntType(self.lanes), -1),
            ir.Constant(i32, 4),
        )
        function = ir.FunctionType(self.type, [value.type for value in (a, b, *rest)])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, function, name), [a, b, *rest])


def pointer(context, builder, kind, array):
    return cgutils.create_struct_proxy(kind)(context, builder, array).data


@intrinsic
def copy(typingctx, target, i, source, j):
    """`target[i : i + lanes] = source[j : j + lanes]` in one vector, whatever lies there."""

    def generate(context, builder, signature, args):
        vectors = Vectors(context, builder, target.dtype)
        to, from_ = (pointer(context, builder, signature.args[n], args[n]) for n in (0, 2))
        vectors.store(vectors.load(from_, args[3]), to, args[1])
        return context.get_dummy_value()

    return types.void(target, types.int64, source, types.int64), generate


def _masked_copy(zeros: bool):
    @intrinsic
    def copy_masked(typingctx, target, i, source, j, wanted):
        """`copy` of the elements whose bit is set in `wanted`; the others are not read."""

        def generate(context, builder, signature, args):
            vectors = Vectors(context, builder, target.dtype)
            to, from_ = (pointer(context, builder, signature.args[n], args[n]) for n in (0, 2))
            bits = builder.trunc(args[4], ir.IntType(vectors.lanes))
            wanted = builder.bitcast(bits, ir.VectorType(ir.IntType(1), vectors.lanes))
            found = vectors.load_some(from_, args[3], wanted)
            if zeros:
                vectors.store(found, to, args[1])
            else:
                vectors.store_some(found, to, args[1], wanted)
            return context.get_dummy_value()

        i64 = types.int64
        return types.void(target, i64, source, i64, i64), generate

    return copy_masked


copy_some = _masked_copy(zeros=True)  # the others become zeros
copy_only = _masked_copy(zeros=False)  # the others stay what they are


@intrinsic
def inside(typingctx, source, numbers, first, shift, size):
    """As bits of `copy_some`: which of a vector of `numbers`, from the first on, are in `range(size)` once shifted."""

    def generate(context, builder, signature, args):
        vectors = Vectors(context, builder, source.dtype)
        at = builder.gep(pointer(context, builder, signature.args[1], args[1]), [args[2]])
        kind = ir.VectorType(ir.IntType(32), vectors.lanes)
        numbers = builder.load(builder.bitcast(at, kind.as_pointer()))
        numbers.align = 4
        shift, size = (vectors.splat(builder.trunc(args[n], ir.IntType(32))) for n in (3, 4))
        inside = builder.icmp_unsigned("<", builder.add(numbers, shift), size)  # a negative one is large
        return builder.zext(builder.bitcast(inside, ir.IntType(vectors.lanes)), _INDEX)

    i64 = types.int64
    return i64(source, numbers, i64, i64, i64), generate


@intrinsic
def fetch(typingctx, source, j):
    """Ask for the line of memory that holds element j, so that it is in the cache once it is read; j may be any."""

    def generate(context, builder, signature, args):
        at = builder.gep(pointer(context, builder, signature.args[0], args[0]), [args[1]])
        at, i32 = builder.bitcast(at, ir.IntType(8).as_pointer()), ir.IntType(32)
        function = ir.FunctionType(ir.VoidType(), [at.type, i32, i32, i32])
        given = [at, *(ir.Constant(i32, n) for n in (0, 3, 1))]  # to be read, into all caches, data
        builder.call(cgutils.get_or_insert_function(builder.module, function, "llvm.prefetch.p0"), given)
        return context.get_dummy_value()

    return types.void(source, types.int64), generate
