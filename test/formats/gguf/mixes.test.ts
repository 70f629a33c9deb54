import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { MIXES, type Mix } from '../../../src/formats/gguf/mixes.ts';
import { writeLlamaGguf } from '../../../src/models/save-gguf.ts';
import { openLlama, skipReason } from '../../oracle/llama.ts';
import { type RandomLlama, randomConfig, randomWeights } from '../../support/random-llama.ts';
import { writeTinyTokenizer } from '../../support/tiny-tokenizer.ts';

const dir = mkdtempSync(path.join(os.tmpdir(), 'dawntune-mixes-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const tokenizerDir = writeTinyTokenizer(path.join(dir, 'tokenizer'));

const ALL = Object.keys(MIXES) as Mix[];
/** Kinds whose tensors are of several types, so that the layer matters. */
const LAYERED: Mix[] = ['q2_k', 'q3_k_m', 'q3_k_l', 'q3_k_s', 'q4_k_s', 'q4_k_m', 'q5_k_m', 'iq4_nl', 'iq4_xs'];
/** llama.cpp would write these from the f16 file, ours from the weights themselves: see the converter's --outtype. */
const FROM_SOURCE: Mix[] = ['f32', 'bf16'];

/** Narrow enough to be quick; their types still tell all rules apart. */
const NARROW: RandomLlama = { hidden: 64, wide: 256 };

const cases: [title: string, sizes: RandomLlama, mixes: Mix[]][] = [
  ['three layers', { wide: 256 }, ALL],
  ['query heads in groups of four, tied', { heads: 8, groups: 2, wide: 768, tied: true }, ALL],
  ['rows that are no multiple of 256', { hidden: 160, wide: 352, heads: 5, layers: 4 }, ALL],
  ['rows that are no multiple of 256, tied', { hidden: 96, wide: 256, heads: 6, groups: 1, tied: true }, ALL],
  ['rows that are no multiple of 32', { hidden: 72, wide: 256, heads: 4, layers: 2 }, ALL],
  ['query heads in pairs', { ...NARROW, groups: 2 }, LAYERED],
  ['12 layers', { ...NARROW, layers: 12, groups: 1 }, LAYERED],
  ['16 layers', { ...NARROW, layers: 16, groups: 2 }, LAYERED],
  ['32 layers', { ...NARROW, layers: 32, groups: 1 }, LAYERED],
  ['33 layers', { ...NARROW, layers: 33 }, LAYERED],
  ['80 layers, as in the 70B models', { ...NARROW, layers: 80, groups: 2 }, LAYERED],
  ['80 layers without groups, as in the 65B model', { ...NARROW, layers: 80 }, ['q3_k_s', 'q4_k_m']],
];

describe.skipIf(skipReason !== '')(`types and bytes equal llama.cpp's quantiser${skipReason}`, () => {
  test.each(cases)('%s', async (_, sizes, mixes) => {
    await compare(randomConfig(sizes), mixes);
  });
});

/** Writes kinds of file with ours, and with llama.cpp from our f16 file, and compares types and bytes of all tensors. */
async function compare(config: ReturnType<typeof randomConfig>, mixes: readonly Mix[]): Promise<void> {
  const llama = await openLlama();
  const fileOf = (mix: Mix) => path.join(dir, `${mix}.gguf`);
  const written = [...new Set<Mix>(['f16', ...mixes])];
  await writeLlamaGguf({
    files: written.map((mix) => ({ file: fileOf(mix), mix })),
    config,
    tokenizerDir,
    chatTemplate: null,
    weights: randomWeights(config),
  });
  const theirFile = path.join(dir, 'theirs.gguf');
  for (const mix of mixes) {
    llama.quantize(fileOf('f16'), theirFile, { fileType: MIXES[mix].fileType });
    const ours = llama.tensors(fileOf(mix));
    const theirs = llama.tensors(theirFile);
    const types = (tensors: typeof ours) =>
      Object.fromEntries([...tensors].map(([name, { type, ne }]) => [name, `${type} ${ne}`]).sort());
    expect(types(ours), mix).toEqual(types(theirs));
    if (FROM_SOURCE.includes(mix)) continue;
    const [our, their] = [readFileSync(fileOf(mix)), readFileSync(theirFile)];
    for (const [name, { begin, end }] of ours) {
      const { begin: start, end: stop } = theirs.get(name) as { begin: number; end: number };
      const equal = our.subarray(begin, end).equals(their.subarray(start, stop));
      expect(equal, `${mix} ${name}: bytes equal`).toBe(true);
    }
  }
}
