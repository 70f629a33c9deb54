import { describe, expect, test } from 'vitest';
import { expand, interfaceOf } from '../../src/tensor/wgsl.ts';

const own = (name: string) => `../test/support/kernels/${name}.wgsl`;

describe('expand', () => {
  test('inserts plain includes once and those with arguments each time', () => {
    const text = expand(own('twice'), { X: 'f32', B: 7 });
    expect(text.match(/fn flat_group/g)).toHaveLength(1);
    expect(text).toContain('@group(0) @binding(1) var<storage, read> a: array<f32>;');
    expect(text).toContain('@group(0) @binding(7) var<storage, read> b: array<f32>;');
    expect(text).toContain('fn a_at(');
    expect(text).toContain('fn b_at(');
  });

  test('repeats the lines of loops, nested ones and includes too', () => {
    const code = expand(own('loops'), { COUNT: 2 })
      .split('\n')
      .filter((line) => line.startsWith('const'));
    expect(code).toEqual([
      'const before = 1;',
      'const a0_2 = 0;',
      'const a0_3 = 0;',
      'const after0 = 0;',
      'const a1_2 = 1;',
      'const a1_3 = 1;',
      'const after1 = 1;',
      'const last = 2;',
    ]);
    const text = expand(own('loops'), { COUNT: 2 });
    expect(text).toContain('fn x0_at(');
    expect(text).toContain('fn x1_at(');
    expect(expand(own('loops'), { COUNT: 0 })).not.toContain('after');
  });

  test('unrolls loops to blocks with constants, or leaves them to the compiler', () => {
    const text = (defines: Record<string, string>) => expand(own('unroll'), defines).replaceAll(/\s+/g, ' ').trim();
    expect(text({})).toBe(
      'fn f() { { const i = 0u; { const j = 1u; x[i] = j; } } { const i = 1u; { const j = 1u; x[i] = j; } } }',
    );
    expect(text({ UNROLL: 'no' })).toBe(
      'fn f() { for (var i = 0u; i < 2u; i++) { for (var j = 1u; j < 2u; j++) { x[i] = j; } } }',
    );
  });

  test('makes variables of the elements of arrays where loops are written out', () => {
    const text = (defines: Record<string, string | number>) =>
      expand(own('array'), { COUNT: 1, ...defines })
        .replaceAll(/\s+/g, ' ')
        .trim();
    expect(text({})).toBe(
      'fn f() { var x_0_0: vec2f; var x_1_0: vec2f; ' +
        '{ const i = 0u; { const j = 0u; x_0_0 = vec2f(y[i]); x_1_0[i] += 1.0; } } ' +
        '{ const i = 1u; { const j = 0u; x_1_0 = vec2f(y[i]); x_1_0[i] += 1.0; } } }',
    );
    expect(text({ UNROLL: 'no' })).toBe(
      'fn f() { var x: array<array<vec2f, 1>, 2>; for (var i = 0u; i < 2u; i++) { for (var j = 0u; j < 1u; j++) { ' +
        'x[i][j] = vec2f(y[i]); x[1u][0][i] += 1.0; } } }',
    );
  });

  test('makes variables of elements that are indices themselves, and leaves comments', () => {
    expect(expand(own('array-places'), {}).replaceAll(/\s+/g, ' ').trim()).toBe(
      'fn f() { var x_0: u32; var x_1: u32; ' +
        '{ const i = 0u; y[x_0] = z[x_0 + 1u][x_1]; // not x[k] } ' +
        '{ const i = 1u; y[x_1] = z[x_1 + 1u][x_1]; // not x[k] } }',
    );
  });

  test.each([
    ['placeholder', {}, /^kernels\/.*placeholder\.wgsl:2: placeholder \{\{MISSING\}\} has no value; /],
    ['nested', {}, /placeholder\.wgsl:2: placeholder \{\{MISSING\}\}/],
    ['unknown-include', {}, /unknown-include\.wgsl:3: unknown kernel file kernels\/include\/nowhere\.wgsl; /],
    ['twice', { X: 'f64', B: 1 }, /twice\.wgsl:3: unknown kernel file kernels\/include\/read_f64\.wgsl/],
    ['circle', {}, /circle\.wgsl:1: .*circle\.wgsl includes itself/],
    ['directive', {}, /directive\.wgsl:2: unknown directive #define A 1/],
    ['loops', { COUNT: 'many' }, /loops\.wgsl:2: unknown directive #for i in 0\.\.many; write .*#for i in 0\.\.4/],
    ['loops', { COUNT: 2, j: 1 }, /loops\.wgsl:3: the loop variable j is defined already; /],
    ['loop-open', {}, /loop-open\.wgsl:2: the loop has no end; write #end/],
    ['loop-end', {}, /loop-end\.wgsl:2: unknown directive #end/],
    [
      'array-index',
      { INDEX: 'k' },
      /array-index\.wgsl:3: an index of the #array in x\[k\] = 1\.0; is not known here; write 1 numbers/,
    ],
    [
      'array',
      { COUNT: 'many' },
      /array\.wgsl:2: unknown directive #array x: vec2f, 2, many; write .*#array name: Type, 4/,
    ],
    [
      'array-index',
      { INDEX: 'z[0]' },
      /array-index\.wgsl:3: an index of the #array in x\[z\[0\]\] = 1\.0; is not known here/,
    ],
    ['array-loops', {}, /array-loops\.wgsl:4: the loop variable i is defined already; /],
    ['arguments', {}, /arguments\.wgsl:1: cannot read "with name"/],
    ['nowhere', {}, /^kernel: unknown kernel file/],
  ])('%s.wgsl: the error names file and line', (name, defines, message) => {
    expect(() => expand(own(name), defines as Record<string, string | number>)).toThrow(message);
  });
});

describe('interfaceOf', () => {
  test('lays out parameters as WGSL does', () => {
    const { bindings, params, paramsBytes } = interfaceOf(expand(own('fill'), {}));
    expect([...bindings]).toEqual([['y', { binding: 1, writable: true }]]);
    // A vec4u starts at a multiple of 16; comments are no fields.
    expect(params.map(({ name, offset }) => [name, offset])).toEqual([
      ['count', 0],
      ['shift', 4],
      ['value', 8],
      ['extra', 16],
      ['last', 32],
    ]);
    expect(paramsBytes).toBe(48);
  });

  test('refuses parameters that the host cannot fill', () => {
    expect(() => interfaceOf(expand(own('untyped-param'), {}), 'untyped')).toThrow(
      'untyped: param size has type vec2u; use u32, i32, f32 or vec4u',
    );
  });
});
