import { type FileHandle, open } from 'node:fs/promises';
import { complain, UserError } from '../../errors.ts';
import { GgufFile } from './reader.ts';

/** How much each column of a matrix matters, and where that was measured. */
export interface ImportanceMatrix {
  file: string;
  /** Mean squares of a matrix's inputs, by the matrix's name in GGUF. */
  columns: ReadonlyMap<string, Float32Array>;
  /** Texts it was computed on, as the file names them. */
  datasets: readonly string[];
  /** Pieces of text that it was computed on. */
  chunks: number;
}

/** Far more than the matrices of the largest models take. */
const LARGEST = 2 ** 30;
const SUMS = '.in_sum2';
const COUNTS = '.counts';

/**
 * Reads what llama.cpp's `llama-imatrix` writes: a GGUF file, or the binary form of its earlier versions.
 *
 * @throws UserError for files of another kind, damaged ones, and numbers that are not finite
 */
export async function readImportanceMatrix(file: string): Promise<ImportanceMatrix> {
  const handle = await open(file, 'r').catch((error: NodeJS.ErrnoException) => {
    throw new UserError(`${file}: cannot be read (${error.code}); check the path and its permissions`);
  });
  let matrix: ImportanceMatrix;
  try {
    const magic = new Uint8Array(4);
    await handle.read(magic, 0, 4, 0);
    const gguf = new TextDecoder().decode(magic) === 'GGUF';
    matrix = gguf ? await readGguf(file) : parseLegacy(file, await contents(file, handle));
  } finally {
    await handle.close();
  }
  for (const [name, columns] of matrix.columns)
    if (!columns.every((value) => Number.isFinite(value)))
      throw refuse(file, `a number for ${name} that is not finite`);
  return matrix;
}

/** Sums of squares with the counts that they are divided by; experts, of which Llamas have none, would have several. */
async function readGguf(file: string): Promise<ImportanceMatrix> {
  const gguf = await GgufFile.open(file);
  try {
    const { metadata } = gguf;
    const columns = new Map<string, Float32Array>();
    for (const sums of gguf.names.filter((name) => name.endsWith(SUMS))) {
      const name = sums.slice(0, -SUMS.length);
      if (!gguf.has(name + COUNTS)) throw refuse(file, `${sums} without ${name}${COUNTS}`);
      columns.set(name, means(await floats(gguf, sums), await floats(gguf, name + COUNTS)));
    }
    if (columns.size === 0) throw refuse(file, `a GGUF file without tensors named *${SUMS}`);
    const datasets = metadata.has('imatrix.datasets') ? metadata.strings('imatrix.datasets') : [];
    return { file, columns, datasets, chunks: metadata.whole('imatrix.chunk_count', 0) };
  } finally {
    await gguf.close();
  }
}

async function floats(gguf: GgufFile, name: string): Promise<Float32Array> {
  const { type, shape } = gguf.entry(name);
  if (type !== 'f32') throw refuse(gguf.file, `${name} [${shape}] of type ${type}`, 'f32 tensors');
  const bytes = await gguf.bytes(name);
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}

function means(sums: Float32Array, counts: Float32Array): Float32Array {
  const width = sums.length / counts.length;
  return sums.map((sum, i) => {
    const count = Math.round(counts[Math.floor(i / width)]);
    return count > 0 ? sum / count : 1;
  });
}

async function contents(file: string, handle: FileHandle): Promise<Uint8Array> {
  const { size } = await handle.stat();
  if (size > LARGEST) throw refuse(file, `${size} bytes`, `at most ${LARGEST}`);
  return handle.readFile();
}

/**
 * The earlier form, little-endian: a count of entries, each with name, number of calls, count of values, and values
 * times calls; then perhaps the number of chunks and the name of the text.
 */
function parseLegacy(file: string, bytes: Uint8Array): ImportanceMatrix {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const take = (length: number): number => {
    if (!(length >= 0) || length > bytes.length - at) throw refuse(file, `its end at byte ${at} of an entry`);
    at += length;
    return at - length;
  };
  const i32 = () => view.getInt32(take(4), true);
  const text = () => {
    const length = i32();
    const start = take(length);
    return new TextDecoder().decode(bytes.subarray(start, start + length));
  };
  const entries = i32();
  if (entries < 1) throw refuse(file, `${entries} entries`);
  const columns = new Map<string, Float32Array>();
  for (let i = 0; i < entries; i++) {
    const name = text();
    const calls = i32();
    const count = i32();
    const start = take(4 * count);
    if (count < 1) throw refuse(file, `${count} values for ${name}`);
    const divisor = calls > 0 ? calls : 1;
    columns.set(
      name,
      Float32Array.from({ length: count }, (_, k) => view.getFloat32(start + 4 * k, true) / divisor),
    );
  }
  if (at === bytes.length) return { file, columns, datasets: [], chunks: 0 };
  const chunks = i32();
  return { file, columns, datasets: at < bytes.length ? [text()] : [], chunks: Math.max(0, chunks) };
}

function refuse(file: string, got: string, expected = 'an importance matrix of llama.cpp'): UserError {
  return complain({ where: file, got, expected, remedy: 'compute it again with llama-imatrix' });
}
