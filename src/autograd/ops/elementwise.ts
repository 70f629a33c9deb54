import { expressionVariants, mapBinary, mapUnary } from '../../tensor/elementwise.ts';
import { broadcastShapes } from '../../tensor/shape.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { KernelVariant } from '../../tensor/variants.ts';
import { apply } from '../apply.ts';
import { checkDtypes, checkRank } from '../checks.ts';
import { type Operation, operation } from '../operation.ts';
import { broadcastIndex, type Reference, referenceOf } from '../reference.ts';

/**
 * A unary operation is a line: its WGSL, the derivative (over a = input, or over b = output) times the incoming
 * gradient, and the same function on the host.
 */
interface Unary {
  wgsl: string;
  /** In terms of `a` (what `from` names) and `b` (the incoming gradient). */
  gradient: string;
  from: 'input' | 'output';
  host: (a: number, alpha: number) => number;
}

const UNARY = {
  scale: { wgsl: 'a * alpha', gradient: 'b * alpha', from: 'input', host: (a, alpha) => a * alpha },
  exp: { wgsl: 'exp(a)', gradient: 'b * a', from: 'output', host: Math.exp },
  log: { wgsl: 'log(a)', gradient: 'b / a', from: 'input', host: Math.log },
  sqrt: { wgsl: 'sqrt(a)', gradient: '0.5 * b / a', from: 'output', host: Math.sqrt },
  square: { wgsl: 'a * a', gradient: '2.0 * a * b', from: 'input', host: (a) => a * a },
  silu: {
    wgsl: 'a / (1.0 + exp(-a))',
    gradient: 'b * (1.0 + a * (1.0 - 1.0 / (1.0 + exp(-a)))) / (1.0 + exp(-a))',
    from: 'input',
    host: (a) => a / (1 + Math.exp(-a)),
  },
} satisfies Record<string, Unary>;

export type UnaryName = keyof typeof UNARY;

function unaryOperation(name: UnaryName): Operation<number> {
  const { wgsl, gradient, from, host }: Unary = UNARY[name];
  return operation<number>({
    name,
    cheap: true,
    check: ([x]) => checkDtypes(name, [x], ['f32', 'f16']),
    forward: ([x], alpha) => ({ output: mapUnary(wgsl, x, alpha) }),
    keeps: () =>
      name === 'scale' ? { inputs: [] } : from === 'input' ? { inputs: [0] } : { inputs: [], output: true },
    backward: ({ grad, inputs, output, attributes }) => [
      name === 'scale'
        ? mapUnary(wgsl, grad, attributes)
        : mapBinary(name, gradient, from === 'input' ? inputs[0] : output, grad, attributes),
    ],
    reference: ([x], alpha) => referenceOf(x.shape, (i) => host(x.data[i], alpha)),
  });
}

/** Unary operations by name, for tests that go through all of them. */
export const unaryOperations = Object.fromEntries(
  Object.keys(UNARY).map((name) => [name, unaryOperation(name as UnaryName)]),
) as Record<UnaryName, Operation<number>>;

/** A binary operation with NumPy broadcasting; gradients in terms of `a`, and `b` = incoming gradient. */
interface Binary {
  wgsl: string;
  host: (a: number, b: number) => number;
  backward: (grad: Tensor, a: Tensor, b: Tensor, needs: readonly boolean[]) => (Tensor | null)[];
  keeps: readonly number[];
}

const BINARY = {
  add: { wgsl: 'a + b', host: (a, b) => a + b, keeps: [], backward: (grad) => [grad, grad] },
  sub: {
    wgsl: 'a - b',
    host: (a, b) => a - b,
    keeps: [],
    backward: (grad, _a, _b, needs) => [grad, needs[1] ? mapUnary('-a', grad) : null],
  },
  mul: {
    wgsl: 'a * b',
    host: (a, b) => a * b,
    keeps: [0, 1],
    backward: (grad, a, b, needs) => [
      needs[0] ? mapBinary('mul', 'a * b', grad, b) : null,
      needs[1] ? mapBinary('mul', 'a * b', grad, a) : null,
    ],
  },
  div: {
    wgsl: 'a / b',
    host: (a, b) => a / b,
    keeps: [0, 1],
    backward: (grad, a, b, needs) => [
      needs[0] ? mapBinary('div', 'a / b', grad, b) : null,
      needs[1] ? mapBinary('div', '-a / (b * b)', mapBinary('div', 'a * b', grad, a), b) : null,
    ],
  },
} satisfies Record<string, Binary>;

