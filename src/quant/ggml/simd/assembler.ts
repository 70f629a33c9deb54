/**
 * A small assembler for WebAssembly with 128-bit vectors.
 *
 * Kernels are TypeScript functions that run once and leave instructions behind: an expression such as
 * `x.sub(min).mul(inverse)` is a tree of instructions, {@link Code} emits statements in order, and an ordinary
 * TypeScript loop unrolls. Encodings: WebAssembly core specification 2.0, chapter 5.
 */

type Bytes = readonly number[];

const I32 = 0x7f;
const V128 = 0x7b;

/** A pure expression that leaves one value on the stack; using it twice computes it twice, so `let` what is shared. */
abstract class Value {
  readonly code: Bytes;
  /** Set for what {@link Code.let} returned. */
  readonly local: number | undefined;
  static readonly type: number = V128;

  constructor(code: Bytes, local?: number) {
    this.code = code;
    this.local = local;
  }
}

/** A 32-bit integer: addresses and counters. */
export class Int extends Value {
  static override readonly type: number = I32;

  add(other: Int | number): Int {
    return new Int([...this.code, ...int(other).code, 0x6a]);
  }

  mul(other: Int | number): Int {
    return new Int([...this.code, ...int(other).code, 0x6c]);
  }

  shl(bits: number): Int {
    return new Int([...this.code, ...int(bits).code, 0x74]);
  }

  shrUnsigned(bits: number): Int {
    return new Int([...this.code, ...int(bits).code, 0x76]);
  }

  below(other: Int | number): Int {
    return new Int([...this.code, ...int(other).code, 0x49]);
  }

  and(other: Int): Int {
    return new Int([...this.code, ...other.code, 0x71]);
  }

  or(other: Int): Int {
    return new Int([...this.code, ...other.code, 0x72]);
  }
}

/** Four 32-bit integers, or a mask of four lanes, all bits or none. */
export class Ints extends Value {
  add = (other: Ints | number) => new Ints(vector(0xae, this, ints(other)));
  sub = (other: Ints | number) => new Ints(vector(0xb1, this, ints(other)));
  min = (other: Ints | number) => new Ints(vector(0xb6, this, ints(other)));
  max = (other: Ints | number) => new Ints(vector(0xb8, this, ints(other)));
  and = (other: Ints | number) => new Ints(vector(0x4e, this, ints(other)));
  andNot = (other: Ints) => new Ints(vector(0x4f, this, other));
  or = (other: Ints | number) => new Ints(vector(0x50, this, ints(other)));
  equal = (other: Ints | number) => new Ints(vector(0x37, this, ints(other)));
  above = (other: Ints | number) => new Ints(vector(0x3b, this, ints(other)));
  not = () => new Ints(vector(0x4d, this));
  shl = (bits: number) => new Ints([...this.code, ...int(bits).code, ...opcode(0xab)]);
  shr = (bits: number) => new Ints([...this.code, ...int(bits).code, ...opcode(0xac)]);
  /** Fills with zeros, where shr repeats the sign. */
  shrUnsigned = (bits: number) => new Ints([...this.code, ...int(bits).code, ...opcode(0xad)]);
  toFloats = () => new Floats(vector(0xfa, this));
  /** The same bits as floats. */
  asFloats = () => new Floats(this.code);
  /** Whether any bit is set. */
  any = () => new Int(vector(0x53, this));
  /** Eight 16-bit integers from this and another, saturating. */
  narrow = (other: Ints) => new Ints(vector(0x85, this, other));
  /** Eight unsigned 16-bit integers from this and another, saturating. */
  narrowUnsigned = (other: Ints) => new Ints(vector(0x86, this, other));
  /** Sixteen unsigned bytes from 16-bit integers of this and another, saturating. */
  narrowBytes = (other: Ints) => new Ints(vector(0x66, this, other));
  /** The top bits of sixteen bytes. */
  topBits = () => new Int(vector(0x64, this));
  /** Bytes of this at the indices in another vector of bytes. */
  swizzle = (indices: Ints) => new Ints(vector(0x0e, this, indices));
}

