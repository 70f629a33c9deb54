import { contiguous } from '../../tensor/copy.ts';
import { gemm } from '../../tensor/gemm/gemm.ts';
import { adjoined, concatenate } from '../../tensor/join.ts';
import { inPanels, panelsSuit } from '../../tensor/panel-matrix.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { applyAll } from '../apply.ts';
import { checkDtypes, checkShape } from '../checks.ts';
import { type Collected, operation } from '../operation.ts';
import { type Reference, referenceOf } from '../reference.ts';
import { gradientRows, operand, rowsOf } from './linear.ts';

type Float = 'f32' | 'f16';

export interface LowRankLinearOptions {
  /** Factor of B·A. */
  scale: number;
  /** Dtype of the results; that of x if left out. */
  dtype?: Float;
}

/** What belongs to W, A and B of each layer, out of a list that goes along with the inputs. */
const layersOf = <T>(list: readonly T[]): [T, T, T][] =>
  Array.from({ length: Math.floor((list.length - 1) / 3) }, (_, i) => [
    list[1 + 3 * i],
    list[2 + 3 * i],
    list[3 + 3 * i],
  ]);

const residualOf = <T>(list: readonly T[]): T | undefined => ((list.length - 1) % 3 === 1 ? list.at(-1) : undefined);

/**
 * Linear layers of one input, each with a change of low rank: y = x · Wᵀ + h · Bᵀ with h = scale · x · Aᵀ. The change goes
 * along with the pass over y that the weight's own product makes, and one product makes h for all layers.
 *
 * Inputs: x, then W [out, in], dense or quantised, A [r, in] and B [out, r] of each layer, and perhaps a residual, which
 * is added to the first. Outputs: one for each layer.
 */
export const lowRankLinearOperation = operation<LowRankLinearOptions>({
  name: 'lowRankLinear',
  cheap: false,

  check(inputs) {
    const [x] = inputs;
    const residual = residualOf(inputs);
    const lead = x.shape.slice(0, -1);
    checkDtypes('lowRankLinear', [x, ...(residual ? [residual] : [])], ['f32', 'f16']);
    for (const [i, [weight, down, up]] of layersOf(inputs).entries()) {
      checkDtypes('lowRankLinear', [down, up], ['f32', 'f16']);
      const sizes = checkShape('lowRankLinear', 'weight', weight.shape, ['out', 'in']);
      checkShape('lowRankLinear', 'A', down.shape, ['r', 'in'], sizes);
      checkShape('lowRankLinear', 'B', up.shape, ['out', 'r'], sizes);
      checkShape('lowRankLinear', 'x', x.shape, [...lead, 'in'], sizes);
      if (residual && i === 0) checkShape('lowRankLinear', 'residual', residual.shape, [...lead, 'out'], sizes);
    }
  },

  forward(inputs, { scale, dtype = inputs[0].dtype as Float }, needs) {
    const [x] = inputs;
    const layers = layersOf(inputs);
    const residual = residualOf(inputs);
    const low = thinProducts(x, layers, scale);
    const [output, ...others] = layers.map(([weight, , up], i) =>
      gemm({
        a: rowsOf(x),
        b: operand(weight, x.dtype as Float),
        transposeB: true,
        rider: { a: low[i], b: operand(up, x.dtype as Float) },
        addend: residual && i === 0 ? rowsOf(residual) : undefined,
        dtype,
      }).view([...x.shape.slice(0, -1), weight.shape[0]]),
    );
    // h is kept rather than made again: it has r/in of the size of x, and making it reads all of x.
    return { output, others, saved: layersOf(needs).some(([, , up]) => up) ? low : [] };
  },

  saves: (inputs, { scale }, needs) =>
    layersOf(needs).some(([, , up]) => up) ? thinProducts(inputs[0], layersOf(inputs), scale) : [],

  keeps(needs) {
    const layers = layersOf(needs);
    const inputs = layers.some(([weight, down]) => weight || down) ? [0] : [];
    for (const [i, [, down]] of layers.entries()) {
      if (needs[0]) inputs.push(1 + 3 * i, 2 + 3 * i);
      if (needs[0] || down) inputs.push(3 + 3 * i);
    }
    return { inputs };
  },

  backward({ grads, inputs, saved: low, attributes: { scale }, needs, collected }) {
    const [x] = inputs;
    const layers = layersOf(inputs);
    const [wanted, targets] = [layersOf(needs), layersOf(collected)];
    const compute = x.dtype as Float;
    const dys = grads.map((grad) => grad && gradientRows(grad, compute));
    const dlow = dys.map((dy, i) => {
      const used = needs[0] || wanted[i][1];
      return dy && used ? gemm({ a: dy, b: operand(layers[i][2], compute), alpha: scale, dtype: compute }) : null;
    });
    const outer = (dy: Tensor, b: Tensor, target: Collected) => gemm({ a: dy, b, transposeA: true, ...target });
    const downs = downGradients(
      dlow.map((d, i) => (wanted[i][1] ? d : null)),
      rowsOf(x),
      targets.map(([, target]) => target),
    );
    return [
      needs[0] ? inputGradient(layers, dys, dlow, collected[0]).view(x.shape) : null,
      ...dys.flatMap((dy, i) => [
        dy && wanted[i][0] ? outer(dy, rowsOf(x), targets[i][0]) : null,
        downs[i],
        dy && wanted[i][2] ? outer(dy, low[i], targets[i][2]) : null,
      ]),
      residualOf(needs) ? grads[0] : null,
    ];
  },

  readsPanels: true,
  // All but the residual.
  collects: (input, count) => input <= 3 * Math.floor((count - 1) / 3),

  reference(inputs, { scale }) {
    const [x] = inputs;
    const residual = residualOf(inputs);
    const parts = layersOf(inputs).map((layer, i) => referenceLayer(x, layer, scale, i === 0 ? residual : undefined));
    if (parts.length === 1) return parts[0];
    const all = parts.flatMap(({ data }) => [...data]);
    return { shape: [all.length], data: Float64Array.from(all) };
  },
});

