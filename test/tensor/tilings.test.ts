import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { quantizeNf4 } from '../../src/quant/nf4.ts';
import { Device } from '../../src/tensor/device.ts';
import { type GemmPath, gemm } from '../../src/tensor/gemm/gemm.ts';
import { usableMatrixShape } from '../../src/tensor/gemm/matrix.ts';
import { WORKGROUP_BYTES } from '../../src/tensor/gemm/matrix-kernel.ts';
import { panelsSize } from '../../src/tensor/gemm/panels.ts';
import { keyOf, type ProductShape } from '../../src/tensor/gemm/product-shape.ts';
import { suits, TILE_NAMES, TILES } from '../../src/tensor/gemm/tiles.ts';
import { candidates, defaultTiling, evenSplits, serves, type Tiling } from '../../src/tensor/gemm/tilings.ts';
import { writeTilings } from '../../src/tensor/gemm/tilings-file.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { compare, normals } from '../support/check-op.ts';
import { units } from '../support/matrix-products.ts';
import { temporaryDirectory } from '../support/model-files.ts';

const shape = (values: Partial<ProductShape>): ProductShape => ({
  transposeA: false,
  transposeB: false,
  panelsA: false,
  panelsB: false,
  batch: 1,
  m: 8192,
  n: 4096,
  k: 4096,
  rider: 0,
  y: 'f16',
  addend: 'none',
  ...values,
});

describe('keys', () => {
  test('name all that matters for speed', () => {
    const others: Partial<ProductShape>[] = [
      {},
      { transposeA: true },
      { transposeB: true },
      { panelsA: true },
      { panelsB: true },
      { panelsA: true, panelsB: true },
      { batch: 2 },
      { m: 4096 },
      { n: 4104 },
      { k: 4104 },
      { rider: 16 },
      { y: 'f32' },
      { addend: 'f16' },
      { addend: 'f32' },
      { addend: 'own' },
    ];
    expect(new Set(others.map((values) => keyOf(shape(values)))).size).toBe(others.length);
    expect(keyOf(shape({ panelsB: true, rider: 16, y: 'f32', addend: 'f32' }))).toBe(
      'NN 8192x4096x4096 panels rider f32 + f32',
    );
    expect(keyOf(shape({ panelsA: true }))).toBe('NN 8192x4096x4096 panels of a f16');
    expect(keyOf(shape({ panelsA: true, panelsB: true }))).toBe('NN 8192x4096x4096 panels of both f16');
  });

  test('are the same for batches of a few tokens more or less', () => {
    for (const tokens of [4097, 5000, 8191]) {
      expect(keyOf(shape({ m: tokens }))).toBe(keyOf(shape({ m: 8192 })));
      const turned = { transposeA: true, m: 16 };
      expect(keyOf(shape({ ...turned, k: tokens }))).toBe(keyOf(shape({ ...turned, k: 8192 })));
    }
    expect([0, 1, 2, 3].map((m) => keyOf(shape({ m })).split('x')[0])).toEqual(['NN 0', 'NN 1', 'NN 2', 'NN 4']);
  });
});

test('what is taken where nothing was measured', () => {
  const taken = (values: Partial<ProductShape>) => {
    const { tile, splits, tail } = defaultTiling(shape(values));
    return `${tile}/${splits}${tail ? ' tail' : ''}`;
  };
  expect(taken({ n: 14336, panelsB: true })).toBe('128x160/1'); // 21.8 rounds of workgroups
  expect(taken({ panelsB: true })).toBe('128x160/3 tail'); // 6.3 rounds: of the last a third is left
  expect(taken({})).toBe('160x128/3 tail');
  expect(taken({ m: 4096 })).toBe('160x128/6 tail');
  expect(taken({ panelsB: true, k: 64 })).toBe('128x160/1'); // Parts of so little depth would cost more than they save.
  expect(taken({ m: 512, n: 1024 })).toBe('128x128/8');
  expect(taken({ m: 16 })).toBe('16x128/16');
  expect(taken({ m: 16, panelsB: true, k: 64 })).toBe('16x128/1');
  expect(taken({ n: 16 })).toBe('128x16/8');
  expect(taken({ m: 64, n: 128 })).toBe('64x128/16');
  expect(taken({ m: 64, n: 64, k: 300 })).toBe('64x64/1');
  expect(taken({ m: 64, n: 64, k: 0 })).toBe('64x64/1');
});

test('tile shapes leave room for two workgroups on a core of an H200, and what is unread behind the panels for the widest', () => {
  expect(WORKGROUP_BYTES).toBe(23040); // 128 or 160 rows of 32 halves and 16 bytes
  expect(WORKGROUP_BYTES).toBeLessThanOrEqual(24576);
  // A tile may begin in the last of one panel.
  const widest = Math.max(...Object.values(TILES).map(({ TN }) => TN));
  expect(panelsSize(32, 32)).toBeGreaterThanOrEqual(widest * 32);
});

