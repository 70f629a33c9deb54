import { type Code, type Floats, floats, type Ints, ints, select } from './assembler.ts';

/** Emits the rounding of numbers to f16 bits, as f32ToF16Bits of tensor/half.ts. */
export function toF16(code: Code, x: Floats): Ints {
  const bits = code.let(x.asInts());
  const magnitude = code.let(bits.and(0x7fffffff));
  const odd = magnitude.shrUnsigned(13).and(1);
  const normal = magnitude.add(0xfff).add(odd).sub(0x38000000).shrUnsigned(13);
  // Next to 0.5, an f32 counts units of 2^-24, as subnormals do.
  const subnormal = magnitude.asFloats().add(0.5).asInts().sub(0x3f000000);
  const finite = select(magnitude.above(0x387fffff), normal, subnormal);
  const bounded = select(magnitude.above(0x477fefff), ints(0x7c00), finite);
  const half = select(magnitude.above(0x7f800000), ints(0x7e00), bounded);
  return code.let(bits.shrUnsigned(16).and(0x8000).or(half));
}

/** Emits the rounding of numbers to bf16 bits: to nearest even, NaN kept. */
export function toBf16(code: Code, x: Floats): Ints {
  const bits = code.let(x.asInts());
  const high = code.let(bits.shrUnsigned(16));
  const rounded = bits.add(0x7fff).add(high.and(1)).shrUnsigned(16);
  return select(bits.and(0x7fffffff).above(0x7f800000), high.or(0x40), rounded);
}

/** 1 / x, or 0 where x is 0. */
export function inverseOrZero(code: Code, x: Floats): Floats {
  return code.let(floats(1).div(x).asInts().and(x.unequal(0)).asFloats());
}
