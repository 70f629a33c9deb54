import type { LlamaConfig } from '../../src/formats/hf-config.ts';
import type { Device } from '../../src/tensor/device.ts';
import type { NormalSource } from './weights.ts';

/** What all parts are measured at. */
export interface Setting {
  device: Device;
  config: LlamaConfig;
  /** Rows of a step and tokens of a row. */
  rows: number;
  seq: number;
  /** Rank of the adapters. */
  r: number;
  /** Start values; their deviation is 1. */
  normal: NormalSource;
  /** Milliseconds of work before each measurement. */
  warmUpMs: number;
}

/** A piece of a training step that is timed alone. */
export interface Part {
  group: string;
  name: string;
  flops?: number;
  /** Bytes that have to be read and written at least. */
  bytes?: number;
  /** Makes inputs in the current scope; `run` records the work, `dispose` frees what outlives the scope. */
  prepare(): { run: () => void; dispose?: () => void };
}
