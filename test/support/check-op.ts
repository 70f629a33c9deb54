import { expect } from 'vitest';
import { applyAll } from '../../src/autograd/apply.ts';
import { type Operation, operation } from '../../src/autograd/operation.ts';
import { withTape } from '../../src/autograd/recording.ts';
import type { Reference } from '../../src/autograd/reference.ts';
import { Tape } from '../../src/autograd/tape.ts';
import { quantizeNf4 } from '../../src/quant/nf4.ts';
import type { Device } from '../../src/tensor/device.ts';
import { type Shape, sizeOf } from '../../src/tensor/shape.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { OPERATION_TOLERANCE } from './operation-tolerances.ts';

/** Seeded normal numbers, rounded to f32 so that the GPU starts from the same values. */
export function normals(count: number, seed = 1): Float64Array {
  let state = seed >>> 0 || 1;
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  };
  return Float64Array.from({ length: count }, () =>
    Math.fround(Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform())),
  );
}

export interface OpInput {
  shape: Shape;
  dtype?: 'f32' | 'f16';
  /** Quantises the matrix; the reference takes what it dequantises to. Never differentiable. */
  nf4?: boolean;
  /** Values; seeded normals if left out. */
  values?: (index: number) => number;
  /** False for inputs without a gradient. */
  differentiable?: boolean;
}

export interface CheckOp<A> {
  device: Device;
  inputs: readonly OpInput[];
  attributes: A;
  /** Loosens the table's tolerance by this factor, with a reason at the call. */
  slack?: number;
  seed?: number;
  /**
   * For inputs whose whole gradient cancels to 0: the magnitude of the largest term that it is a sum of, which stands
   * in for the largest reference value. See the table of tolerances.
   */
  terms?: (inputs: readonly Reference[], upstream: Float64Array) => readonly number[];
  /** Elements of each input whose gradient is held against finite differences; all if few. */
  probes?: number;
  /** Numbers of outputs that the loss does not depend on, of an operation that has several. */
  unused?: readonly number[];
}

/**
 * Holds an operation against its reference: the forward pass against f64, the backward pass against central
 * differences of the f64 reference, in every shape and dtype the caller lists. Counts live buffers.
 */
export async function checkOp<A>(op: Operation<A>, options: CheckOp<A>): Promise<void> {
  const { device, attributes, slack = 1, seed = 1, probes = 60, unused = [] } = options;
  const before = device.memory.live;
  await device.scopeAsync(async () => {
    const tensors = options.inputs.map((input, k) => makeInput(device, input, seed + 17 * k));
    const references: Reference[] = [];
    for (const tensor of tensors)
      references.push({ shape: tensor.shape, data: Float64Array.from(await tensor.numbers()) });
    const dtype = options.inputs.some((input) => input.dtype === 'f16') ? 'f16' : 'f32';
    const tolerance = OPERATION_TOLERANCE[dtype] * slack;

    const tape = new Tape();
    const outputs = withTape(tape, () => applyAll(op, tensors, attributes));
    const expected = op.reference(references, attributes);
    if (outputs.length === 1) expect(outputs[0].shape, `${op.name}: shape`).toEqual(expected.shape);
    compare(`${op.name} forward`, await flat(outputs), expected.data, tolerance);

    const differentiable = tensors.filter((tensor) => tensor.requires_grad);
    if (differentiable.length === 0) return;
    await compareSaved(op, tensors, attributes);
    const seeds = outputs.map(({ shape, dtype, size }, i) => {
      const weights = normals(size, seed + 99 + i);
      return Tensor.from(device, unused.includes(i) ? weights.fill(0) : weights, shape, dtype);
    });
    const rounded = await flat(seeds);
    tape.backward(withTape(tape, () => seeded(outputs, seeds, unused)));
    const terms = options.terms?.(references, rounded) ?? [];
    const loss = () => op.reference(references, attributes).data.reduce((sum, y, i) => sum + y * rounded[i], 0);
    for (const [k, tensor] of tensors.entries()) {
      if (!tensor.requires_grad) continue;
      expect(tensor.grad, `${op.name}: gradient of input ${k}`).not.toBeNull();
      const gradient = await tensor.grad!.numbers();
      const indices = probed(tensor.size, probes, seed + k);
      const differences = indices.map((i) => centralDifference(loss, references[k].data, i));
      compare(
        `${op.name} gradient ${k}`,
        indices.map((i) => gradient[i]),
        differences,
        tolerance,
        terms[k],
      );
      for (const value of gradient) if (!Number.isFinite(value)) throw new Error(`${op.name} gradient ${k}: ${value}`);
      tensor.grad!.dispose();
      tensor.grad = null;
    }
  });
  expect(device.memory.live, `${op.name}: live buffers`).toBe(before);
}