test('what is kept is not taken where its parts would fill the memory', () => {
  const large = shape({ transposeB: true, panelsB: true, k: 14336 });
  const tail = false;
  expect(serves({ tile: '128x128', splits: 1, tail }, large)).toBe(true);
  for (const splits of [2, 128, 65535]) expect(serves({ tile: '128x128', splits, tail }, large)).toBe(false);
  for (const splits of [2, 6]) expect(serves({ tile: '128x160', splits, tail: true }, large)).toBe(true);
  for (const splits of [7, 65535]) expect(serves({ tile: '128x160', splits, tail: true }, large)).toBe(false);
  expect(serves({ tile: '128x16', splits: 1, tail }, large)).toBe(false);
  // With tails whose parts fill three rounds, among the candidates or as the default.
  const tails = [shape({ panelsB: true, k: 14336 }), shape({ panelsB: true, m: 2048, k: 14336 })];
  for (const sizes of [...tails, shape({ n: 16 }), shape({ m: 16, k: 8192 }), shape({ m: 64, n: 64 })])
    for (const tiling of candidates(sizes)) expect(serves(tiling, sizes)).toBe(true);
});

describe('operands in panels', () => {
  const suited = (values: Partial<ProductShape>) => TILE_NAMES.filter((tile) => suits(tile, shape(values)));
  const whole = ['128x128', '128x160', '160x128', '64x128', '64x64'];

  test('are read by tiles of whole panels', () => {
    expect(suited({})).toEqual(TILE_NAMES);
    expect(suited({ panelsA: true, m: 133 })).toEqual([...whole, '128x16']);
    expect(suited({ panelsB: true, n: 200 })).toEqual([...whole, '16x128']);
    expect(suited({ panelsA: true, panelsB: true })).toEqual(whole);
  });

  test('end with their last panel where they lie across the depth', () => {
    const turned = { transposeA: true, k: 133 };
    const without = (tile: string) => whole.filter((other) => other !== tile);
    expect(suited({ ...turned, panelsA: true })).toEqual([...without('160x128'), '128x16']);
    expect(suited({ ...turned, panelsB: true })).toEqual([...without('128x160'), '16x128']);
    expect(suited({ ...turned, panelsA: true, m: 1280 })).toContain('160x128');
  });

  test('never get a tile that does not suit', () => {
    for (const [panelsA, panelsB, transposeA] of [
      [true, false, false],
      [true, true, false],
      [true, false, true],
      [false, true, true],
      [true, true, true],
    ])
      for (const [m, n, k] of [
        [128, 128, 128],
        [8192, 14336, 4096],
        [14336, 128, 8191],
        [1024, 4096, 8192],
      ]) {
        const sizes = shape({ panelsA, panelsB, transposeA, m, n, k });
        for (const { tile } of candidates(sizes)) expect(suits(tile, sizes)).toBe(true);
      }
  });
});

describe('candidates', () => {
  const shapes: Partial<ProductShape>[] = [{}, { m: 16 }, { n: 16 }, { n: 16, panelsB: true }, { m: 1, n: 1, k: 1 }];
  test.each([...shapes, { m: 16, k: 8192, transposeA: true }, { batch: 40, m: 70, n: 77, k: 40 }])(
    'of %j',
    (values) => {
      const sizes = shape(values);
      const found = candidates(sizes);
      expect(found[0]).toEqual(defaultTiling(sizes));
      const names = found.map(({ tile, splits, tail }) => `${tile}/${splits}/${tail}`);
      expect(new Set(names).size).toBe(names.length);
      for (const { tile, splits } of found) {
        if (sizes.panelsB) expect(TILES[tile].TN % 32).toBe(0);
        expect(evenSplits(sizes.k, splits).splits).toBe(splits);
      }
    },
  );

  test('have no more workgroups than a launch may have along one dimension', () => {
    const large = shape({ m: 65536, n: 4096, panelsB: true });
    const small = { tile: '64x64', splits: 1, tail: false } as const;
    expect(candidates(large).map(({ tile }) => tile)).not.toContain('64x64'); // It would have 65,536.
    expect(serves(small, large)).toBe(false);
    expect(serves(small, { ...large, m: 65472 })).toBe(true);
  });

  test('are other tiles and other splits, and no thin tiles for what is not thin', () => {
    const deep = candidates(shape({ m: 16, k: 8192, transposeA: true }));
    expect(new Set(deep.map(({ tile }) => tile)).size).toBeGreaterThan(1);
    expect(deep.filter(({ tile }) => tile === '16x128').length).toBeGreaterThan(4);
    const large = candidates(shape({})).map(({ tile, splits, tail }) => `${tile}${tail ? ` tail/${splits}` : ''}`);
    expect(large.toSorted()).toEqual([
      '128x128',
      '128x160',
      '128x160 tail/3',
      '160x128',
      '160x128 tail/3',
      '64x128',
      '64x64',
    ]);
  });
});

