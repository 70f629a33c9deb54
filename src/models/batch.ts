import { AttentionRanges } from '../autograd/attention-ranges.ts';
import type { Device } from '../tensor/device.ts';
import { Indices } from '../tensor/indices.ts';

/** Label of tokens that are no targets, as in PyTorch. */
export const IGNORE_INDEX = -100;

/** A tokenised document; labels are unshifted as in Hugging Face: labels[i] is input_ids[i] or −100. */
export interface Document {
  input_ids: ArrayLike<number>;
  labels?: ArrayLike<number>;
}

/**
 * Tokens of many documents laid end to end, with everything that keeps them apart.
 *
 * Rows of a batch are documents like any other, so there is no padding and no mask.
 */
export interface Batch {
  /** Token ids, N in all. */
  ids: Indices;
  /** Position of each token in its document, from 0. */
  positions: Indices;
  /** Which tokens see which. */
  ranges: AttentionRanges;
  /** The token that each position has to predict, −100 for none. */
  targets: Indices;
  /** Seed for dropout; none is applied without one. */
  seed?: number;
}

/** Labels shifted to the positions that predict them; the last token of a document predicts nothing. */
function shiftLabels(labels: ArrayLike<number>): number[] {
  return Array.from({ length: labels.length }, (_, i) => (i + 1 < labels.length ? labels[i + 1] : IGNORE_INDEX));
}

/** How many positions of these documents have a target. */
export function countTargets(documents: readonly Document[]): number {
  let count = 0;
  for (const { input_ids, labels = input_ids } of documents)
    for (let i = 1; i < labels.length; i++) if (labels[i] !== IGNORE_INDEX) count++;
  return count;
}

/** Uploads documents as one batch; its tensors belong to the current scope. */
export function batchOf(device: Device, documents: readonly Document[], seed?: number): Batch {
  const ids: number[] = [];
  const positions: number[] = [];
  const targets: number[] = [];
  for (const { input_ids, labels = input_ids } of documents) {
    for (let i = 0; i < input_ids.length; i++) {
      ids.push(input_ids[i]);
      positions.push(i);
    }
    for (const target of shiftLabels(labels)) targets.push(target);
  }
  return {
    ids: Indices.from(device, ids),
    positions: Indices.from(device, positions),
    ranges: AttentionRanges.packed(
      device,
      documents.map((document) => document.input_ids.length),
    ),
    targets: Indices.from(device, targets),
    seed,
  };
}