/** Four f32 numbers; every operation rounds. */
export class Floats extends Value {
  add = (other: Floats | number) => new Floats(vector(0xe4, this, floats(other)));
  sub = (other: Floats | number) => new Floats(vector(0xe5, this, floats(other)));
  mul = (other: Floats | number) => new Floats(vector(0xe6, this, floats(other)));
  div = (other: Floats | number) => new Floats(vector(0xe7, this, floats(other)));
  sqrt = () => new Floats(vector(0xe3, this));
  abs = () => new Floats(vector(0xe0, this));
  trunc = () => new Floats(vector(0x69, this));
  /** The other where that is less, else this: this, too, if either is NaN. */
  lower = (other: Floats) => new Floats(vector(0xea, this, other));
  /** The other where this is less, else this: this, too, if either is NaN. */
  upper = (other: Floats) => new Floats(vector(0xeb, this, other));
  neg = () => new Floats(vector(0xe1, this));
  equal = (other: Floats | number) => new Ints(vector(0x41, this, floats(other)));
  unequal = (other: Floats | number) => new Ints(vector(0x42, this, floats(other)));
  below = (other: Floats | number) => new Ints(vector(0x43, this, floats(other)));
  above = (other: Floats | number) => new Ints(vector(0x44, this, floats(other)));
  /** Truncated; NaN gives 0. */
  toInts = () => new Ints(vector(0xf8, this));
  /** The same bits as integers. */
  asInts = () => new Ints(this.code);
  /** Lanes of this and another, 0–3 and 4–7, in a new order. */
  shuffle = (other: Floats, lanes: readonly number[]) =>
    new Floats([
      ...this.code,
      ...other.code,
      ...opcode(0x0d),
      ...lanes.flatMap((l) => [0, 1, 2, 3].map((b) => 4 * l + b)),
    ]);
}

/** An integer constant, or the integer itself. */
export function int(value: Int | number): Int {
  return value instanceof Int ? value : new Int([0x41, ...signedLeb(value)]);
}

/** Four equal integers. */
export function ints(value: Ints | number): Ints {
  return value instanceof Ints ? value : new Ints(constant(Int32Array.of(value, value, value, value)));
}

/** Four equal f32 numbers. */
export function floats(value: Floats | number): Floats {
  return value instanceof Floats ? value : new Floats(constant(Float32Array.of(value, value, value, value)));
}

/** Sixteen bytes. */
export function bytes(values: readonly number[]): Ints {
  return new Ints(constant(Int8Array.from(values)));
}

/** Four f32 numbers from memory. */
export function loadFloats(address: Int | number, offset = 0): Floats {
  return new Floats([...int(address).code, ...opcode(0x00), ...memory(offset)]);
}

/** Four times one f32 number from memory. */
export function loadSplat(address: Int | number, offset = 0): Floats {
  return new Floats([...int(address).code, ...opcode(0x09), ...memory(offset)]);
}

export function loadInts(address: Int | number, offset = 0): Ints {
  return new Ints([...int(address).code, ...opcode(0x00), ...memory(offset)]);
}

/** One integer from memory. */
export function loadInt(address: Int | number, offset = 0): Int {
  return new Int([...int(address).code, 0x28, ...memory(offset)]);
}

/** Lanes of `yes` where the mask is set, else of `no`. */
export function select<T extends Ints | Floats>(mask: Ints, yes: T, no: T): T {
  return same(yes, [...yes.code, ...no.code, ...mask.code, ...opcode(0x52)]);
}

/** Statements of one function. */
export class Code {
  readonly body: number[] = [];
  readonly locals: number[] = [];
  readonly #parameters: number;

  constructor(parameters: number) {
    this.#parameters = parameters;
  }

  /** Computes a value once and keeps it; {@link set} changes it. */
  let<T extends Int | Ints | Floats>(value: T): T {
    const index = this.#parameters + this.locals.length;
    this.locals.push((value.constructor as typeof Value).type);
    const variable = same(value, [0x20, ...leb(index)], index);
    this.set(variable, value);
    return variable;
  }

