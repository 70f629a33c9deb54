/**
 * A Llama in double precision, as plainly as possible: the truth that whole models are held against.
 *
 * It shares no code with src/ and does not pack: each document is a pass of its own over nested loops, so that
 * agreement of a packed row with it shows that the row keeps its documents apart. Gradients are written out by hand;
 * test/models/shapes.test.ts holds them against central differences.
 */

/** config.json of a Hugging Face Llama, as far as it matters here. */
export interface ConfigJson {
  hidden_size: number;
  intermediate_size: number;
  num_hidden_layers: number;
  num_attention_heads: number;
  num_key_value_heads?: number;
  head_dim?: number;
  vocab_size: number;
  rms_norm_eps: number;
  tie_word_embeddings?: boolean;
  rope_theta?: number;
  rope_scaling?: RopeJson | null;
  rope_parameters?: RopeJson;
}

export interface RopeJson {
  rope_type?: string;
  type?: string;
  rope_theta?: number;
  factor?: number;
  low_freq_factor?: number;
  high_freq_factor?: number;
  original_max_position_embeddings?: number;
}

/** Weights or gradients by checkpoint name, row-major. */
export type Named = Map<string, Float64Array>;

/** scaling · B · A beside the matrix of `module`. */
export interface LoraF64 {
  r: number;
  scaling: number;
  /** [r, in] */
  A: Float64Array;
  /** [out, r] */
  B: Float64Array;
}

export interface DocumentF64 {
  input_ids: ArrayLike<number>;
  /** Unshifted as in Hugging Face; −100 for no target. All tokens if left out. */
  labels?: ArrayLike<number>;
}

/** A matrix on its way through the network: n rows. */
type Rows = Float64Array;

interface LayerTape {
  x: Rows;
  attentionNorm: Rows;
  q: Rows;
  k: Rows;
  v: Rows;
  /** [heads][query][key], zero above the diagonal. */
  weights: Float64Array[];
  mixed: Rows;
  middle: Rows;
  mlpNorm: Rows;
  gate: Rows;
  up: Rows;
  product: Rows;
}

/** What a forward pass leaves for the backward one. */
interface Pass {
  tapes: LayerTape[];
  x: Rows;
  last: Rows;
  logits: Rows;
}

export class LlamaF64 {
  readonly config: ConfigJson;
  readonly weights: Named;
  readonly adapters: ReadonlyMap<string, LoraF64>;
  readonly #heads: number;
  readonly #groups: number;
  readonly #size: number;
  readonly #frequencies: number[];

  /**
   * @param weights by checkpoint name; a `lm_head.weight` is used even when the embeddings are tied
   * @param adapters by module, for example `model.layers.0.mlp.up_proj`
   */
  constructor(config: ConfigJson, weights: Named, adapters: ReadonlyMap<string, LoraF64> = new Map()) {
    this.config = config;
    this.weights = weights;
    this.adapters = adapters;
    this.#heads = config.num_attention_heads;
    this.#groups = config.num_key_value_heads ?? this.#heads;
    this.#size = config.head_dim ?? config.hidden_size / this.#heads;
    this.#frequencies = frequencies(config, this.#size);
  }

  /** Logits [tokens of all documents, vocabulary]. */
  logits(documents: readonly DocumentF64[]): Float64Array {
    return join(documents.map((document) => this.#forward(document).logits));
  }

  /** Mean cross-entropy over all targets, and its gradient for every weight and adapter matrix. */
  run(documents: readonly DocumentF64[]): { logits: Float64Array; loss: number; gradients: Named } {
    const gradients: Named = new Map();
    const targetsOf = ({ input_ids, labels = input_ids }: DocumentF64) =>
      Array.from({ length: input_ids.length }, (_, i) => (i + 1 < input_ids.length ? labels[i + 1] : -100));
    const count = documents.flatMap(targetsOf).filter((target) => target !== -100).length;
    const { vocab_size: vocabulary } = this.config;
    let loss = 0;
    const all = documents.map((document) => {
      const pass = this.#forward(document);
      const slope = new Float64Array(pass.logits.length);
      for (const [i, target] of targetsOf(document).entries()) {
        if (target === -100) continue;
        const row = pass.logits.subarray(i * vocabulary, (i + 1) * vocabulary);
        const most = row.reduce((a, b) => Math.max(a, b));
        const sum = row.reduce((total, logit) => total + Math.exp(logit - most), 0);
        loss += (most + Math.log(sum) - row[target]) / count;
        for (let v = 0; v < vocabulary; v++)
          slope[i * vocabulary + v] = (Math.exp(row[v] - most) / sum - (v === target ? 1 : 0)) / count;
      }
      this.#backward(document, pass, slope, gradients);
      return pass.logits;
    });
    return { logits: join(all), loss, gradients };
  }

  /** The most likely continuation, everything computed anew for each token. */
  greedy(prompt: readonly number[], count: number): { tokens: number[]; margins: number[] } {
    const tokens = [...prompt];
    const margins: number[] = [];
    const { vocab_size: vocabulary } = this.config;
    for (let step = 0; step < count; step++) {
      const last = this.logits([{ input_ids: tokens }]).slice(-vocabulary);
      const best = last.indexOf(last.reduce((a, b) => Math.max(a, b)));
      margins.push(last[best] - last.reduce((a, b, i) => (i === best ? a : Math.max(a, b)), Number.NEGATIVE_INFINITY));
      tokens.push(best);
    }
    return { tokens: tokens.slice(prompt.length), margins };
  }

  #weight(name: string): Float64Array {
    const found = this.weights.get(`${name}.weight`);
    if (!found) throw new Error(`no weight ${name}`);
    return found;
  }

  get #head(): string {
    return this.weights.has('lm_head.weight') ? 'lm_head' : 'model.embed_tokens';
  }