export type BinaryName = keyof typeof BINARY;

function binaryOperation(name: BinaryName): Operation {
  const rule: Binary = BINARY[name];
  return operation({
    name,
    // Sums keep nothing for their backward pass. Were they recomputed, a chain of residual sums would hold both operands
    // of every link and come back to life as a whole at the first backward step that needs one of them.
    cheap: rule.keeps.length > 0,
    check(inputs) {
      checkDtypes(name, inputs, ['f32', 'f16']);
      const shape = broadcastShapes(name, inputs[0].shape, inputs[1].shape);
      checkRank(name, shape, 4);
    },
    forward: ([a, b]) => ({ output: mapBinary(name, rule.wgsl, a, b, 0, a.dtype === b.dtype ? a.dtype : 'f32') }),
    saves: () => [],
    keeps: () => ({ inputs: rule.keeps }),
    backward: ({ grad, inputs: [a, b], needs }) => rule.backward(grad, a, b, needs),
    reference([a, b]) {
      const shape = broadcastShapes(name, a.shape, b.shape);
      const at = (x: Reference, i: number) => x.data[broadcastIndex(i, shape, x.shape)];
      return referenceOf(shape, (i) => rule.host(at(a, i), at(b, i)));
    },
  });
}

/** Binary operations by name, for tests that go through all of them. */
export const binaryOperations = Object.fromEntries(
  Object.keys(BINARY).map((name) => [name, binaryOperation(name as BinaryName)]),
) as Record<BinaryName, Operation>;

export const variants: KernelVariant[] = [
  ...Object.values<Unary>(UNARY).flatMap(({ wgsl, gradient }) => [
    ...expressionVariants('unary', wgsl),
    ...expressionVariants('dense', gradient),
  ]),
  ...expressionVariants('unary', '-a'),
  ...[...Object.values<Binary>(BINARY).map(({ wgsl }) => wgsl), '-a / (b * b)'].flatMap((expression) => [
    ...expressionVariants('dense', expression),
    ...expressionVariants('binary', expression),
  ]),
];

/** a + b with broadcasting; f32 if the dtypes differ. */
export const add = (a: Tensor, b: Tensor): Tensor => apply(binaryOperations.add, [a, b], undefined);
/** a − b with broadcasting. */
export const sub = (a: Tensor, b: Tensor): Tensor => apply(binaryOperations.sub, [a, b], undefined);
/** a · b element by element with broadcasting. */
export const mul = (a: Tensor, b: Tensor): Tensor => apply(binaryOperations.mul, [a, b], undefined);
/** a / b with broadcasting. */
export const div = (a: Tensor, b: Tensor): Tensor => apply(binaryOperations.div, [a, b], undefined);
/** x · alpha for a number alpha. */
export const scale = (x: Tensor, alpha: number): Tensor => apply(unaryOperations.scale, [x], alpha);
/** e^x. */
export const exp = (x: Tensor): Tensor => apply(unaryOperations.exp, [x], 0);
/** Natural logarithm. */
export const log = (x: Tensor): Tensor => apply(unaryOperations.log, [x], 0);
export const sqrt = (x: Tensor): Tensor => apply(unaryOperations.sqrt, [x], 0);
export const square = (x: Tensor): Tensor => apply(unaryOperations.square, [x], 0);
/** x · sigmoid(x) (Elfwing et al. 2017, arXiv:1702.03118). */
export const silu = (x: Tensor): Tensor => apply(unaryOperations.silu, [x], 0);
