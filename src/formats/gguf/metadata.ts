import { complain, type UserError } from '../../errors.ts';
import type { GgufField } from './values.ts';

/** Stands for "the file must have it". */
const REQUIRED: unique symbol = Symbol('required');

/** The metadata of a GGUF file, with each value checked when it is asked for. */
export class GgufMetadata {
  readonly file: string;
  readonly fields: ReadonlyMap<string, GgufField>;

  constructor(file: string, fields: ReadonlyMap<string, GgufField>) {
    this.file = file;
    this.fields = fields;
  }

  has(key: string): boolean {
    return this.fields.has(key);
  }

  string(key: string): string;
  string<T>(key: string, fallback: T): string | T;
  string<T>(key: string, fallback: T | typeof REQUIRED = REQUIRED): string | T {
    return this.#get(key, 'a string', fallback, ({ value }) => (typeof value === 'string' ? value : undefined));
  }

  boolean<T>(key: string, fallback: T): boolean | T {
    return this.#get(key, 'a boolean', fallback, ({ value }) => (typeof value === 'boolean' ? value : undefined));
  }

  /** A whole number of any integer type, from 0. */
  whole(key: string): number;
  whole<T>(key: string, fallback: T): number | T;
  whole<T>(key: string, fallback: T | typeof REQUIRED = REQUIRED): number | T {
    return this.#get(key, 'a whole number', fallback, wholeOf);
  }

  /** A finite number of any type. */
  number(key: string): number;
  number<T>(key: string, fallback: T): number | T;
  number<T>(key: string, fallback: T | typeof REQUIRED = REQUIRED): number | T {
    return this.#get(key, 'a number', fallback, ({ value }) =>
      (typeof value === 'number' || typeof value === 'bigint') && Number.isFinite(Number(value))
        ? Number(value)
        : undefined,
    );
  }

  strings(key: string): readonly string[] {
    return this.#get(key, 'an array of strings', REQUIRED, (field) =>
      field.type === 'array' && field.element === 'string' ? field.value : undefined,
    );
  }

  /** Integers in an array of any integer type. */
  integers<T>(key: string, fallback: T): ArrayLike<number> | T {
    return this.#get(key, 'an array of integers', fallback, (field) =>
      field.type === 'array' && /^[iu](8|16|32)$/.test(field.element) ? (field.value as Int32Array) : undefined,
    );
  }

  /** An error about a key. */
  error(key: string, got: string, expected: string, remedy: string): UserError {
    return complain({ where: `${this.file}: metadata key ${key}`, got, expected, remedy });
  }

  #get<V, T>(
    key: string,
    expected: string,
    fallback: T,
    convert: (field: GgufField) => V | undefined,
  ): V | Exclude<T, typeof REQUIRED> {
    const remedy = 'convert the model again with a current llama.cpp';
    const field = this.fields.get(key);
    if (!field) {
      if (fallback !== REQUIRED) return fallback as Exclude<T, typeof REQUIRED>;
      throw this.error(key, 'no such key', expected, remedy);
    }
    const value = convert(field);
    if (value === undefined) throw this.error(key, shown(field), expected, remedy);
    return value;
  }
}

function wholeOf({ type, value }: GgufField): number | undefined {
  if (type === 'f32' || type === 'f64' || (typeof value !== 'number' && typeof value !== 'bigint')) return undefined;
  const number = Number(value);
  return number >= 0 && Number.isSafeInteger(number) ? number : undefined;
}

function shown(field: GgufField): string {
  if (field.type === 'array') return `an array of ${field.value.length} ${field.element}`;
  return `${field.type} ${field.type === 'string' ? JSON.stringify(field.value.slice(0, 40)) : field.value}`;
}
