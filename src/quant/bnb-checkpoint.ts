import { complain } from '../errors.ts';
import type { Device } from '../tensor/device.ts';
import { bytesOf } from '../tensor/dtype.ts';
import { type Shape, sameShape, sizeOf } from '../tensor/shape.ts';
import { Tensor } from '../tensor/tensor.ts';
import { type Nf4Scales, Nf4Tensor, packedBytes, type SourceDtype } from './nf4.ts';
import { NF4_CODES } from './nf4-codes.ts';

/** Name of the JSON part: everything about the quantisation that is no tensor. */
const STATE = '.quant_state.bitsandbytes__nf4';

interface QuantState {
  quant_type: string;
  blocksize: number;
  dtype: SourceDtype;
  shape: number[];
  nested_blocksize?: number;
  nested_dtype?: string;
  nested_offset?: number;
}

/** A part of a quantised weight as a safetensors file stores it. */
export interface BnbPart {
  dtype: 'U8' | 'F32';
  shape: number[];
  bytes: Uint8Array;
}

/** A quantised weight on the host, checked. */
interface BnbWeight {
  state: QuantState;
  packed: Uint8Array;
  /** A scale for each block in f32, or 8-bit codes of scales with what they stand for. */
  scales: { absmax: Uint8Array } | { codes: Uint8Array; absmax: Uint8Array; map: Uint8Array; offset: number };
}

/**
 * A weight of a checkpoint that bitsandbytes quantised (the layout of its `QuantState.as_dict(packed=True)`).
 *
 * @param name the weight's name, for errors
 * @param shape what the model expects
 * @param parts bytes by what follows the weight's name: '' is the codes, then `.absmax`, `.quant_map`, and so on
 * @throws UserError naming the part that is missing, damaged or of another kind
 */
export function nf4FromBnb(
  device: Device,
  name: string,
  shape: Shape,
  parts: ReadonlyMap<string, Uint8Array>,
): Nf4Tensor {
  const { state, packed, scales } = checkedWeight(name, shape, parts);
  const upload = (dtype: 'u8' | 'f32', bytes: Uint8Array) => {
    const tensor = Tensor.empty(device, [bytes.byteLength / (dtype === 'u8' ? 1 : 4)], dtype);
    device.upload(tensor, bytes);
    return tensor;
  };
  return device.scope(() => {
    const uploaded: Nf4Scales =
      'codes' in scales
        ? {
            kind: 'nested',
            codes: upload('u8', scales.codes),
            absmax: upload('f32', scales.absmax),
            map: upload('f32', scales.map),
            offset: Tensor.from(device, [scales.offset]),
          }
        : { kind: 'plain', absmax: upload('f32', scales.absmax) };
    return new Nf4Tensor(shape, upload('u8', packed), uploaded, {
      blocksize: state.blocksize,
      sourceDtype: state.dtype,
    });
  });
}

/** The weights themselves in f32, computed on the host with the same bits as on a device; see {@link nf4FromBnb}. */
export function floatsFromBnb(name: string, shape: Shape, parts: ReadonlyMap<string, Uint8Array>): Float32Array {
  const { state, packed, scales } = checkedWeight(name, shape, parts);
  const absmax = floats(scales.absmax);
  const map = 'codes' in scales ? floats(scales.map) : null;
  const scaleOf = (block: number): number => {
    if (!('codes' in scales) || !map) return absmax[block];
    return Math.fround(Math.fround(map[scales.codes[block]] * absmax[block >> 8]) + Math.fround(scales.offset));
  };
  const out = new Float32Array(sizeOf(shape));
  for (let start = 0; start < out.length; start += state.blocksize) {
    const scale = scaleOf(start / state.blocksize);
    const end = Math.min(start + state.blocksize, out.length);
    for (let i = start; i < end; i++) out[i] = NF4_CODES[(packed[i >> 1] >> (i & 1 ? 0 : 4)) & 15] * scale;
  }
  return out;
}

