import type { MatrixType } from './fallbacks.ts';
import { GGML_TYPES, type GgmlType } from './types.ts';

/**
 * Kinds of GGUF file: llama.cpp's number of the kind (`llama_ftype`, stored as general.file_type) and the type that
 * most matrices are in.
 */
export const MIXES = {
  f32: { fileType: 0, base: 'f32' },
  f16: { fileType: 1, base: 'f16' },
  bf16: { fileType: 32, base: 'bf16' },
  q8_0: { fileType: 7, base: 'q8_0' },
  q6_k: { fileType: 18, base: 'q6_k' },
  q5_k_m: { fileType: 17, base: 'q5_k' },
  q5_k_s: { fileType: 16, base: 'q5_k' },
  q5_1: { fileType: 9, base: 'q5_1' },
  q5_0: { fileType: 8, base: 'q5_0' },
  q4_k_m: { fileType: 15, base: 'q4_k' },
  q4_k_s: { fileType: 14, base: 'q4_k' },
  iq4_nl: { fileType: 25, base: 'iq4_nl' },
  iq4_xs: { fileType: 30, base: 'iq4_xs' },
  q4_1: { fileType: 3, base: 'q4_1' },
  q4_0: { fileType: 2, base: 'q4_0' },
  q3_k_l: { fileType: 13, base: 'q3_k' },
  q3_k_m: { fileType: 12, base: 'q3_k' },
  q3_k_s: { fileType: 11, base: 'q3_k' },
  q2_k: { fileType: 10, base: 'q2_k' },
} as const satisfies Record<string, { fileType: number; base: GgmlType }>;

export type Mix = keyof typeof MIXES;

/** What the rules look at besides the tensor: numbers of the whole model, and how it is exported. */
export interface MixModel {
  layers: number;
  heads: number;
  /** Key and value heads. */
  groups: number;
  /** The embedding is the output matrix too. */
  tied: boolean;
  /** An importance matrix is at hand. */
  importance: boolean;
}

/** A matrix that rules differ for, and where it stands. */
interface Place extends MixModel {
  layer: number;
}

/** Type of one matrix, where it is not the mix's base type. */
type Rule = (place: Place) => GgmlType | null;
type Role = 'attn_v' | 'attn_output' | 'ffn_down';

const always = (type: GgmlType): Rule => {
  return () => type;
};
/** For the first `1 / part` of the layers, in whole layers. */
const early = (part: number, type: GgmlType): Rule => {
  return ({ layer, layers }) => (layer < Math.floor(layers / part) ? type : null);
};
/** For the first layers, the last ones, and every third between, which is where errors cost most. */
const sensitive = (type: GgmlType): Rule => {
  return ({ layer, layers }) => {
    const eighth = Math.floor(layers / 8);
    const last = Math.floor((7 * layers) / 8);
    return layer < eighth || layer >= last || (layer - eighth) % 3 === 2 ? type : null;
  };
};
/** Where at least four query heads share a value head, values are few and many results hang on each. */
const shared = ({ heads, groups }: MixModel) => Math.floor(heads / groups) >= 4;

const IQ4: Partial<Record<Role, Rule>> = {
  attn_v: (place) => (shared(place) ? 'q5_k' : null),
  ffn_down: (place) => (place.importance ? null : early(8, 'q5_k')(place)),
};

/**
 * Where mixes leave their base type. Mixes and matrices that are not here do not.
 *
 * Source: `llama_tensor_get_type_impl` of llama.cpp 0.4.0 (src/llama-quant.cpp), the rules for dense Llamas. It
 * counts the matrices of a role as they come; they come in the order of the layers, one in each.
 */
const RULES: Partial<Record<Mix, Partial<Record<Role, Rule>>>> = {
  q2_k: {
    attn_v: (place) => (shared(place) ? 'q4_k' : 'q3_k'),
    attn_output: always('q3_k'),
    ffn_down: always('q3_k'),
  },
  q3_k_m: {
    attn_v: ({ layer }) => (layer < 2 ? 'q5_k' : 'q4_k'),
    attn_output: always('q4_k'),
    ffn_down: (place) => early(16, 'q5_k')(place) ?? 'q4_k',
  },
  q3_k_l: { attn_v: always('q5_k'), attn_output: always('q5_k'), ffn_down: always('q5_k') },
  q4_k_s: { attn_v: ({ layer }) => (layer < 4 ? 'q5_k' : null), ffn_down: early(8, 'q5_k') },
  q4_k_m: { attn_v: sensitive('q6_k'), ffn_down: sensitive('q6_k') },
  q5_k_m: { attn_v: sensitive('q6_k'), ffn_down: sensitive('q6_k') },
  iq4_nl: IQ4,
  iq4_xs: IQ4,
  // With importances the first ffn_down matrices go astray unless blocks have a minimum of their own.
  q4_0: { ffn_down: (place) => (place.importance ? early(8, 'q4_1')(place) : null) },
  q5_0: { ffn_down: (place) => (place.importance ? early(8, 'q5_1')(place) : null) },
};

/** What takes the place of types of 256 to a block in rows that are no multiple of it. */
const NARROW: Partial<Record<GgmlType, GgmlType>> = {
  q2_k: 'q4_0',
  q3_k: 'q4_0',
  q4_k: 'q5_0',
  q5_k: 'q5_1',
  q6_k: 'q8_0',
  iq4_xs: 'iq4_nl',
};

/**
 * The type that a tensor of a dense Llama has in a file of a kind, as `llama_model_quantize` of llama.cpp 0.4.0
 * chooses it, and the one it would have if its rows were whole numbers of blocks.
 *
 * @param name in GGUF, for example `blk.0.attn_v.weight`
 * @param shape outermost dimension first
 */
export function mixType(mix: Mix, name: string, shape: readonly number[], model: MixModel): MatrixType {
  const { base } = MIXES[mix];
  const width = shape[shape.length - 1];
  const plain = shape.length < 2 ? 'f32' : GGML_TYPES[base].block === 1 ? base : null;
  const wanted = plain ?? preferred(mix, name, width, model);
  return { wanted, type: plain ?? fitting(wanted, width) };
}

function preferred(mix: Mix, name: string, width: number, model: MixModel): GgmlType {
  const { base } = MIXES[mix];
  if (name === 'output.weight' || (name === 'token_embd.weight' && model.tied))
    return base === 'q8_0' || !fits(base, width) ? 'q8_0' : 'q6_k';
  const [, layer, role] = /^blk\.(\d+)\.(attn_v|attn_output|ffn_down)\.weight$/.exec(name) ?? [];
  if (!role) return base;
  const type = RULES[mix]?.[role as Role]?.({ ...model, layer: Number(layer) }) ?? base;
  // The 70B models: their values are an eighth of the queries, so that more bits cost next to nothing.
  const large = model.layers === 80 && model.heads !== model.groups;
  return large && role === 'attn_v' && (type === 'q3_k' || type === 'q4_k') ? 'q5_k' : type;
}

const fits = (type: GgmlType, width: number) => width % GGML_TYPES[type].block === 0;

/** The type itself where rows are whole numbers of its blocks, else one of smaller blocks, else f16. */
function fitting(type: GgmlType, width: number): GgmlType {
  if (fits(type, width)) return type;
  const narrow = NARROW[type] ?? type;
  return fits(narrow, width) ? narrow : 'f16';
}
