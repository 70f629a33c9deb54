import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { UserError } from '../../../src/errors.ts';
import { GgufFile, readGgufHeader } from '../../../src/formats/gguf/reader.ts';
import { writeGguf } from '../../../src/formats/gguf/writer.ts';
import { skipReason } from '../../oracle/ggml.ts';
import { type OracleTensor, type OracleValue, writeWithGgml } from '../../oracle/ggml-file.ts';
import { openLlama } from '../../oracle/llama.ts';
import { GgufBytes } from '../../support/gguf-bytes.ts';

const dir = mkdtempSync(path.join(os.tmpdir(), 'dawntune-gguf-reader-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

let files = 0;
function save(bytes: Uint8Array, name = `file-${files++}.gguf`): string {
  const file = path.join(dir, name);
  writeFileSync(file, bytes);
  return file;
}

/** The one-line message of the error that opening gives. */
async function refusal(file: string): Promise<string> {
  const error = await GgufFile.open(file).then(
    async (opened) => {
      await opened.close();
      return null;
    },
    (thrown) => thrown,
  );
  expect(error).toBeInstanceOf(UserError);
  expect(error.message).toContain(file);
  expect(error.message).not.toContain('\n');
  return error.message;
}

const floats = (count: number) => Float32Array.from({ length: count }, (_, i) => Math.sin(i) * (1 + (i % 7)));
const bytesOf = (values: Float32Array) => new Uint8Array(values.buffer);

describe.skipIf(skipReason !== '')(`files that ggml wrote${skipReason}`, () => {
  const metadata = new Map<string, OracleValue>([
    ['a.u8', { type: 'u8', value: 255 }],
    ['a.i8', { type: 'i8', value: -128 }],
    ['a.u16', { type: 'u16', value: 65535 }],
    ['a.i16', { type: 'i16', value: -32768 }],
    ['a.u32', { type: 'u32', value: 4294967295 }],
    ['a.i32', { type: 'i32', value: -2147483648 }],
    ['a.f32', { type: 'f32', value: Math.fround(0.1) }],
    ['a.yes', { type: 'bool', value: true }],
    ['a.no', { type: 'bool', value: false }],
    ['a.string', { type: 'string', value: '日本 🙂 \ufeff' }],
    ['a.empty', { type: 'string', value: '' }],
    ['a.u64', { type: 'u64', value: 2n ** 64n - 1n }],
    ['a.i64', { type: 'i64', value: -(2n ** 63n) }],
    ['a.f64', { type: 'f64', value: 0.1 }],
    ['b.u8', { type: 'array', element: 'u8', value: Uint8Array.of(0, 255) }],
    ['b.i8', { type: 'array', element: 'i8', value: Int8Array.of(-128, 127, 0) }],
    ['b.u16', { type: 'array', element: 'u16', value: Uint16Array.of(65535) }],
    ['b.i16', { type: 'array', element: 'i16', value: Int16Array.of(-32768, 5) }],
    ['b.u32', { type: 'array', element: 'u32', value: Uint32Array.of(4294967295, 1) }],
    ['b.i32', { type: 'array', element: 'i32', value: new Int32Array(100_000).fill(-7) }],
    ['b.f32', { type: 'array', element: 'f32', value: Float32Array.of(-0, 1e-40, Infinity) }],
    ['b.u64', { type: 'array', element: 'u64', value: BigUint64Array.of(2n ** 64n - 1n) }],
    ['b.i64', { type: 'array', element: 'i64', value: BigInt64Array.of(-1n, 2n) }],
    ['b.f64', { type: 'array', element: 'f64', value: Float64Array.of(0.1, -1e300) }],
    ['b.empty', { type: 'array', element: 'u32', value: Uint32Array.of() }],
    ['b.string', { type: 'array', element: 'string', value: ['', 'Ġa', '\ufeffx', 'é'.repeat(300_000)] }],
  ]);
  const tensors: OracleTensor[] = [
    { name: 'vector', type: 'f32', shape: [5], values: floats(5) },
    { name: 'matrix', type: 'f16', shape: [3, 7], values: floats(21) },
    { name: 'blocks', type: 'q8_0', shape: [2, 3, 64], values: floats(384) },
    { name: 'four', type: 'f32', shape: [2, 1, 3, 4], values: floats(24) },
  ];

  test('every kind of value, array and rank', async () => {
    const file = path.join(dir, 'ggml.gguf');
    await writeWithGgml(file, metadata, tensors);
    const opened = await GgufFile.open(file);
    expect([...opened.metadata.fields.keys()]).toEqual([...metadata.keys()]);
    for (const [key, value] of metadata) expect(opened.metadata.fields.get(key), key).toEqual(value);
    expect(opened.names).toEqual(tensors.map(({ name }) => name));
    for (const { name, type, shape, values } of tensors) {
      const entry = opened.entry(name);
      expect([entry.type, entry.shape], name).toEqual([type, shape]);
      if (type === 'f32') expect(await opened.bytes(name), name).toEqual(bytesOf(values));
    }
    await opened.close();
  });

  test.each([1, 8, 256])('tensors lie where ggml finds them, with alignment %i', async (alignment) => {
    const bytes = new GgufBytes().start(2, 1).string('general.alignment').u32(4).u32(alignment);
    const second = Math.ceil(12 / alignment) * alignment;
    bytes
      .tensor('one', [3], 0, 0)
      .tensor('two', [1], 0, second)
      .data(second + 4, alignment);
    // ggml wants the padding after the last tensor too.
    const file = save(bytes.data(0, alignment).finish());
    const opened = await GgufFile.open(file);
    const places = (await openLlama()).tensors(file);
    expect(opened.names).toEqual([...places.keys()]);
    for (const [name, { begin, end }] of places) expect(opened.entry(name), name).toMatchObject({ begin, end });
    await opened.close();
  });

  test('a model split into three files, which only the first one opens', async () => {
    const part = (index: number) => path.join(dir, `split-0000${index + 1}-of-00003.gguf`);
    for (const index of [0, 1, 2])
      await writeWithGgml(
        part(index),
        new Map<string, OracleValue>([
          ['split.no', { type: 'u16', value: index }],
          ['split.count', { type: 'u16', value: 3 }],
          ['split.tensors.count', { type: 'i32', value: 4 }],
        ]),
        index === 1 ? tensors.slice(1, 3) : index === 0 ? tensors.slice(0, 1) : tensors.slice(3),
      );
    const opened = await GgufFile.open(part(0));
    expect(opened.names).toEqual(tensors.map(({ name }) => name));
    for (const { name, type, values } of tensors)
      if (type === 'f32') expect(await opened.bytes(name), name).toEqual(bytesOf(values));
    await opened.close();

    expect(await refusal(part(1))).toMatch(/got part 2 of a model split into 3 files.*pass the first part/);
    rmSync(part(2));
    expect(await refusal(part(0))).toMatch(/no file split-00003-of-00003.gguf beside it.*download the missing part/);
    writeFileSync(part(2), '');
    await expect(GgufFile.open(part(0))).rejects.toThrow(`${part(2)}: byte 0: header: got a file of 0 bytes`);
    await writeWithGgml(part(2), new Map([['split.no', { type: 'u16', value: 1 }]]), tensors.slice(3));
    await expect(GgufFile.open(part(0))).rejects.toThrow(`${part(2)}: metadata key split.no: got 1, expected 2`);
    await writeWithGgml(part(2), new Map([['split.no', { type: 'u16', value: 2 }]]), tensors.slice(0, 1));
    await expect(GgufFile.open(part(0))).rejects.toThrow(/has tensor vector, which .*00001-of-00003.gguf has too/);
    await writeWithGgml(part(2), new Map([['split.no', { type: 'u16', value: 2 }]]), []);
    expect(await refusal(part(0))).toMatch(/its parts have 3 tensors, expected 4/);
  });
});

test('what our own writer wrote', async () => {
  const file = path.join(dir, 'own.gguf');
  const values = floats(6);
  await writeGguf(
    file,
    new Map([
      ['some.text', { type: 'string', value: 'é' }],
      ['some.list', { type: 'strings', value: ['', 'b'] }],
    ]),
    [
      { name: 'a', shape: [2, 3], type: 'f32', bytes: async () => bytesOf(values) },
      { name: 'b', shape: [1], type: 'f32', bytes: async () => bytesOf(Float32Array.of(7)) },
    ],
  );
  const opened = await GgufFile.open(file);
  expect(opened.metadata.string('some.text')).toBe('é');
  expect(opened.metadata.strings('some.list')).toEqual(['', 'b']);
  expect(opened.entry('a').shape).toEqual([2, 3]);
  expect(await opened.bytes('a')).toEqual(bytesOf(values));
  expect(await opened.bytes('b')).toEqual(bytesOf(Float32Array.of(7)));
  await expect(opened.bytes('c')).rejects.toThrow(/has no tensor c/);
  truncateSync(file, opened.entry('b').begin + 1);
  await expect(opened.bytes('b')).rejects.toThrow(/ends at byte \d+ inside tensor b/);
  await opened.close();
});

describe('refusals name file, byte, finding and remedy', () => {
  const scalar = (type: number, value: number[]) => new GgufBytes().start(0, 1).string('k').u32(type).raw(value);
  const array = (type: number, count: bigint) => new GgufBytes().start(0, 1).string('k').u32(9).u32(type).u64(count);
  const tensor = (sizes: (bigint | number)[], type: number, offset: bigint | number = 0) =>
    new GgufBytes().start(1, 0).tensor('t', sizes, type, offset);
  const alignment = (value: number) => new GgufBytes().start(0, 1).string('general.alignment').u32(4).u32(value);

  test.each<[string, GgufBytes | Uint8Array, RegExp]>([
    ['an empty file', new Uint8Array(), /byte 0: header: got a file of 0 bytes, expected a GGUF file/],
    ['another format', new Uint8Array(100).fill(65), /does not begin with "GGUF".*pass a GGUF file/],
    ['version 1', new GgufBytes().start(0, 0, 1), /got version 1, expected version 2 or 3; convert the model again/],
    ['version 4', new GgufBytes().start(0, 0, 4), /got version 4/],
    ['version 0', new GgufBytes().start(0, 0, 0), /got version 0/],
    [
      'big-endian',
      new GgufBytes().start(0, 0, 0x03000000),
      /got a big-endian file, expected a little-endian one; convert/,
    ],
    ['more tensors than bytes', new GgufBytes().start(2n ** 63n, 0), /byte 8: header: got 9223372036854775808 tensors/],
    ['more keys than bytes', new GgufBytes().start(0, 1000), /got 1000 metadata entries, expected at most 0/],
    [
      'an endless string',
      new GgufBytes()
        .start(0, 1)
        .u64(2n ** 64n - 1n)
        .data(64),
      /got 18446744073709551615 bytes/,
    ],
    ['an endless key', new GgufBytes().start(0, 1).string('k'.repeat(65_536)), /got 65536 bytes.*at most 65535/],
    ['an empty key', new GgufBytes().start(0, 1).string('').u32(7).raw([1]).data(8), /got the key ""/],
    ['a key twice', new GgufBytes().start(0, 2).string('k').u32(7).raw([1]).string('k').u32(7).raw([1]), /"k" again/],
    ['no UTF-8', new GgufBytes().start(0, 1).string(Uint8Array.of(0xff, 0xfe)).u32(7).raw([1]), /not UTF-8/],
    ['an unknown type', scalar(13, [0]), /metadata key "k": got value type 13, expected 0 to 12/],
    ['the boolean 2', scalar(7, [2]), /got the boolean 2, expected 0 or 1/],
    ['an array of arrays', array(9, 1n), /got an array of arrays/],
    ['an endless array', array(0, 2n ** 40n), /got 1099511627776 numbers, expected at most 0/],
    ['an endless array of strings', array(8, 2n ** 40n), /got 1099511627776 strings/],
    ['a value that is cut off', scalar(10, [1, 2, 3]), /the end of the file after 3 more bytes, expected 8 bytes/],
    ['alignment 0', alignment(0), /general.alignment: got 0, expected a power of two/],
    ['alignment 24', alignment(24), /general.alignment: got 24, expected a power of two/],
    ['alignment 2^31', alignment(2 ** 31), /general.alignment: got 2147483648/],
    ['five dimensions', tensor([1, 1, 1, 1, 1], 0), /got 5 dimensions, expected at most 4/],
    ['a dimension of 0', tensor([0, 4], 0), /got dimensions \[0,4\]/],
    ['a product beyond 2^64', tensor([2n ** 33n, 2n ** 33n], 0), /got dimensions \[8589934592,8589934592\]/],
    ['a dimension beyond 2^53', tensor([2n ** 63n], 0), /got 9223372036854775808 elements in a dimension/],
    ['a type that was removed', tensor([32], 4), /got tensor type 4, expected f32/],
    ['a type without a reader', tensor([256], 16), /got type iq2_xxs, expected f32, .*quantise the model/],
    ['half a block', tensor([33], 8).data(68), /got rows of 33 elements in q8_0, expected a multiple of 32/],
    ['an odd offset', tensor([1], 0, 4).data(64), /got offset 4, expected a multiple of 32/],
    ['an offset outside', tensor([1], 0, 64).data(64), /"t": got an end at byte 132, expected one within the file/],
    ['an offset beyond 2^53', tensor([1], 0, 2n ** 63n).data(64), /got 9223372036854775808 bytes before the tensor/],
    ['missing data', tensor([8], 0).data(31), /got an end at byte 96, expected one within the file of 95 bytes/],
    ['a long name', new GgufBytes().start(1, 0).tensor('n'.repeat(64), [1], 0, 0).data(4), /got 64 bytes.*at most 63/],
    [
      'a name twice',
      new GgufBytes().start(2, 0).tensor('t', [1], 0, 0).tensor('t', [1], 0, 32).data(64),
      /tensor "t": got its name twice/,
    ],
    [
      'tensors that overlap',
      new GgufBytes().start(2, 0).tensor('t', [9], 0, 0).tensor('u', [1], 0, 32).data(64),
      /tensor "u": got byte \d+, which lies inside "t"/,
    ],
  ])('%s', async (_, bytes, message) => {
    expect(await refusal(save(bytes instanceof Uint8Array ? bytes : bytes.finish()))).toMatch(message);
  });

  test('paths that are no files', async () => {
    expect(await refusal(path.join(dir, 'nowhere.gguf'))).toMatch(/does not exist; pass the path of a GGUF file/);
    expect(await refusal(dir)).toMatch(/is not a file/);
  });

  // Opening a pipe to read it would wait for ever.
  test.skipIf(process.platform === 'win32')('a named pipe', async () => {
    const pipe = path.join(dir, 'pipe.gguf');
    execFileSync('mkfifo', [pipe]);
    expect(await refusal(pipe)).toMatch(/is not a file/);
  });
});

test('values of another kind than asked for are refused, naming the key', () => {
  const bytes = new GgufBytes().start(0, 4);
  bytes.string('text').u32(8).string('x');
  bytes.string('negative').u32(5).u32(0xffffffff);
  bytes.string('nan').u32(6).u32(0x7fc00000);
  bytes.string('list').u32(9).u32(4).u64(1).u32(3);
  const { metadata } = readGgufHeader(save(bytes.finish()));
  expect(() => metadata.whole('text')).toThrow(/metadata key text: got string "x", expected a whole number/);
  expect(() => metadata.whole('negative')).toThrow(/got i32 -1, expected a whole number/);
  expect(metadata.number('negative')).toBe(-1);
  expect(() => metadata.number('nan')).toThrow(/got f32 NaN, expected a number/);
  expect(() => metadata.strings('list')).toThrow(/got an array of 1 u32, expected an array of strings/);
  expect(() => metadata.string('none')).toThrow(/got no such key/);
  expect(metadata.string('none', null)).toBeNull();
});
