import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { Device } from '../../src/tensor/device.ts';
import type { KernelVariant } from '../../src/tensor/variants.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const read = (file: string) => readFileSync(root + file, 'utf8');

/** Every module under src/ that exports a list named `variants`. */
const modules = readdirSync(`${root}src`, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts') && /^export const variants\b/m.test(read(`src/${file}`)))
  .toSorted();

const lists = new Map<string, readonly KernelVariant[]>();
for (const file of modules) {
  const { variants } = (await import(`${root}src/${file}`)) as { variants: readonly KernelVariant[] };
  lists.set(file, variants);
}
const all = [...lists.values()].flat();

/** Compiles on the null backend, where Dawn reports errors before compile() returns. */
function failureOf(device: Device, variant: KernelVariant): string | null {
  try {
    device.compile(variant, variant.bindings);
    device.check();
    return null;
  } catch (error) {
    // The null adapter has 16 KiB of workgroup memory; every real one that Dawn runs on has at least 32 KiB.
    const storage = /total use of workgroup storage \((\d+) bytes\)/.exec(String(error));
    if (storage && Number(storage[1]) <= Math.max(variant.workgroupBytes ?? 0, 32768)) return 'small';
    return `${variant.kernel}:${variant.entry ?? 'main'} ${JSON.stringify(variant.defines ?? {})}: ${error}`;
  }
}

describe('every variant compiles without a GPU', () => {
  test.each([...lists])('%s', async (_, variants) => {
    expect(variants.length).toBeGreaterThan(0);
    const failures: string[] = [];
    let device = await Device.open({ backend: 'null' });
    for (const variant of variants) {
      const failure = failureOf(device, variant);
      if (!failure) continue;
      if (failure !== 'small') failures.push(failure);
      device = await Device.open({ backend: 'null' }); // A device keeps its first error.
    }
    expect(failures).toEqual([]);
  });
});

test.each([
  ['types that do not fit', { kernel: '../test/support/kernels/broken.wgsl', bindings: ['y'] }, /cannot assign/],
  [
    'an expression',
    {
      kernel: 'elementwise_dense.wgsl',
      entry: 'unary',
      defines: { A: 'f32', B: 'f32', Y: 'f32', EXPR: 'a +', QUADS: 1 },
      bindings: ['a', 'y'],
    },
    /error/,
  ],
  [
    'an entry point that is missing',
    { kernel: 'copy_u8.wgsl', entry: 'none', defines: { X: 'f32' }, bindings: ['x', 'y'] },
    /none/,
  ],
  ['a binding that is left out', { kernel: 'copy_u8.wgsl', defines: { X: 'f32' }, bindings: ['x'] }, /binding/],
  [
    'a binding that is too much',
    { kernel: 'copy_u8.wgsl', defines: { X: 'f32' }, bindings: ['x', 'y', 'z'] },
    /no binding z/,
  ],
  [
    'an override constant that is unknown',
    { kernel: 'copy_u8.wgsl', defines: { X: 'f32' }, constants: { a: 1 }, bindings: ['x', 'y'] },
    /constant|override/i,
  ],
])('a broken variant is found: %s', async (_, variant, message) => {
  const device = await Device.open({ backend: 'null' });
  expect(failureOf(device, variant as KernelVariant)).toMatch(message);
});

test('every entry point of every kernel file is in a list', () => {
  const listed = new Set(all.map(({ kernel, entry = 'main' }) => `${kernel}:${entry}`));
  const missing: string[] = [];
  for (const file of readdirSync(`${root}kernels`).filter((name) => name.endsWith('.wgsl'))) {
    const entries = [...read(`kernels/${file}`).matchAll(/@compute[^{;]*?\bfn\s+(\w+)/g)].map(([, name]) => name);
    expect(entries.length, file).toBeGreaterThan(0);
    for (const entry of entries) if (!listed.has(`${file}:${entry}`)) missing.push(`${file}:${entry}`);
  }
  expect(missing).toEqual([]);
});
