import { type Code, type Int, Module } from './assembler.ts';
import { memory } from './memory.ts';

/** Compiles functions of integers that work on the kernels' memory. */
export function compile<Name extends string>(
  functions: Record<Name, { parameters: number; build: (code: Code, ...values: Int[]) => void }>,
): Record<Name, (...values: number[]) => void> {
  const module = new WebAssembly.Module(assemble(functions));
  return new WebAssembly.Instance(module, { host: { memory } }).exports as Record<Name, (...values: number[]) => void>;
}

/** Bytes of a module with these functions. */
export function assemble(
  functions: Record<string, { parameters: number; build: (code: Code, ...values: Int[]) => void }>,
): Uint8Array<ArrayBuffer> {
  const module = new Module();
  for (const [name, { parameters, build }] of Object.entries(functions)) module.function(name, parameters, build);
  return module.assemble();
}
