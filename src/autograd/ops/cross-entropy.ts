import { complain } from '../../errors.ts';
import { castTo, contiguous } from '../../tensor/copy.ts';
import { addStatistics, type LogitRange, lossesOf, softmaxGradient } from '../../tensor/cross-entropy.ts';
import { addInto, expressionVariants, mapBinary } from '../../tensor/elementwise.ts';
import { gatherRows } from '../../tensor/gather.ts';
import { gemm } from '../../tensor/gemm/gemm.ts';
import { Indices } from '../../tensor/indices.ts';
import { rowParts } from '../../tensor/parts.ts';
import { sumAll } from '../../tensor/reduce.ts';
import { Tensor } from '../../tensor/tensor.ts';
import { apply } from '../apply.ts';
import { checkDtypes, checkShape } from '../checks.ts';
import { operation } from '../operation.ts';
import { type Reference, referenceOf } from '../reference.ts';

/** What the number of rows is filled up to. */
const ROW_MULTIPLE = 8;
/** Memory for a chunk of f32 logits: at Llama 3's vocabulary 512 rows, which are few passes over the weight. */
const CHUNK_BYTES = 256 * 2 ** 20;
/** Softmax − one-hot lies in −1…1 and is small where it matters: as f16 it is stored times this, clear of subnormals. */
const HALF_SCALE = 1024;
/** How an incoming gradient scales the saved ones. */
const SCALED = 'a * b * alpha';

export const variants = expressionVariants('binary', SCALED);

export interface CrossEntropyOptions {
  /** What the sum of losses is divided by: the number of target tokens of the whole optimiser step. */
  normalizer: number;
  /** Label of rows without a target. */
  ignore_index?: number;
  /** Rows whose logits exist at a time; by default as many as fit 256 MiB and one binding. */
  chunkRows?: number;
}

interface Attributes extends CrossEntropyOptions {
  labels: Indices;
  ignore_index: number;
}

/** Numbers of the rows with a target. */
function supervisedRows({ labels, ignore_index }: Attributes): number[] {
  const rows: number[] = [];
  for (const [i, label] of labels.host.entries()) if (label !== ignore_index) rows.push(i);
  return rows;
}

/** For each of N rows its place in the list of supervised rows, −1 for the others. */
function places(device: Tensor['device'], count: number, rows: readonly number[]): Indices {
  const place = new Int32Array(count).fill(-1);
  for (const [k, row] of rows.entries()) place[row] = k;
  return Indices.from(device, place);
}

function rowsPerChunk(hidden: Tensor, vocabulary: number, wanted: number | undefined): number {
  const most = hidden.device.capabilities.maxBindingBytes - 16;
  const fitting = (bytes: number) => Math.max(1, Math.floor(bytes / (4 * vocabulary)));
  if (wanted !== undefined) return Math.min(wanted, fitting(most));
  const rows = fitting(Math.min(CHUNK_BYTES, most));
  // Whole tiles of a matrix product, as far as there is room for them.
  for (const tile of [128, 16]) if (rows >= tile) return Math.floor(rows / tile) * tile;
  return rows;
}

interface Pass {
  /** [supervised rows] f32. */
  losses: Tensor;
  /** Σ over vocabulary of (softmax − one-hot) · weight, [supervised rows and more, H] f32. */
  hiddenGradient?: Tensor;
  /** (softmax − one-hot)ᵀ · hidden, [V, H] f32. */
  weightGradient?: Tensor;
}

/**
 * Goes through the supervised rows in chunks: logits, losses and the gradients that are wanted.
 *
 * Logits are made transposed, [vocabulary, rows]: all products then read the weight as it lies.
 */
