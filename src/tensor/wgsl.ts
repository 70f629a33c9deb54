import { readdirSync, readFileSync } from 'node:fs';
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
 * Five things are added to WGSL:
 * - `{{NAME}}` is replaced by a define.
 * - A line `#include "file.wgsl" with a=1, b={{B}}` is replaced by that file, whose own placeholders are filled from
 *   the including file's defines and the arguments. Includes without arguments are inserted once.
 * - The lines between `#for i in 0..{{COUNT}}` and `#end` are repeated for i = 0 … COUNT − 1, with `{{i}}` replaced by
 *   the number, so that it can be part of a name.
 * - The lines between `#unroll i in 0..{{COUNT}}` and `#end`, inside a function, are a loop over the u32 i (without break
 *   and continue) that is written out: blocks in which i is a constant. Arrays stay in registers only while every index
 *   is a constant, and drivers do not always unroll. With the define `UNROLL: 'no'` it is a WGSL loop, for compilers
 *   that take long over long texts.
 * - A line `#array name: Type, {{ROWS}}, {{COLUMNS}}`, inside a function, declares an array of ROWS arrays of COLUMNS
 *   elements (or of fewer or more dimensions). Where loops are written out each element is a variable, and
 *   `name[i][j]`, whose indices must be numbers or variables of `#unroll`, is one of them: NVIDIA's compiler takes fewer
 *   registers for them than for an array.
 *
 * Loops nest; COUNT may be 0.
 *
 * @throws UserError naming file and line for an unknown or circular include, a placeholder without a value, a loop that
 *   cannot be read or has no end and an index that is not a number
 */
export function expand(file: string, defines: Defines): string {
  return expandFile(file, defines, 'kernel', { seen: new Set(), counters: new Map(), arrays: new Map() }, []);
}

/** What lines of one kernel share, whichever file they come from. */
interface Expansion {
  /** Files that were included without arguments. */
  seen: Set<string>;
  /** Variables of the written-out loops around a line. */
  counters: Map<string, number>;
  /** Arrays that are written out as variables, and how many indices they have. */
  arrays: Map<string, number>;
}

/**
 * The text of a kernel file and of every file that it can include, whatever the defines: to see whether one has changed.
 */