/** All elements of tensors, one tensor after the other. */
async function flat(tensors: readonly Tensor[]): Promise<Float64Array> {
  const parts = await Promise.all(tensors.map((tensor) => tensor.numbers()));
  return Float64Array.from(parts.flatMap((part) => [...part]));
}

/** A loss whose gradients for these tensors are the seeds, to the bit; null for the unused ones. */
function seeded(tensors: readonly Tensor[], seeds: readonly Tensor[], unused: readonly number[]): Tensor {
  const loss = operation({
    name: 'seeded',
    cheap: false,
    check: () => {},
    forward: ([x]) => ({ output: Tensor.zeros(x.device, [1]) }),
    keeps: () => ({ inputs: [] }),
    backward: () => seeds.map((seed, i) => (unused.includes(i) ? null : seed)),
    reference: ([x]) => x,
  });
  return applyAll(loss, tensors, undefined)[0];
}

/** What an operation saves without its output must be what it saves with it, to the bit. */
async function compareSaved<A>(op: Operation<A>, inputs: readonly Tensor[], attributes: A): Promise<void> {
  if (!op.saves) return;
  const needs = inputs.map((input) => input.requires_grad);
  const { saved = [] } = op.forward(inputs, attributes, needs);
  const alone = op.saves(inputs, attributes, needs);
  expect(alone.length, `${op.name}: saved tensors`).toBe(saved.length);
  for (const [k, tensor] of alone.entries())
    expect(await tensor.numbers(), `${op.name}: saved ${k}`).toEqual(await saved[k].numbers());
}

function makeInput(
  device: Device,
  { shape, dtype = 'f32', nf4, values, differentiable = true }: OpInput,
  seed: number,
): Tensor {
  const numbers = normals(sizeOf(shape), seed);
  const tensor = Tensor.from(device, values ? numbers.map((_, i) => values(i)) : numbers, shape, dtype);
  if (nf4) return quantizeNf4(tensor);
  tensor.requires_grad = differentiable;
  return tensor;
}

function probed(size: number, most: number, seed: number): number[] {
  if (size <= most) return Array.from({ length: size }, (_, i) => i);
  const picks = new Set([0, size - 1]);
  for (const value of normals(most, seed)) picks.add(Math.floor(Math.abs(value) * 7919) % size);
  return [...picks];
}

/** Fourth-order central difference: its error stays far below every tolerance here. */
function centralDifference(loss: () => number, data: Float64Array, i: number): number {
  const x = data[i];
  const h = 1e-3 * Math.max(1, Math.abs(x));
  const at = (delta: number) => {
    data[i] = x + delta;
    return loss();
  };
  const result = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
  data[i] = x;
  return result;
}

/**
 * Largest error relative to the largest reference value; a NaN or Inf that the reference lacks fails.
 *
 * @param term a magnitude that the error is relative to if it is larger: that of the terms of sums that cancel
 */
export function compare(
  name: string,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  term = 0,
): void {
  expect(actual.length, `${name}: length`).toBe(expected.length);
  let scale = term;
  for (let i = 0; i < expected.length; i++)
    if (Number.isFinite(expected[i])) scale = Math.max(scale, Math.abs(expected[i]));
  const bound = tolerance * Math.max(scale, 1e-6);
  for (let i = 0; i < expected.length; i++) {
    const same = Object.is(actual[i], expected[i]) || Math.abs(actual[i] - expected[i]) <= bound;
    if (!same) throw new Error(`${name}[${i}]: got ${actual[i]}, reference ${expected[i]}, bound ${bound}`);
  }
}