function chunkedPass(
  hidden: Tensor,
  weight: Tensor,
  rows: readonly number[],
  attributes: Attributes,
  needs: readonly boolean[],
): Pass {
  const { device } = hidden;
  const dtype = hidden.dtype as 'f32' | 'f16';
  const [vocabulary, width] = weight.shape;
  const table = contiguous(castTo(weight.dense(dtype), dtype));
  // Rows of zeros at the end let matrix units load eight at a time; nothing is made of them.
  const padded = [...rows, ...new Array<number>(-rows.length & (ROW_MULTIPLE - 1)).fill(-1)];
  const supervised = gatherRows(hidden, Indices.from(device, padded));
  const labels = Tensor.from(
    device,
    padded.map((row) => (row < 0 ? -1 : attributes.labels.host[row])),
    [padded.length],
    'i32',
  );
  const stats = Tensor.empty(device, [padded.length, 4]);
  const hiddenGradient = needs[0] ? Tensor.empty(device, [padded.length, width]) : undefined;
  const weightGradient = needs[1] ? Tensor.empty(device, [vocabulary, width]) : undefined;
  const parts = rowParts(weightGradient ?? table);
  const scale = dtype === 'f16' ? HALF_SCALE : 1;
  const step = rowsPerChunk(hidden, vocabulary, attributes.chunkRows);
  for (let at = 0; at < padded.length; at += step)
    device.scope(() => {
      const end = Math.min(at + step, padded.length);
      const x = contiguous(supervised.slice(0, at, end));
      const columns = contiguous(x.transpose());
      const ranges: (LogitRange & { matrix: Tensor })[] = parts.map((part) => {
        const matrix = table.slice(0, part.row, part.row + part.rows.shape[0]);
        const logits = gemm({ a: matrix, b: columns, dtype: 'f32' });
        const range = { logits, labels, stats, firstRow: at, firstWord: part.row, matrix };
        addStatistics(range);
        return range;
      });
      if (!hiddenGradient && !weightGradient) return;
      let forHidden: Tensor | null = null;
      for (const [k, range] of ranges.entries()) {
        const slope = softmaxGradient(range, dtype, scale);
        if (hiddenGradient) {
          const product = gemm({ a: slope, b: range.matrix, transposeA: true, alpha: 1 / scale, dtype: 'f32' });
          if (forHidden) addInto(forHidden, product);
          else forHidden = product;
        }
        if (weightGradient) {
          const product = gemm({ a: slope, b: x, alpha: 1 / scale, dtype: 'f32' });
          if (at === 0) device.copy(product, parts[k].rows);
          else addInto(parts[k].rows, product);
        }
      }
      if (hiddenGradient && forHidden) device.copy(forHidden, hiddenGradient.slice(0, at, end));
    });
  return { losses: lossesOf(stats).slice(0, 0, rows.length), hiddenGradient, weightGradient };
}

/**
 * Output layer and loss in one, so that logits exist for a chunk of rows only and the gradient is formed while they
 * do: two more products in the forward pass, none in the backward pass. Liger Kernel (arXiv:2410.10989) does the same.
 */