function checkedWeight(name: string, shape: Shape, parts: ReadonlyMap<string, Uint8Array>): BnbWeight {
  const need = (suffix: string, bytes?: number): Uint8Array => {
    const part = parts.get(suffix);
    if (!part || (bytes !== undefined && part.byteLength !== bytes))
      throw complain({
        where: `${name}${suffix}`,
        got: part ? `${part.byteLength} bytes` : 'nothing',
        expected: bytes === undefined ? 'a part of a bitsandbytes nf4 weight' : `${bytes} bytes`,
        remedy: 'use the complete checkpoint as bitsandbytes saved it',
      });
    return part;
  };
  const state = parseState(name, need(STATE));
  if (!sameShape(state.shape, shape))
    throw complain({
      where: `${name}${STATE}`,
      got: `shape [${state.shape}]`,
      expected: `[${shape}]`,
      remedy: 'use the weights that belong to this config.json',
    });
  const codes = floats(need('.quant_map', 64));
  if (codes.some((value, i) => value !== NF4_CODES[i]))
    throw complain({
      where: `${name}.quant_map`,
      got: `[${codes.slice(0, 3)}, …]`,
      expected: 'the 16 values of nf4',
      remedy: 'quantise with bnb_4bit_quant_type nf4',
    });
  const blocks = Math.ceil(sizeOf(shape) / state.blocksize);
  const packed = need('', packedBytes(shape));
  if (state.nested_offset === undefined) return { state, packed, scales: { absmax: need('.absmax', 4 * blocks) } };
  const scales = {
    codes: need('.absmax', blocks),
    absmax: need('.nested_absmax', 4 * Math.ceil(blocks / 256)),
    map: need('.nested_quant_map', 1024),
    offset: state.nested_offset,
  };
  return { state, packed, scales };
}

/**
 * A quantised weight in the parts that transformers and bitsandbytes read, by what follows the weight's name.
 *
 * @returns the inverse of {@link nf4FromBnb}, with dtypes and shapes for the file
 */
export async function nf4ToBnb(weight: Nf4Tensor): Promise<Map<string, BnbPart>> {
  const { packed, absmax, absmax2, code2, offset } = await weight.parts();
  const u8 = (array: Uint8Array, shape = [array.length]): BnbPart => ({ dtype: 'U8', shape, bytes: array });
  const f32 = (array: Float32Array): BnbPart => ({
    dtype: 'F32',
    shape: [array.length],
    bytes: bytesOf(array),
  });
  const parts = new Map<string, BnbPart>([
    ['', u8(packed, [packed.length, 1])],
    ['.absmax', absmax instanceof Uint8Array ? u8(absmax) : f32(absmax)],
    ['.quant_map', f32(NF4_CODES)],
  ]);
  const fields = [
    `"quant_type": "nf4"`,
    `"blocksize": ${weight.blocksize}`,
    `"dtype": "${weight.sourceDtype}"`,
    `"shape": [${weight.shape.join(', ')}]`,
  ];
  if (absmax2 && code2 && offset !== undefined) {
    parts.set('.nested_absmax', f32(absmax2));
    parts.set('.nested_quant_map', f32(code2));
    fields.push(`"nested_blocksize": 256`, `"nested_dtype": "float32"`, `"nested_offset": ${pythonFloat(offset)}`);
  }
  parts.set(STATE, u8(new TextEncoder().encode(`{${fields.join(', ')}}`)));
  return parts;
}

function parseState(name: string, bytes: Uint8Array): QuantState {
  const refuse = (got: string, expected: string) =>
    complain({ where: `${name}${STATE}`, got, expected, remedy: 'use a checkpoint saved by bitsandbytes in nf4' });
  let state: Partial<QuantState>;
  try {
    state = JSON.parse(new TextDecoder().decode(bytes)) ?? {};
  } catch {
    throw refuse('text that is no JSON', 'a JSON object');
  }
  const { quant_type, blocksize, dtype, shape, nested_blocksize = 256, nested_offset } = state;
  if (quant_type !== 'nf4') throw refuse(`quant_type ${quant_type}`, 'nf4');
  if (!blocksize || blocksize < 32 || blocksize > 4096 || Math.log2(blocksize) % 1 !== 0)
    throw refuse(`blocksize ${blocksize}`, 'a power of two from 32 to 4096');
  if (nested_blocksize !== 256) throw refuse(`nested_blocksize ${nested_blocksize}`, '256');
  if (dtype !== 'float32' && dtype !== 'float16' && dtype !== 'bfloat16')
    throw refuse(`dtype ${dtype}`, 'float32, float16 or bfloat16');
  if (!Array.isArray(shape)) throw refuse(`shape ${shape}`, 'a list of sizes');
  if (nested_offset !== undefined && !Number.isFinite(nested_offset))
    throw refuse(`nested_offset ${JSON.stringify(nested_offset)}`, 'a number');
  return { quant_type, blocksize, dtype, shape, nested_blocksize, nested_offset };
}

function floats(bytes: Uint8Array): Float32Array {
  return new Float32Array(bytes.slice().buffer);
}

/** A number as Python's json writes it, so that a loaded checkpoint is saved again byte for byte. */
function pythonFloat(value: number): string {
  const text = `${value}`;
  if (Number.isInteger(value) && !text.includes('e')) return `${text}.0`;
  if (value !== 0 && Math.abs(value) < 1e-4)
    return value.toExponential().replace(/e([+-])(\d)$/, (_, sign, digit) => `e${sign}0${digit}`);
  return text;
}