describe('products', () => {
  /**
   * Each tile shape, alone and with several workgroups a tile (of these one or the other, where each kernel takes seconds
   * to compile); the depth tells their keys apart.
   */
  const splitsOf = (i: number) => (units ? [1, 3] : [1 + 2 * (i % 2)]);
  const products = [
    ...TILE_NAMES.flatMap((tile, i) => splitsOf(i).map((splits) => ({ tile, splits, tail: false }))).map(
      (tiling, i) => ({ tiling, m: 40, n: 24, k: 136 + 8 * i, r: 0 }),
    ),
    // More tiles than a round of workgroups; the shared ones are ragged, and only the first workgroup of each adds the rider.
    { tiling: { tile: '16x128' as const, splits: 3, tail: true }, m: 4250, n: 24, k: 136, r: 16 },
    { tiling: { tile: '128x16' as const, splits: 2, tail: true }, m: 40, n: 4254, k: 136, r: 0 },
  ];
  const panelsKey = keyOf(shape({ m: 5, n: 72, k: 200, panelsB: true, y: 'f32' }));
  /** Tiles that begin in one panel and end in another, and go beyond the last: 7 panels, tiles of 5. */
  const wide = { m: 130, n: 200, k: 72 };
  const wideKey = keyOf(shape({ ...wide, panelsB: true, y: 'f32' }));
  let device: Device;
  let path: GemmPath;

  beforeAll(async () => {
    vi.stubEnv('DAWNTUNE_CACHE', temporaryDirectory());
    const plain = await Device.open();
    const { capabilities } = plain;
    plain.close();
    expect(capabilities.tilings.size).toBe(0);
    const kept = products.map(({ tiling, m, n, k, r }): [string, Tiling] => [
      keyOf(shape({ m, n, k, rider: r, y: 'f32', addend: 'f32' })),
      tiling,
    ]);
    writeTilings(
      capabilities,
      new Map([
        ...kept,
        [panelsKey, { tile: '128x16', splits: 1, tail: false }],
        [wideKey, { tile: '128x160', splits: 1, tail: false }],
      ]),
    );
    device = await Device.open({ poison: true });
    path = usableMatrixShape(capabilities) ? 'matrix' : 'emulated';
  });
  afterAll(() => {
    vi.unstubAllEnvs();
    device.close();
  });

  test.each(products)('go by what is kept, with the right result: $tiling', async ({ tiling, m, n, k, r }) => {
    await device.scopeAsync(async () => {
      const [a, b, c, d] = [
        [m, k],
        [k, n],
        [m, r],
        [r, n],
      ].map((sizes, i) => Tensor.from(device, normals(sizes[0] * sizes[1], i + 1), sizes, 'f16'));
      const addend = Tensor.from(device, normals(m * n, 5), [m, n]);
      const rider = r > 0 ? { a: c, b: d } : undefined;
      const run = () => gemm({ a, b, rider, addend, dtype: 'f32', path });
      const [main, ...others] = await device.profile(() => device.scope(() => void run()));
      const { TM, TN } = TILES[tiling.tile];
      expect(main).toMatchObject({ defines: { TM, TN }, params: { splits: tiling.splits } });
      expect((main.params.whole as number) > 0).toBe(tiling.splits === 1 || tiling.tail);
      expect(others.map(({ label }) => label)).toEqual(tiling.splits === 1 ? [] : ['gemm_split.wgsl:main']);
      const expected = Float64Array.from(await addend.numbers());
      for (const [left, right, depth] of [
        [a, b, k],
        [c, d, r],
      ] as const) {
        const [x, y] = [await left.numbers(), await right.numbers()];
        for (let i = 0; i < m * n; i++)
          for (let q = 0; q < depth; q++) expected[i] += x[Math.floor(i / n) * depth + q] * y[q * n + (i % n)];
      }
      const result = await run().numbers();
      compare('against f64', result, expected, 1e-5);
      expect(await run().numbers(), 'again').toEqual(result);
    });
  });

  test('whose tiles are wider than panels', async () => {
    await device.scopeAsync(async () => {
      const { m, n, k } = wide;
      const filled = (seed: number, ...sizes: number[]) =>
        Tensor.from(device, normals(sizes[0] * sizes[1], seed), sizes, 'f16');
      const b = quantizeNf4(filled(1, k, n));
      const product = { a: filled(2, m, k), dtype: 'f32' as const };
      const expected = await gemm({ ...product, b: b.dense('f16'), path: 'portable' }).numbers();
      const commands = await device.profile(() => device.scope(() => void gemm({ ...product, b, path })));
      expect(commands.at(-1)).toMatchObject({ defines: { TN: 160, B_PANELS: 'true' } });
      compare('panels', await gemm({ ...product, b, path }).numbers(), expected, 1e-5);
    });
  });

  test('with an operand in panels take no tile shape that cannot read them', async () => {
    await device.scopeAsync(async () => {
      const b = quantizeNf4(Tensor.from(device, normals(200 * 72, 1), [200, 72]));
      const a = Tensor.from(device, normals(5 * 200, 2), [5, 200], 'f16');
      const expected = await gemm({ a, b: b.dense('f16'), dtype: 'f32', path: 'portable' }).numbers();
      const watched: string[] = [];
      device.productWatch = (each) => watched.push(keyOf(each));
      compare('panels', await gemm({ a, b, dtype: 'f32', path }).numbers(), expected, 1e-5);
      expect(watched).toEqual([panelsKey]);
    });
  });
});