export const linearCrossEntropyOperation = operation<Attributes>({
  name: 'linearCrossEntropy',
  cheap: false,
  check([hidden, weight], { labels, normalizer, ignore_index, chunkRows }) {
    checkDtypes('linearCrossEntropy', [hidden], ['f32', 'f16']);
    const sizes = checkShape('linearCrossEntropy', 'hidden', hidden.shape, ['N', 'H']);
    const { N, V } = checkShape('linearCrossEntropy', 'weight', weight.shape, ['V', 'H'], sizes);
    const refuse = (got: string, expected: string, remedy: string) =>
      complain({ where: 'linearCrossEntropy', got, expected, remedy });
    if (labels.length !== N) throw refuse(`${labels.length} labels`, `${N}, one a row of hidden`, 'pad the labels');
    const wrong = labels.host.findIndex((label) => label !== ignore_index && (label < 0 || label >= V));
    if (wrong >= 0)
      throw refuse(
        `label ${labels.host[wrong]} at row ${wrong}`,
        `0 to ${V - 1}, or ${ignore_index} for none`,
        'use the tokenizer that belongs to the model',
      );
    if (!(normalizer > 0 && Number.isFinite(normalizer)))
      throw refuse(`normalizer ${normalizer}`, 'a positive number', 'skip steps without target tokens');
    if (chunkRows !== undefined && !(Number.isInteger(chunkRows) && chunkRows > 0))
      throw refuse(`chunkRows ${chunkRows}`, 'a positive whole number', 'leave it out for the default');
  },
  forward([hidden, weight], attributes, needs) {
    const rows = supervisedRows(attributes);
    if (rows.length === 0) return { output: Tensor.zeros(hidden.device, [1]) };
    const { losses, hiddenGradient, weightGradient } = chunkedPass(hidden, weight, rows, attributes, needs);
    return {
      output: sumAll(losses, 1 / attributes.normalizer),
      saved: [hiddenGradient, weightGradient].filter((x) => x !== undefined),
    };
  },
  keeps: () => ({ inputs: [] }),
  backward({ grad, inputs: [hidden, weight], saved, attributes, needs }) {
    const { device } = hidden;
    const rows = supervisedRows(attributes);
    if (rows.length === 0)
      return [hidden, weight].map((x, i) => (needs[i] ? Tensor.zeros(device, x.shape, x.dtype) : null));
    // The incoming gradient carries the loss scale and stays on the device. Scaled in f32, then rounded once.
    const scaled = (x: Tensor) => mapBinary('linearCrossEntropy', SCALED, x, grad, 1 / attributes.normalizer, 'f32');
    const forWeight = needs[1] ? scaled(saved[needs[0] ? 1 : 0]) : null;
    if (!needs[0]) return [null, forWeight];
    return [gatherRows(scaled(saved[0]), places(device, hidden.shape[0], rows), hidden.dtype), forWeight];
  },
  reference([hidden, weight], attributes) {
    const losses = supervisedRows(attributes).map((row) =>
      referenceLoss(hidden, weight, row, attributes.labels.host[row]),
    );
    return referenceOf([1], () => losses.reduce((sum, loss) => sum + loss, 0) / attributes.normalizer);
  },
});

function referenceLoss(hidden: Reference, weight: Reference, row: number, label: number): number {
  const [vocabulary, width] = weight.shape;
  const logits = Array.from({ length: vocabulary }, (_, v) => {
    let dot = 0;
    for (let h = 0; h < width; h++) dot += hidden.data[row * width + h] * weight.data[v * width + h];
    return dot;
  });
  const most = Math.max(...logits);
  return most + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - most), 0)) - logits[label];
}

/**
 * Cross-entropy of the logits hidden · weightᵀ, summed over the rows that have a label and divided by `normalizer`.
 *
 * Rows without a label cost nothing and get a gradient of zero; with no label at all the loss is 0. A row with a
 * logit that is not finite makes the loss and its own gradient NaN.
 *
 * @param hidden [N, H], f32 or f16
 * @param weight [V, H]; `weight.dense(hidden.dtype)` is what is multiplied
 * @param labels N numbers: labels[i] is the target of row i (shifted already), or `ignore_index`
 * @returns the loss, f32 [1]
 * @throws UserError for a label outside the vocabulary, and for shapes that do not fit
 */
export function linearCrossEntropy(
  hidden: Tensor,
  weight: Tensor,
  labels: Indices,
  { ignore_index = -100, ...options }: CrossEntropyOptions,
): Tensor {
  return apply(linearCrossEntropyOperation, [hidden, weight], { ...options, ignore_index, labels });
}

/** The loss of each row, f32 [N]: 0 for rows without a label. For evaluation; no gradient. */
export function rowLosses(
  hidden: Tensor,
  weight: Tensor,
  labels: Indices,
  { ignore_index = -100, chunkRows }: Omit<CrossEntropyOptions, 'normalizer'> = {},
): Tensor {
  const attributes = { labels, ignore_index, chunkRows, normalizer: 1 };
  linearCrossEntropyOperation.check([hidden, weight], attributes);
  const rows = supervisedRows(attributes);
  const count = hidden.shape[0];
  if (rows.length === 0) return Tensor.zeros(hidden.device, [count]);
  return hidden.device.scope(() => {
    const { losses } = chunkedPass(hidden, weight, rows, attributes, []);
    return gatherRows(losses.view([rows.length, 1]), places(hidden.device, count, rows)).view([count]);
  });
}
