import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { UserError } from '../errors.ts';

const KERNELS = fileURLToPath(new URL('../../kernels/', import.meta.url));
const files = new Map<string, string[]>();

/** Values for the `{{NAME}}` placeholders of a kernel file. */
export type Defines = Readonly<Record<string, string | number>>;

function linesOf(file: string, from: string): string[] {
  let lines = files.get(file);
  if (!lines) {
    try {
      lines = readFileSync(KERNELS + file, 'utf8').split('\n');
    } catch {
      throw new UserError(`${from}: unknown kernel file kernels/${file}; name an existing .wgsl file`);
    }
    files.set(file, lines);
  }
  return lines;
}

/**
 * Expands a kernel file to WGSL text.
 *
 * Two things are added to WGSL: `{{NAME}}` is replaced by a define, and a line
 * `#include "file.wgsl" with a=1, b={{B}}` is replaced by that file, whose own placeholders are filled from
 * the including file's defines and the arguments. Includes without arguments are inserted once.
 *
 * @throws UserError naming file and line for an unknown or circular include or a placeholder without a value
 */
export function expand(file: string, defines: Defines): string {
  return expandFile(file, defines, 'kernel', new Set(), []);
}

/** @param outer the files that are being expanded around this one */
function expandFile(file: string, defines: Defines, from: string, seen: Set<string>, outer: readonly string[]): string {
  if (outer.includes(file)) throw new UserError(`${from}: kernels/${file} includes itself; break the circle`);
  return linesOf(file, from)
    .map((line, index) => {
      const place = `kernels/${file}:${index + 1}`;
      const filled = line.replace(/\{\{(\w+)\}\}/g, (_, name: string) => {
        if (!(name in defines))
          throw new UserError(`${place}: placeholder {{${name}}} has no value; pass it in defines`);
        return String(defines[name]);
      });
      const include = /^#include "([^"]+)"(?: with (.+))?$/.exec(filled.trim());
      if (!include) {
        if (filled.startsWith('#')) throw new UserError(`${place}: unknown directive ${filled}; write #include "file"`);
        return filled;
      }
      const [, target, list] = include;
      if (!list) {
        if (seen.has(target)) return '';
        seen.add(target);
        return expandFile(target, defines, place, seen, [...outer, file]);
      }
      const given = list.split(',').map((pair) => pair.trim().split('='));
      if (given.some((pair) => pair.length !== 2))
        throw new UserError(`${place}: cannot read "with ${list}"; write name=value, name=value`);
      return expandFile(target, { ...defines, ...Object.fromEntries(given) }, place, seen, [...outer, file]);
    })
    .join('\n');
}

/** A field of the `Params` uniform struct. */
export interface ParamField {
  name: string;
  type: 'u32' | 'i32' | 'f32' | 'vec4u';
  offset: number;
}

/** What the host needs to know of an expanded kernel: its bindings by name and the layout of its parameters. */
export interface Interface {
  bindings: ReadonlyMap<string, { binding: number; writable: boolean }>;
  params: readonly ParamField[];
  paramsBytes: number;
}

/**
 * Reads the declarations of storage bindings and of `struct Params` from WGSL text.
 *
 * @param label names the kernel in errors
 * @throws UserError for a field of Params of a type that the host cannot fill
 */
export function interfaceOf(text: string, label = 'kernel'): Interface {
  const wgsl = text.replaceAll(/\/\/.*$/gm, '');
  const bindings = new Map<string, { binding: number; writable: boolean }>();
  for (const match of wgsl.matchAll(/@binding\((\d+)\)\s*var<storage,\s*(read|read_write)>\s*(\w+)/g))
    bindings.set(match[3], { binding: Number(match[1]), writable: match[2] === 'read_write' });
  const params: ParamField[] = [];
  let offset = 0;
  const body = /struct Params \{([^}]*)\}/.exec(wgsl)?.[1] ?? '';
  for (const [, name, type] of body.matchAll(/(\w+)\s*:\s*(\w+)/g)) {
    if (!['u32', 'i32', 'f32', 'vec4u'].includes(type))
      throw new UserError(`${label}: param ${name} has type ${type}; use u32, i32, f32 or vec4u`);
    if (type === 'vec4u') offset = Math.ceil(offset / 16) * 16;
    params.push({ name, type: type as ParamField['type'], offset });
    offset += type === 'vec4u' ? 16 : 4;
  }
  return { bindings, params, paramsBytes: Math.ceil(offset / 16) * 16 };
}