  set<T extends Int | Ints | Floats>(variable: T, value: T): void {
    if (variable.local === undefined) throw new Error('assembler: only what let returned can be set');
    this.body.push(...value.code, 0x21, ...leb(variable.local));
  }

  store(value: Ints | Floats, address: Int | number, offset = 0): void {
    this.body.push(...int(address).code, ...value.code, ...opcode(0x0b), ...memory(offset));
  }

  /** Stores the low two or all four bytes of an integer. */
  storeInt(value: Int, bytes: 2 | 4, address: Int | number, offset = 0): void {
    this.body.push(...int(address).code, ...value.code, bytes === 2 ? 0x3b : 0x36, ...memory(offset));
  }

  /** Runs the body for 0, step, 2·step … below `end`, once at least. */
  loop(end: Int | number, step: number, body: (index: Int) => void): void {
    const index = this.let(int(0));
    this.body.push(0x03, 0x40);
    body(index);
    this.set(index, index.add(step));
    this.body.push(...index.below(end).code, 0x0d, 0, 0x0b);
  }

  /** Runs the body, and again while the condition that it returns holds. */
  repeat(body: () => Int): void {
    this.body.push(0x03, 0x40);
    this.body.push(...body().code, 0x0d, 0, 0x0b);
  }
}

/** A module with exported functions of integers, which work on the memory that it imports. */
export class Module {
  readonly #functions: { name: string; parameters: number; body: number[] }[] = [];

  function(name: string, parameters: number, build: (code: Code, ...values: Int[]) => void): void {
    const code = new Code(parameters);
    build(code, ...Array.from({ length: parameters }, (_, i) => new Int([0x20, ...leb(i)], i)));
    const body = [...list(code.locals.map((type) => [1, type])), ...code.body, 0x0b];
    this.#functions.push({ name, parameters, body: [...leb(body.length), ...body] });
  }

  /** The module's bytes; it imports `memory` from module `host`. */
  assemble(): Uint8Array<ArrayBuffer> {
    const all = this.#functions;
    const section = (id: number, content: Bytes) => [id, ...leb(content.length), ...content];
    const text = (value: string) => list([...new TextEncoder().encode(value)].map((byte) => [byte]));
    return Uint8Array.from([
      ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
      ...section(1, list(all.map(({ parameters }) => [0x60, ...list(Array(parameters).fill([I32])), 0]))),
      ...section(2, list([[...text('host'), ...text('memory'), 2, 0, 1]])),
      ...section(3, list(all.map((_, i) => leb(i)))),
      ...section(7, list(all.map(({ name }, i) => [...text(name), 0, ...leb(i)]))),
      ...section(10, list(all.map(({ body }) => body))),
    ]);
  }
}

function same<T extends Int | Ints | Floats>(like: T, code: Bytes, local?: number): T {
  return new (like.constructor as new (code: Bytes, local?: number) => T)(code, local);
}

function vector(number: number, ...operands: Value[]): Bytes {
  return [...operands.flatMap(({ code }) => code), ...opcode(number)];
}

function opcode(number: number): Bytes {
  return [0xfd, ...leb(number)];
}

function constant(lanes: Int8Array | Int32Array | Float32Array): Bytes {
  return [...opcode(0x0c), ...new Uint8Array(lanes.buffer)];
}

/** Operand of a load or store: no promise about alignment, and an offset. */
function memory(offset: number): Bytes {
  return [0, ...leb(offset)];
}

function list(items: readonly Bytes[]): number[] {
  return [...leb(items.length), ...items.flat()];
}

function leb(value: number): number[] {
  const low = value & 127;
  return value < 128 ? [low] : [low | 128, ...leb(value >>> 7)];
}

function signedLeb(value: number): number[] {
  const low = value & 127;
  const rest = value >> 7;
  return (rest === 0 && low < 64) || (rest === -1 && low >= 64) ? [low] : [low | 128, ...signedLeb(rest)];
}
