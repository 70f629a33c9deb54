import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Tiling } from '../../src/tensor/gemm/tilings.ts';
import { describeTilings, readTilings, tilingsFile, writeTilings } from '../../src/tensor/gemm/tilings-file.ts';
import { sourceOf } from '../../src/tensor/wgsl.ts';
import { editJson, temporaryDirectory } from '../support/model-files.ts';

const adapter = { vendor: 'v', architecture: 'a', name: 'Some GPU (TM) 1', driver: '580.1', safeKernels: false };
const KEY = 'NN 8192x4096x4096 panels f16';
const SOME: [string, Tiling] = [KEY, { tile: '64x128', splits: 2, tail: false }];

let dir: string;
let warnings: string[];
const fileOf = (of = adapter) => tilingsFile(of) as string;

beforeEach(() => {
  dir = temporaryDirectory();
  warnings = [];
  vi.stubEnv('DAWNTUNE_CACHE', dir);
  vi.spyOn(console, 'error').mockImplementation((line) => void warnings.push(line));
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

test('what is written is read, added to and taken away', () => {
  vi.stubEnv('DAWNTUNE_CACHE', path.join(dir, 'new', 'place'));
  expect(readTilings(adapter).size).toBe(0);
  expect(describeTilings(adapter)).toMatch(/^none; .* tune` would write .*new.place/);
  expect(writeTilings(adapter, new Map([SOME]))).toEqual({ file: fileOf(), count: 1 });
  expect([...readTilings(adapter)]).toEqual([SOME]);
  expect(writeTilings(adapter, new Map([['b', { tile: '64x64', splits: 1, tail: false }]])).count).toBe(2);
  expect(writeTilings(adapter, new Map([['b', null]])).count).toBe(1);
  expect([...readTilings(adapter)]).toEqual([SOME]);
  expect(describeTilings(adapter)).toBe(`1 in ${fileOf()}`);
  expect(readdirSync(path.dirname(fileOf()))).toEqual([path.basename(fileOf())]);
  expect(warnings).toEqual([]);
});

test('each adapter, driver and way to run has a file of its own, with a name that tells', () => {
  expect(path.basename(fileOf())).toMatch(/^tilings-some-gpu-tm-1-[0-9a-f]{16}\.json$/);
  const others = [
    adapter,
    { ...adapter, driver: '580.2' },
    { ...adapter, safeKernels: true },
    { ...adapter, name: '' },
  ];
  expect(new Set(others.map(fileOf)).size).toBe(others.length);
});

test('kernels that were changed since make it stale: not used, and replaced', () => {
  writeTilings(adapter, new Map([SOME]));
  editJson(fileOf(), (json) => {
    json.kernels = '0123456789abcdef';
    json.tilings = 'of another version';
  });
  expect(readTilings(adapter).size).toBe(0);
  expect(describeTilings(adapter)).toMatch(/^of other kernels, not used: .*; .* tune` again$/);
  expect(warnings).toEqual([]);
  expect(writeTilings(adapter, new Map([['b', { tile: '64x64', splits: 1, tail: false }]])).count).toBe(1);
  expect([...readTilings(adapter).keys()]).toEqual(['b']);
});

test('the text of a kernel has all that it can include', () => {
  const text = sourceOf('gemm_matrix.wgsl');
  for (const file of [
    'gemm_matrix',
    'include/gemm_loop',
    'include/gemm_aim',
    'include/gemm_fetch_whole',
    'include/fragments_matrix',
  ])
    expect(text).toContain(readFileSync(`kernels/${file}.wgsl`, 'utf8'));
  for (const file of ['include/get4_ragged_own_f32', 'include/get4_ragged', 'include/put4_aligned_f16'])
    expect(text).toContain(readFileSync(`kernels/${file}.wgsl`, 'utf8'));
  expect(text).not.toContain(readFileSync('kernels/rope.wgsl', 'utf8'));
});

test.each<[string, string | null]>([
  ['no JSON', '{"adapter": '],
  ['no text', '\xff\xfe\x00'],
  ['empty', ''],
  ['a list', '[]'],
  ['a tile shape that there is not', '64x65'],
  ['a directory', null],
])('a damaged file is one line and the defaults: %s', (what, contents) => {
  writeTilings(adapter, new Map([SOME]));
  const file = fileOf();
  if (what.startsWith('a tile')) writeFileSync(file, readFileSync(file, 'utf8').replace('64x128', contents as string));
  else if (contents === null) {
    vi.stubEnv('DAWNTUNE_CACHE', path.join(dir, 'other'));
    mkdirSync(fileOf(), { recursive: true });
  } else writeFileSync(file, contents, 'latin1');
  expect(readTilings(adapter).size).toBe(0);
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toMatch(/^warning: .*tilings-some-gpu.*; /);
  expect(warnings[0]).not.toContain('\n');
  expect(describeTilings(adapter)).toMatch(/^damaged: /);
});

test.each([0, 1.5, 1e9, '2', null])('%s splits are refused', (splits) => {
  writeTilings(adapter, new Map([SOME]));
  editJson(fileOf(), (json) => {
    json.tilings[KEY].splits = splits;
  });
  expect(readTilings(adapter).size).toBe(0);
  expect(warnings[0]).toMatch(/expected tilings of products; delete it, or run `npx tsx train.ts tune` again$/);
});

describe('the place', () => {
  test('off', () => {
    vi.stubEnv('DAWNTUNE_CACHE', 'off');
    expect(tilingsFile(adapter)).toBeNull();
    expect(readTilings(adapter).size).toBe(0);
    expect(describeTilings(adapter)).toBe('off (DAWNTUNE_CACHE=off, or no home directory)');
    expect(() => writeTilings(adapter, new Map())).toThrow(/^DAWNTUNE_CACHE: got off, expected a directory/);
  });

  test.each<[NodeJS.Platform, Record<string, string>, string]>([
    ['linux', { XDG_CACHE_HOME: '/cache' }, '/cache/dawntune'],
    ['linux', { XDG_CACHE_HOME: 'relative' }, path.join(os.homedir(), '.cache', 'dawntune')],
    ['linux', { XDG_CACHE_HOME: '' }, path.join(os.homedir(), '.cache', 'dawntune')],
    ['darwin', {}, path.join(os.homedir(), 'Library', 'Caches', 'dawntune')],
    ['win32', { LOCALAPPDATA: '/local' }, '/local/dawntune'],
    ['win32', { LOCALAPPDATA: '' }, path.join(os.homedir(), 'AppData', 'Local', 'dawntune')],
  ])('on %s with %j', (platform, env, place) => {
    for (const [name, value] of Object.entries({ DAWNTUNE_CACHE: '', ...env })) vi.stubEnv(name, value);
    vi.spyOn(process, 'platform', 'get').mockReturnValue(platform);
    expect(path.dirname(fileOf())).toBe(place);
  });

  test('that cannot be written is said before anything is measured', () => {
    writeFileSync(path.join(dir, 'file'), '');
    vi.stubEnv('DAWNTUNE_CACHE', path.join(dir, 'file', 'below'));
    expect(() => writeTilings(adapter, new Map())).toThrow(/a part of the path is a file/);
  });
});

test('writers at the same time leave a whole file', async () => {
  const script = `
    import { readTilings, writeTilings } from './src/tensor/gemm/tilings-file.ts';
    const adapter = ${JSON.stringify(adapter)};
    for (let i = 0; i < 40; i++) {
      const key = process.argv[1] + '-' + i;
      writeTilings(adapter, new Map([[key, { tile: '64x64', splits: 1 + i, tail: false }]]));
      if (readTilings(adapter).size === 0) throw new Error('half a file was read');
    }`;
  const run = (name: string) =>
    new Promise<string>((resolve) => {
      const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script, name]);
      let text = '';
      child.stderr.on('data', (chunk) => {
        text += chunk;
      });
      child.on('close', (code) => resolve(`${code} ${text}`));
    });
  expect(await Promise.all(['a', 'b', 'c'].map(run))).toEqual(['0 ', '0 ', '0 ']);
  expect(readTilings(adapter).size).toBeGreaterThanOrEqual(40);
  expect(readdirSync(dir)).toEqual([path.basename(fileOf())]);
  expect(existsSync(`${fileOf()}.part`)).toBe(false);
});
