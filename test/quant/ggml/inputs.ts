import { normals } from '../../support/check-op.ts';

/** Values of a large input; a whole number of rows of every width here. */
const COUNT = 20 * 4096;
/** How many of them the plain quantisers are held to. */
export const PLAIN_COUNT = 4 * 4096;
const random = Float32Array.from(normals(COUNT, 5));
const other = Float32Array.from(normals(COUNT, 9));

/** Row widths that each input is quantised at, in turn: multiples of 256 and, for types of 32, other ones. */
const WIDTHS = [256, 1024, 4096, 512];
const NARROW = [32, 2048, 64, 128];

const SHAPES: Record<string, (x: number, i: number) => number> = {
  normal: (x) => x,
  'a layer of a model': (x) => 0.02 * x,
  'heavy tails': (x) => x ** 7,
  uniform: (_, i) => ((i * 2654435761) % 65536) / 32768 - 1,
  'all positive': (x) => Math.abs(x),
  'all negative': (x) => -Math.abs(x),
  'far from zero': (x) => x + 10,
  'mostly zero': (x, i) => (other[i] > 1.5 ? x : 0),
  'whole numbers': (x) => Math.round(4 * x),
  // Exactly between two codes of some type: where halves go.
  'ties of 127': (_, i) => (i % 32 === 0 ? 127 : (i % 32) - 15.5),
  'ties of 8': (_, i) => (i % 16 === 0 ? -8 : ((i * 7) % 32) / 2 - 7.75),
  constant: (_, i) => (i < COUNT / 2 ? 0.7 : -0.7),
  zero: (_, i) => (i < COUNT / 2 ? 0 : -0),
  'magnitudes mixed inside blocks': (x, i) => x * 10 ** Math.floor(8 * other[i]),
  'magnitudes mixed between groups': (x, i) => x * 10 ** Math.floor(10 * other[i >> 5]),
  'magnitudes mixed between superblocks': (x, i) => x * 10 ** Math.floor(10 * other[i >> 8]),
  // Scales that f16 rounds to subnormals or to zero; then below ggml's own limit; then f32 subnormals.
  '1e-6': (x) => 1e-6 * x,
  '1e-12': (x) => 1e-12 * x,
  '1e-15': (x) => 1e-15 * x,
  '1e-37': (x) => 1e-37 * x,
  '1e-40': (x) => 1e-40 * x,
  // Overflow of f16 scales, of f32 squares, of sums, of ranges.
  '1e10': (x) => 1e10 * x,
  '1e20': (x) => 1e20 * x,
  '1e38': (x) => 1e38 * x,
  // Broken weights: no more is asked than what ggml does with them.
  infinities: (x, i) => (other[i] > 3 ? Number.POSITIVE_INFINITY : other[i] < -3 ? Number.NEGATIVE_INFINITY : x),
  'not a number': (x, i) => (other[i] > 3 ? Number.NaN : x),
};

export interface Input {
  name: string;
  values: Float32Array;
  /** A width for types with blocks of 256, and one for types with blocks of 32. */
  width: { wide: number; narrow: number };
}

/** Over two million values in all. */
export const INPUTS: Input[] = Object.entries(SHAPES).map(([name, at], k) => ({
  name,
  values: random.map(at),
  width: { wide: WIDTHS[k % 4], narrow: NARROW[k % 4] },
}));

/** Importance of up to 4096 columns: spread over three decades, now and then zero. */
export const IMPORTANCE = other.slice(0, 4096).map((x, i) => (i % 97 === 0 ? 0 : Math.exp(2 * x)));
