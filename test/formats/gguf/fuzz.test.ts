import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { Random } from '../../../src/data/random.ts';
import { loadTokenizer } from '../../../src/data/tokenizer.ts';
import { UserError } from '../../../src/errors.ts';
import { GgufFile } from '../../../src/formats/gguf/reader.ts';
import { weightShapes } from '../../../src/models/init.ts';
import { openWeights } from '../../../src/models/open-weights.ts';
import { writeLlamaGguf } from '../../../src/models/save-gguf.ts';
import { GgufBytes } from '../../support/gguf-bytes.ts';
import { randomConfig, randomWeights } from '../../support/random-llama.ts';
import { writeTinyTokenizer } from '../../support/tiny-tokenizer.ts';

const MUTATIONS = 10_000;
/** Far above what the small files need, far below what their lengths and counts can claim. */
const MOST_BYTES = 256 * 2 ** 20;
const MOST_MILLISECONDS = 5_000;

const dir = mkdtempSync(path.join(os.tmpdir(), 'dawntune-gguf-fuzz-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** A complete model with tokenizer by our own writer. */
async function model(mix: 'f16' | 'q8_0'): Promise<Uint8Array> {
  const scaling = { type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4 } as const;
  const config = randomConfig({ hidden: 32, wide: 32, layers: 1, heads: 2, groups: 1 });
  config.rope.scaling = { ...scaling, original_max_position_embeddings: 64 };
  const file = path.join(dir, 'model.gguf');
  await writeLlamaGguf({
    files: [{ file, mix }],
    config,
    tokenizerDir: writeTinyTokenizer(path.join(dir, 'tokenizer')),
    chatTemplate: '{{ messages }}',
    weights: randomWeights(config),
  });
  return new Uint8Array(readFileSync(file));
}

/** Every value type and rank in a few hundred bytes. */
function kinds(): Uint8Array {
  const sizes = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];
  const types = [0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12];
  const bytes = new GgufBytes().start(4, 3 + 2 * types.length);
  bytes.string('general.alignment').u32(4).u32(64);
  bytes.string('text').u32(8).string('é');
  bytes.string('texts').u32(9).u32(8).u64(2).string('').string('b');
  for (const type of types) {
    bytes.string(`one.${type}`).u32(type).raw(new Uint8Array(sizes[type]).fill(1));
    bytes
      .string(`many.${type}`)
      .u32(9)
      .u32(type)
      .u64(3)
      .raw(new Uint8Array(3 * sizes[type]).fill(1));
  }
  bytes
    .tensor('a', [3], 0, 0)
    .tensor('b', [32, 2], 8, 64)
    .tensor('c', [1, 2, 3], 1, 192)
    .tensor('d', [1, 1, 1, 1], 0, 256);
  return bytes.data(260, 64).finish();
}

/** Places of the counts, lengths, types, sizes and offsets of a valid file: what a blind change would seldom hit. */
function structure(file: Uint8Array): { at: number; bytes: 4 | 8 }[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const places: { at: number; bytes: 4 | 8 }[] = [];
  let at = 4;
  const take = (bytes: 4 | 8): number => {
    places.push({ at, bytes });
    at += bytes;
    return bytes === 4 ? view.getUint32(at - 4, true) : Number(view.getBigUint64(at - 8, true));
  };
  const skip = (): void => {
    const length = take(8);
    at += length;
  };
  const value = (type: number): void => {
    if (type === 8) skip();
    else if (type === 9) {
      const element = take(4);
      for (let count = take(8); count > 0; count--) value(element);
    } else at += [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8][type];
  };
  take(4);
  const tensors = take(8);
  for (let fields = take(8); fields > 0; fields--) {
    skip();
    const type = take(4);
    // The value itself too: sizes, ids and the alignment are among them.
    if (type === 4) places.push({ at, bytes: 4 });
    value(type);
  }
  for (let i = 0; i < tensors; i++) {
    skip();
    for (let rank = take(4); rank > 0; rank--) take(8);
    take(4);
    take(8);
  }
  return places;
}

const EDGES = [0n, 1n, 2n, 3n, 31n, 33n, 255n, 256n, 65_535n, 2n ** 31n - 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 32n];
const LARGE = [
  2n ** 40n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 60n,
  2n ** 63n - 1n,
  2n ** 63n,
  2n ** 64n - 32n,
  2n ** 64n - 1n,
];

function mutate(original: Uint8Array, places: readonly { at: number; bytes: 4 | 8 }[], random: Random): Uint8Array {
  const headerEnd = places[places.length - 1].at + 8;
  // Headers are where the traps are; the data is only numbers.
  const spot = () => random.below(random.below(8) === 0 ? original.length : headerEnd);
  let file = original.slice();
  for (let times = Math.max(1, random.below(6) - 2); times > 0; times--) {
    const view = new DataView(file.buffer);
    const place = random.pick(places);
    const within = place.at + place.bytes <= file.length;
    switch (random.below(8)) {
      case 0:
      case 1:
      case 2: {
        const edge = random.pick(random.below(3) === 0 ? [BigInt(file.length), ...LARGE] : EDGES);
        if (within && place.bytes === 8) view.setBigUint64(place.at, edge, true);
        else if (within) view.setUint32(place.at, Number(edge & 0xffffffffn), true);
        break;
      }
      case 3: {
        const old = within ? view.getUint32(place.at, true) : 0;
        if (within) view.setUint32(place.at, (old + random.below(9) - 4) >>> 0, true);
        break;
      }
      case 4:
        for (let flips = 1 + random.below(8); flips > 0; flips--) {
          const at = spot();
          if (at < file.length) file[at] ^= 1 << random.below(8);
        }
        break;
      case 5:
        file = file.slice(0, random.below(2) === 0 ? spot() : random.below(file.length + 1));
        break;
      case 6: {
        // Bytes taken out or put in move everything behind them.
        const at = spot();
        const rest = file.subarray(Math.min(file.length, at + random.below(16)));
        const extra = Uint8Array.from({ length: random.below(16) }, () => random.below(256));
        const start = Math.min(at, file.length);
        const moved = new Uint8Array(start + extra.length + rest.length);
        moved.set(file.subarray(0, start));
        moved.set(extra, start);
        moved.set(rest, start + extra.length);
        file = moved;
        break;
      }
      case 7: {
        const from = spot();
        file.copyWithin(spot(), from, from + random.below(64));
        break;
      }
    }
  }
  return file;
}

/** Header, configuration, and all weights dequantised. */
async function readModel(file: string): Promise<void> {
  const source = await openWeights(file);
  try {
    for (const [name, shape] of weightShapes(source.config)) await source.floats(name, shape);
  } finally {
    await source.close();
  }
}

/** Header and all tensors of a file that need be no model. */
async function readFile(file: string): Promise<void> {
  const opened = await GgufFile.open(file);
  try {
    for (const name of opened.names) await opened.bytes(name);
  } finally {
    await opened.close();
  }
}

test(`${MUTATIONS} damaged files either open or are refused in a line, in bounded memory and time`, async () => {
  const models = [await model('f16'), await model('q8_0')];
  const originals = [
    ...models.map((file) => ({ file, places: structure(file), readers: [readModel, loadTokenizer] })),
    { file: kinds(), places: structure(kinds()), readers: [readFile] },
  ];
  const random = new Random(20_240_607);
  const file = path.join(dir, 'mutated.gguf');
  const read = new Map<string, number>();
  let largest = 0;
  const handle = openSync(file, 'w');
  const before = process.memoryUsage();
  for (let i = 0; i < MUTATIONS; i++) {
    const { file: original, places, readers } = originals[i % originals.length];
    const bytes = mutate(original, places, random);
    ftruncateSync(handle, bytes.length);
    if (bytes.length > 0) writeSync(handle, bytes, 0, bytes.length, 0);
    const start = performance.now();
    for (const reader of readers)
      try {
        await reader(file);
        read.set(reader.name, (read.get(reader.name) ?? 0) + 1);
      } catch (error) {
        if (!(error instanceof UserError)) throw new Error(`mutation ${i}: ${(error as Error).stack}`);
        if (!error.message.includes(file) || error.message.includes('\n'))
          throw new Error(`mutation ${i}: ${error.message}`);
      }
    const { arrayBuffers, heapUsed } = process.memoryUsage();
    largest = Math.max(largest, arrayBuffers - before.arrayBuffers + heapUsed - before.heapUsed);
    expect(performance.now() - start, `milliseconds of mutation ${i}`).toBeLessThan(MOST_MILLISECONDS);
  }
  closeSync(handle);
  expect(largest).toBeLessThan(MOST_BYTES);
  // Where nothing came through, the files were not valid to begin with; where all did, nothing was damaged.
  for (const reader of [readModel, loadTokenizer, readFile]) {
    expect(read.get(reader.name), reader.name).toBeGreaterThan(MUTATIONS / 100);
    expect(read.get(reader.name), reader.name).toBeLessThan(MUTATIONS / 3);
  }
}, 600_000);
