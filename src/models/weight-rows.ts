import type { Checkpoint } from '../formats/checkpoint.ts';
import { toFloat32 } from '../formats/elements.ts';
import { SAFETENSORS_BYTES, type SafetensorsDtype } from '../formats/safetensors-header.ts';

/** A weight that is read some rows at a time; a vector is one row. */
export interface WeightRows {
  /** Hugging Face name. */
  name: string;
  shape: readonly number[];
  dtype: SafetensorsDtype;
  /** Elements of rows in row-major order, in memory of their own. Rows are asked for once, in order. */
  rows(first: number, count: number): Promise<Uint8Array>;
}

/** A weight that can only be computed as a whole, in f32. */
export interface WholeWeight {
  name: string;
  shape: readonly number[];
  values: () => Promise<Float32Array>;
}

/** Rows and columns of a weight. */
export function matrixShape(shape: readonly number[]): { rows: number; width: number } {
  return { rows: shape.length === 1 ? 1 : shape[0], width: shape[shape.length - 1] };
}

/** A weight of a checkpoint as it is in the file. */
export function checkpointRows(checkpoint: Checkpoint, name: string): WeightRows {
  const { dtype, shape } = checkpoint.entry(name);
  const rowBytes = matrixShape(shape).width * SAFETENSORS_BYTES[dtype];
  return {
    name,
    shape,
    dtype,
    rows: (first, count) => checkpoint.range(name, first * rowBytes, count * rowBytes),
  };
}

/** Rows of a weight that is computed as a whole; it is in memory from its first row until its last. */
export function computedRows({ name, shape, values }: WholeWeight): WeightRows {
  const { rows, width } = matrixShape(shape);
  let whole: Promise<Float32Array> | null = null;
  return {
    name,
    shape,
    dtype: 'F32',
    rows: async (first, count) => {
      whole ??= values();
      const part = (await whole).slice(first * width, (first + count) * width);
      if (first + count === rows) whole = null;
      return new Uint8Array(part.buffer);
    },
  };
}

/** All of a weight in f32. */
export async function floatsOf(weight: WeightRows): Promise<Float32Array> {
  return toFloat32(await weight.rows(0, matrixShape(weight.shape).rows), weight.dtype, weight.name);
}