  #forward({ input_ids }: DocumentF64) {
    const n = input_ids.length;
    const { hidden_size: hidden, num_hidden_layers: layers } = this.config;
    const embedding = this.#weight('model.embed_tokens');
    let x: Rows = new Float64Array(n * hidden);
    for (let i = 0; i < n; i++)
      x.set(embedding.subarray(input_ids[i] * hidden, (input_ids[i] + 1) * hidden), i * hidden);
    const tapes: LayerTape[] = [];
    for (let layer = 0; layer < layers; layer++) {
      const at = `model.layers.${layer}`;
      const attentionNorm = this.#norm(x, `${at}.input_layernorm`);
      const q = this.#turn(this.#linear(attentionNorm, `${at}.self_attn.q_proj`), this.#heads, 1);
      const k = this.#turn(this.#linear(attentionNorm, `${at}.self_attn.k_proj`), this.#groups, 1);
      const v = this.#linear(attentionNorm, `${at}.self_attn.v_proj`);
      const { mixed, weights } = this.#attend(q, k, v, n);
      const middle = sum(x, this.#linear(mixed, `${at}.self_attn.o_proj`));
      const mlpNorm = this.#norm(middle, `${at}.post_attention_layernorm`);
      const gate = this.#linear(mlpNorm, `${at}.mlp.gate_proj`);
      const up = this.#linear(mlpNorm, `${at}.mlp.up_proj`);
      const product = gate.map((g, i) => (g / (1 + Math.exp(-g))) * up[i]);
      tapes.push({ x, attentionNorm, q, k, v, weights, mixed, middle, mlpNorm, gate, up, product });
      x = sum(middle, this.#linear(product, `${at}.mlp.down_proj`));
    }
    const last = this.#norm(x, 'model.norm');
    return { tapes, x, last, logits: product(last, this.#weight(this.#head), hidden) };
  }

  #backward({ input_ids }: DocumentF64, { tapes, x, last }: Pass, slope: Rows, gradients: Named): void {
    const n = input_ids.length;
    const { hidden_size: hidden } = this.config;
    const head = this.#weight(this.#head);
    into(gradients, `${this.#head}.weight`, outer(slope, last, n));
    let dx = this.#normBackward(x, 'model.norm', transposed(slope, head, n), gradients);
    for (let layer = tapes.length - 1; layer >= 0; layer--) {
      const at = `model.layers.${layer}`;
      const tape = tapes[layer];
      const dProduct = this.#linearBackward(tape.product, `${at}.mlp.down_proj`, dx, gradients);
      const dGate = dProduct.map((d, i) => {
        const s = 1 / (1 + Math.exp(-tape.gate[i]));
        return d * tape.up[i] * (s + tape.gate[i] * s * (1 - s));
      });
      const dUp = dProduct.map((d, i) => (d * tape.gate[i]) / (1 + Math.exp(-tape.gate[i])));
      const dMlp = sum(
        this.#linearBackward(tape.mlpNorm, `${at}.mlp.gate_proj`, dGate, gradients),
        this.#linearBackward(tape.mlpNorm, `${at}.mlp.up_proj`, dUp, gradients),
      );
      dx = sum(dx, this.#normBackward(tape.middle, `${at}.post_attention_layernorm`, dMlp, gradients));
      const dMixed = this.#linearBackward(tape.mixed, `${at}.self_attn.o_proj`, dx, gradients);
      const { dq, dk, dv } = this.#attendBackward(tape, dMixed, n);
      const dAttention = [
        this.#linearBackward(tape.attentionNorm, `${at}.self_attn.q_proj`, this.#turn(dq, this.#heads, -1), gradients),
        this.#linearBackward(tape.attentionNorm, `${at}.self_attn.k_proj`, this.#turn(dk, this.#groups, -1), gradients),
        this.#linearBackward(tape.attentionNorm, `${at}.self_attn.v_proj`, dv, gradients),
      ].reduce(sum);
      dx = sum(dx, this.#normBackward(tape.x, `${at}.input_layernorm`, dAttention, gradients));
    }
    const dEmbedding = new Float64Array(this.config.vocab_size * hidden);
    for (let i = 0; i < n; i++)
      for (let c = 0; c < hidden; c++) dEmbedding[input_ids[i] * hidden + c] += dx[i * hidden + c];
    into(gradients, 'model.embed_tokens.weight', dEmbedding);
  }

  #linear(x: Rows, module: string): Rows {
    const weight = this.#weight(module);
    const width = this.#widthOf(module);
    const y = product(x, weight, width);
    const adapter = this.adapters.get(module);
    if (!adapter) return y;
    const low = product(x, adapter.A, width);
    return sum(
      y,
      product(low, adapter.B, adapter.r).map((value) => value * adapter.scaling),
    );
  }

  #linearBackward(x: Rows, module: string, dy: Rows, gradients: Named): Rows {
    const n = x.length / this.#widthOf(module);
    into(gradients, `${module}.weight`, outer(dy, x, n));
    const dx = transposed(dy, this.#weight(module), n);
    const adapter = this.adapters.get(module);
    if (!adapter) return dx;
    const scaled = dy.map((value) => value * adapter.scaling);
    const dLow = transposed(scaled, adapter.B, n);
    into(gradients, `${module}.lora_B.weight`, outer(scaled, product(x, adapter.A, this.#widthOf(module)), n));
    into(gradients, `${module}.lora_A.weight`, outer(dLow, x, n));
    return sum(dx, transposed(dLow, adapter.A, n));
  }

  #widthOf(module: string): number {
    if (module.endsWith('o_proj')) return this.#heads * this.#size;
    return module.endsWith('down_proj') ? this.config.intermediate_size : this.config.hidden_size;
  }

  #norm(x: Rows, name: string): Rows {
    const weight = this.#weight(name);
    const width = weight.length;
    return x.map((value, i) => (value / this.#rms(x, i - (i % width), width)) * weight[i % width]);
  }

  #rms(x: Rows, start: number, width: number): number {
    let squares = 0;
    for (let c = 0; c < width; c++) squares += x[start + c] ** 2;
    return Math.sqrt(squares / width + this.config.rms_norm_eps);
  }

  #normBackward(x: Rows, name: string, dy: Rows, gradients: Named): Rows {
    const weight = this.#weight(name);
    const width = weight.length;
    const dx = new Float64Array(x.length);
    const dw = new Float64Array(width);
    for (let start = 0; start < x.length; start += width) {
      const rms = this.#rms(x, start, width);
      let dot = 0;
      for (let c = 0; c < width; c++) dot += dy[start + c] * weight[c] * x[start + c];
      for (let c = 0; c < width; c++) {
        const i = start + c;
        dw[c] += (dy[i] * x[i]) / rms;
        dx[i] = (dy[i] * weight[c]) / rms - (x[i] * dot) / (width * rms ** 3);
      }
    }
    into(gradients, `${name}.weight`, dw);
    return dx;
  }

  /** Rotary embedding of [tokens, heads, size]; sign −1 turns back, which is its gradient. */
  #turn(x: Rows, heads: number, sign: number): Rows {
    const size = this.#size;
    const half = size / 2;
    const y = new Float64Array(x.length);
    for (let start = 0; start < x.length; start += size) {
      const position = Math.floor(start / (heads * size));
      for (let d = 0; d < half; d++) {
        const [cos, sin] = [
          Math.cos(position * this.#frequencies[d]),
          sign * Math.sin(position * this.#frequencies[d]),
        ];
        y[start + d] = x[start + d] * cos - x[start + d + half] * sin;
        y[start + d + half] = x[start + d + half] * cos + x[start + d] * sin;
      }
    }
    return y;
  }

  #attend(q: Rows, k: Rows, v: Rows, n: number): { mixed: Rows; weights: Float64Array[] } {
    const [heads, groups, size] = [this.#heads, this.#groups, this.#size];
    const mixed = new Float64Array(n * heads * size);
    const weights = Array.from({ length: heads }, (_, h) => {
      const g = Math.floor(h / (heads / groups));
      const all = new Float64Array(n * n);
      for (let i = 0; i < n; i++) {
        const row = all.subarray(i * n, i * n + i + 1);
        for (let j = 0; j <= i; j++) {
          let dot = 0;
          for (let d = 0; d < size; d++) dot += q[(i * heads + h) * size + d] * k[(j * groups + g) * size + d];
          row[j] = dot / Math.sqrt(size);
        }
        const most = row.reduce((a, b) => Math.max(a, b));
        for (let j = 0; j <= i; j++) row[j] = Math.exp(row[j] - most);
        const total = row.reduce((a, b) => a + b);
        for (let j = 0; j <= i; j++) {
          row[j] /= total;
          for (let d = 0; d < size; d++) mixed[(i * heads + h) * size + d] += row[j] * v[(j * groups + g) * size + d];
        }
      }
      return all;
    });
    return { mixed, weights };
  }

  #attendBackward({ q, k, v, weights }: LayerTape, dMixed: Rows, n: number) {
    const [heads, groups, size] = [this.#heads, this.#groups, this.#size];
    const [dq, dk, dv] = [q, k, v].map((x) => new Float64Array(x.length));
    for (let h = 0; h < heads; h++) {
      const g = Math.floor(h / (heads / groups));
      for (let i = 0; i < n; i++) {
        const at = (i * heads + h) * size;
        const slopes = new Float64Array(i + 1);
        let mean = 0;
        for (let j = 0; j <= i; j++) {
          for (let d = 0; d < size; d++) slopes[j] += dMixed[at + d] * v[(j * groups + g) * size + d];
          mean += weights[h][i * n + j] * slopes[j];
        }
        for (let j = 0; j <= i; j++) {
          const key = (j * groups + g) * size;
          const weight = weights[h][i * n + j];
          const slope = (weight * (slopes[j] - mean)) / Math.sqrt(size);
          for (let d = 0; d < size; d++) {
            dv[key + d] += weight * dMixed[at + d];
            dq[at + d] += slope * k[key + d];
            dk[key + d] += slope * q[at + d];
          }
        }
      }
    }
    return { dq, dk, dv };
  }
}

/** Inverse frequencies as transformers' ROPE_INIT_FUNCTIONS compute them. */
function frequencies(config: ConfigJson, size: number): number[] {
  const rope = config.rope_parameters ?? config.rope_scaling ?? {};
  const theta = config.rope_parameters?.rope_theta ?? config.rope_theta ?? 10000;
  const type = rope.rope_type ?? rope.type ?? 'default';
  const { factor = 1, low_freq_factor: low = 1, high_freq_factor: high = 4 } = rope;
  const { original_max_position_embeddings: original = 0 } = rope;
  return Array.from({ length: size / 2 }, (_, i) => {
    const plain = 1 / theta ** ((2 * i) / size);
    if (type === 'linear') return plain / factor;
    if (type !== 'llama3') return plain;
    const wavelength = (2 * Math.PI) / plain;
    if (wavelength > original / low) return plain / factor;
    if (wavelength < original / high) return plain;
    const smooth = (original / wavelength - low) / (high - low);
    return ((1 - smooth) * plain) / factor + smooth * plain;
  });
}

/** x · weightᵀ for x [n, width] and weight [out, width]. */
function product(x: Rows, weight: Float64Array, width: number): Rows {
  const [n, out] = [x.length / width, weight.length / width];
  const y = new Float64Array(n * out);
  for (let i = 0; i < n; i++)
    for (let o = 0; o < out; o++) {
      let dot = 0;
      for (let c = 0; c < width; c++) dot += x[i * width + c] * weight[o * width + c];
      y[i * out + o] = dot;
    }
  return y;
}

/** dy · weight for dy [n, out] and weight [out, width]. */
function transposed(dy: Rows, weight: Float64Array, n: number): Rows {
  const out = dy.length / n;
  const width = weight.length / out;
  const dx = new Float64Array(n * width);
  for (let i = 0; i < n; i++)
    for (let o = 0; o < out; o++) {
      const d = dy[i * out + o];
      if (d !== 0) for (let c = 0; c < width; c++) dx[i * width + c] += d * weight[o * width + c];
    }
  return dx;
}

/** dyᵀ · x for dy [n, out] and x [n, width]. */
function outer(dy: Rows, x: Rows, n: number): Float64Array {
  const [out, width] = [dy.length / n, x.length / n];
  const dw = new Float64Array(out * width);
  for (let i = 0; i < n; i++)
    for (let o = 0; o < out; o++) {
      const d = dy[i * out + o];
      if (d !== 0) for (let c = 0; c < width; c++) dw[o * width + c] += d * x[i * width + c];
    }
  return dw;
}

function sum(a: Rows, b: Rows): Rows {
  return a.map((value, i) => value + b[i]);
}

function into(gradients: Named, name: string, values: Float64Array): void {
  const before = gradients.get(name);
  gradients.set(name, before ? sum(before, values) : values);
}

function join(parts: readonly Float64Array[]): Float64Array {
  const all = new Float64Array(parts.reduce((total, part) => total + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