/** h = scale · x · Aᵀ of every layer, [rows, r]. */
function thinProducts(x: Tensor, layers: readonly [Tensor, Tensor, Tensor][], scale: number): Tensor[] {
  const dtype = x.dtype as Float;
  const downs = layers.map(([, down]) => operand(down, dtype));
  const b = adjoined(downs) ?? concatenate(downs, 0);
  const all = gemm({ a: rowsOf(x), b, transposeB: true, alpha: scale, dtype });
  if (layers.length === 1) return [all];
  let start = 0;
  return downs.map(({ shape: [r] }) => {
    start += r;
    return contiguous(all.slice(1, start - r, start));
  });
}

/**
 * Σ dY · W + dh · A over the layers: one product for dYs side by side, where bringing them there costs less than passes
 * over the sum for each, as for queries with narrow keys and values; else each product adds to what those before have
 * collected.
 */
function inputGradient(
  layers: readonly [Tensor, Tensor, Tensor][],
  dys: readonly (Tensor | null)[],
  dlow: readonly (Tensor | null)[],
  collected: Collected,
): Tensor {
  const [[first], ...others] = layers;
  const columns = layers.reduce((count, [weight]) => count + weight.shape[0], 0);
  const narrow = columns <= (layers.length - 1) * first.shape[1];
  if (narrow && dys.every((dy) => dy !== null) && dlow.every((thin) => thin !== null)) {
    const stack = first.stackedWith(others.map(([weight]) => weight));
    if (stack) {
      const downs = layers.map(([, down]) => operand(down, dys[0].dtype as Float));
      const rider = { a: concatenate(dlow, 1), b: adjoined(downs) ?? concatenate(downs, 0) };
      return gemm({ a: sideBySide(dys), b: stack, rider, ...collected });
    }
  }
  let sum: Tensor | undefined;
  for (const [i, [weight, down]] of layers.entries()) {
    const [a, thin] = [dys[i], dlow[i]];
    if (!a || !thin) continue;
    const rider = { a: thin, b: operand(down, a.dtype as Float) };
    const addend = sum ? (collected.into ?? sum) : collected.addend;
    sum = gemm({ a, b: operand(weight, a.dtype as Float), rider, ...collected, addend });
  }
  return sum as Tensor; // The tape asks only where an output has a gradient.
}

