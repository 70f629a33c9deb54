import { writeLargeFile } from '../files/write-file.ts';
import { sizeOf } from '../tensor/shape.ts';
import { SAFETENSORS_BYTES, type SafetensorsDtype } from './safetensors-header.ts';

/** A tensor to be written; its bytes are asked for when its turn comes. */
export interface TensorSource {
  name: string;
  dtype: SafetensorsDtype;
  shape: readonly number[];
  bytes: () => Uint8Array | Promise<Uint8Array>;
}

/**
 * Writes a safetensors file, one tensor in memory at a time, to a temporary name that becomes `file` when complete.
 *
 * Tensors are ordered as the reference implementation does: widest elements first, then by name.
 */
export async function writeSafetensors(
  file: string,
  tensors: readonly TensorSource[],
  metadata: Record<string, string> = { format: 'pt' },
): Promise<void> {
  const ordered = [...tensors].sort(
    (a, b) => SAFETENSORS_BYTES[b.dtype] - SAFETENSORS_BYTES[a.dtype] || (a.name < b.name ? -1 : 1),
  );
  await writeLargeFile(file, async (handle) => {
    await handle.writeFile(headerBytes(ordered, metadata));
    for (const { name, dtype, shape, bytes } of ordered) {
      const data = await bytes();
      const expected = sizeOf(shape) * SAFETENSORS_BYTES[dtype];
      if (data.byteLength !== expected)
        throw new Error(`${file}: ${name} has ${data.byteLength} bytes, expected ${expected}`);
      await handle.writeFile(data);
    }
  });
}

function headerBytes(ordered: readonly TensorSource[], metadata: Record<string, string>): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: metadata };
  let at = 0;
  for (const { name, dtype, shape } of ordered) {
    const bytes = sizeOf(shape) * SAFETENSORS_BYTES[dtype];
    header[name] = { dtype, shape, data_offsets: [at, at + bytes] };
    at += bytes;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const padded = Math.ceil(json.length / 8) * 8;
  const out = new Uint8Array(8 + padded).fill(0x20);
  new DataView(out.buffer).setBigUint64(0, BigInt(padded), true);
  out.set(json, 8);
  return out;
}