export function sourceOf(file: string): string {
  const all = readdirSync(KERNELS, { recursive: true, encoding: 'utf8' }).map((name) => name.replaceAll('\\', '/'));
  const found = new Set([file]);
  let text = '';
  for (const name of found) {
    const lines = linesOf(name, 'kernel').join('\n');
    text += lines;
    for (const [, target] of lines.matchAll(/#include "([^"]+)"/g)) {
      const pattern = new RegExp(`^${target.replaceAll('.', '\\.').replaceAll(/\{\{\w+\}\}/g, '\\w+')}$`);
      for (const each of all.filter((other) => pattern.test(other)).toSorted()) found.add(each);
    }
  }
  return text;
}

/** @param outer the files that are being expanded around this one */
function expandFile(
  file: string,
  defines: Defines,
  from: string,
  expansion: Expansion,
  outer: readonly string[],
): string {
  if (outer.includes(file)) throw new UserError(`${from}: kernels/${file} includes itself; break the circle`);
  const lines = linesOf(file, from);
  const place = (index: number) => `kernels/${file}:${index + 1}`;
  const output: string[] = [];

  function include(target: string, list: string | undefined, values: Defines, index: number): void {
    if (!list) {
      if (expansion.seen.has(target)) return;
      expansion.seen.add(target);
      output.push(expandFile(target, values, place(index), expansion, [...outer, file]));
      return;
    }
    const given = list.split(',').map((pair) => pair.trim().split('='));
    if (given.some((pair) => pair.length !== 2))
      throw new UserError(`${place(index)}: cannot read "with ${list}"; write name=value, name=value`);
    const inner = { ...values, ...Object.fromEntries(given) };
    output.push(expandFile(target, inner, place(index), expansion, [...outer, file]));
  }

  function repeat([kind, name, first, last]: string[], start: number, end: number, values: Defines): void {
    if (name in values || expansion.counters.has(name))
      throw new UserError(`${place(start)}: the loop variable ${name} is defined already; choose another name`);
    if (kind === 'unroll' && values.UNROLL === 'no') {
      output.push(`for (var ${name} = ${first}u; ${name} < ${last}u; ${name}++) {`);
      emit(start + 1, end, values);
      output.push('}');
    } else
      for (let i = Number(first); i < Number(last); i++) {
        if (kind === 'for') {
          emit(start + 1, end, { ...values, [name]: i });
          continue;
        }
        output.push(`{ const ${name} = ${i}u;`);
        expansion.counters.set(name, i);
        emit(start + 1, end, values);
        expansion.counters.delete(name);
        output.push('}');
      }
  }

  function emit(start: number, end: number, values: Defines): void {
    for (let index = start; index < end; index++) {
      const line = fill(lines[index], values, place(index));
      if (!line.trimStart().startsWith('#')) {
        output.push(withVariables(line, expansion, place(index)));
        continue;
      }
      const included = /^#include "([^"]+)"(?: with (.+))?$/.exec(line.trim());
      const loop = /^#(for|unroll) (\w+) in (\d+)\.\.(\d+)$/.exec(line.trim());
      const array = /^#array (\w+): (\w+)((?:, \d+)+)$/.exec(line.trim());
      if (included) include(included[1], included[2], values, index);
      else if (loop) {
        const close = endOf(lines, index, place(index));
        repeat(loop.slice(1), index, close, values);
        index = close;
      } else if (array) {
        const sizes = array[3].slice(2).split(', ').map(Number);
        if (values.UNROLL === 'no') output.push(`var ${array[1]}: ${arrayOf(array[2], sizes)};`);
        else {
          expansion.arrays.set(array[1], sizes.length);
          output.push(...placesOf(sizes).map((at) => `var ${array[1]}_${at.join('_')}: ${array[2]};`));
        }
      } else
        throw new UserError(
          `${place(index)}: unknown directive ${line.trim()}; write #include "file", #for i in 0..4, #unroll i in 0..4, #array name: Type, 4 or, after a loop, #end`,
        );
    }
  }

  emit(0, lines.length, defines);
  return output.join('\n');
}

/** `array<array<Type, 3>, 2>` for sizes 2, 3. */
const arrayOf = (type: string, sizes: readonly number[]) =>
  sizes.reduceRight((inner, size) => `array<${inner}, ${size}>`, type);

/** All indices of an array of these sizes. */
const placesOf = (sizes: readonly number[]) =>
  sizes.reduce<number[][]>(
    (places, size) => places.flatMap((place) => Array.from({ length: size }, (_, i) => [...place, i])),
    [[]],
  );

/** A line in which elements of arrays that are written out are the variables; they may be indices of others. */
function withVariables(line: string, { arrays, counters }: Expansion, place: string): string {
  const [code] = line.split('//');
  const found = /\b(\w+)\[/g;
  let [text, end] = ['', 0];
  for (let match = found.exec(code); match; match = found.exec(code)) {
    const [[, name], dimensions] = [match, arrays.get(match[1])];
    if (dimensions === undefined) continue;
    const element = new RegExp(`^${name}((?:\\[\\w+\\]){${dimensions}})`).exec(code.slice(match.index));
    const numbers = element?.[1]
      .slice(1, -1)
      .split('][')
      .map((index) => (/^\d+u?$/.test(index) ? Number.parseInt(index, 10) : counters.get(index)));
    if (!element || !numbers || numbers.includes(undefined))
      throw new UserError(
        `${place}: an index of the #array in ${code.slice(match.index).trim()} is not known here; write ${dimensions} numbers or variables of #unroll`,
      );
    text += `${code.slice(end, match.index)}${name}_${numbers.join('_')}`;
    end = match.index + element[0].length;
  }
  return text + line.slice(end);
}

function fill(line: string, values: Defines, place: string): string {
  return line.replace(/\{\{(\w+)\}\}/g, (_, name: string) => {
    if (!(name in values)) throw new UserError(`${place}: placeholder {{${name}}} has no value; pass it in defines`);
    return String(values[name]);
  });
}

/** The line of the `#end` that closes the loop which starts at line `start`. */
function endOf(lines: readonly string[], start: number, place: string): number {
  let depth = 0;
  for (let index = start; index < lines.length; index++) {
    const line = lines[index].trim();
    if (/^#(for|unroll) /.test(line)) depth++;
    if (line === '#end' && --depth === 0) return index;
  }
  throw new UserError(`${place}: the loop has no end; write #end after its last line`);
}

/** A parameter of a kernel; arrays fill a `vec4u`. */
export type Param = number | readonly number[];

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