/** Gradients of several results as one operand: in panels, if products read those faster. */
function sideBySide(dys: readonly Tensor[]): Tensor {
  const [{ device, dtype, shape }] = dys;
  const together = [shape[0], dys.reduce((width, dy) => width + dy.shape[1], 0)];
  const suit = dtype === 'f16' && [together, ...dys.map((dy) => dy.shape)].every((each) => panelsSuit(device, each));
  return suit ? inPanels(dys) : concatenate(dys, 1);
}

/** dA = dhᵀ · x of every layer; one product for all whose places lie one after the other. */
function downGradients(dlow: readonly (Tensor | null)[], x: Tensor, targets: readonly Collected[]): (Tensor | null)[] {
  const thin = dlow.filter((d) => d !== null);
  const places = targets.flatMap(({ into }) => into ?? []);
  const added = targets.filter(({ addend }) => addend).length;
  const into = thin.length === targets.length && places.length === targets.length ? adjoined(places) : null;
  if (!into || (added > 0 && added < targets.length))
    return dlow.map((a, i) => a && gemm({ a, b: x, transposeA: true, ...targets[i] }));
  const addend = added > 0 ? into : undefined;
  gemm({ a: concatenate(thin, 1), b: x, transposeA: true, dtype: 'f32', into, addend });
  return places;
}

function referenceLayer(
  x: Reference,
  [weight, down, up]: [Reference, Reference, Reference],
  scale: number,
  residual: Reference | undefined,
): Reference {
  const [out, width] = weight.shape;
  const [r] = down.shape;
  const dot = (a: Float64Array, i: number, b: Float64Array, j: number, length: number) => {
    let sum = 0;
    for (let k = 0; k < length; k++) sum += a[i * length + k] * b[j * length + k];
    return sum;
  };
  const low = Float64Array.from({ length: (x.data.length / width) * r }, (_, i) =>
    dot(x.data, Math.floor(i / r), down.data, i % r, width),
  );
  return referenceOf([...x.shape.slice(0, -1), out], (i) => {
    const [row, column] = [Math.floor(i / out), i % out];
    const own = dot(x.data, row, weight.data, column, width) + scale * dot(low, row, up.data, column, r);
    return own + (residual?.data[i] ?? 0);
  });
}

/** A layer of {@link lowRankLinear}: a weight and two thin matrices whose product changes it. */
export interface LowRankLayer {
  /** [out, in]; f32, f16 or quantised (see {@link Tensor.dense}) */
  weight: Tensor;
  /** A [r, in] */
  down: Tensor;
  /** B [out, r] */
  up: Tensor;
}

/**
 * Linear layers of one input whose weights are changed by products of two thin matrices: x · (W + scale · B·A)ᵀ.
 *
 * @param x [..., in], f32 or f16; products are computed in its dtype, sums in f32
 * @param options.residual [..., out] of the first layer, added to its result without a pass of its own
 * @returns [..., out] of each layer
 */
export function lowRankLinear(
  x: Tensor,
  layers: readonly LowRankLayer[],
  { residual, ...options }: LowRankLinearOptions & { residual?: Tensor },
): Tensor[] {
  const inputs = [x, ...layers.flatMap(({ weight, down, up }) => [weight, down, up])];
  return applyAll(lowRankLinearOperation, residual ? [...inputs, residual] : inputs, options);
}
