import { cpSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/** A fresh directory for a test's files. */
export function temporaryDirectory(): string {
  return mkdtempSync(path.join(os.tmpdir(), 'dawntune-test-'));
}

/** A copy of a directory of the repository for a test to damage. */
export function copyOf(dir: string): string {
  const copy = temporaryDirectory();
  cpSync(dir, copy, { recursive: true });
  return copy;
}

// biome-ignore lint/suspicious/noExplicitAny: tests put every kind of value into these files
export type Json = any;

/** Changes a JSON file in place; what `edit` returns, if anything, replaces the content. */
export function editJson(file: string, edit: (json: Json) => unknown): void {
  const json: Json = JSON.parse(readFileSync(file, 'utf8'));
  const replaced = edit(json);
  writeFileSync(file, JSON.stringify(replaced === undefined ? json : replaced));
}

/** Changes the header of a safetensors file in place, and its data if `edit` returns some. */
export function editHeader(file: string, edit: (header: Json, data: Buffer) => Buffer | undefined): void {
  const bytes = readFileSync(file);
  const length = Number(bytes.readBigUInt64LE(0));
  const header: Json = JSON.parse(bytes.subarray(8, 8 + length).toString());
  const data = edit(header, bytes.subarray(8 + length)) ?? bytes.subarray(8 + length);
  const json = Buffer.from(JSON.stringify(header));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(json.length));
  writeFileSync(file, Buffer.concat([prefix, json, data]));
}

/** An edit that puts a value at a place of a JSON object. */
export function set(place: readonly string[], value: unknown): (json: Json) => undefined {
  return (json) => {
    const parent = place.slice(0, -1).reduce((at, key) => at[key], json);
    parent[place.at(-1) as string] = value;
  };
}
