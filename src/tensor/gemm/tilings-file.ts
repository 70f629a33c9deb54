import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { z } from 'zod';
import { complain, explained } from '../../errors.ts';
import { readJsonFile } from '../../files/json.ts';
import { makeDirectory, writeFileAtomic } from '../../files/write-file.ts';
import type { Capabilities } from '../capabilities.ts';
import { sourceOf } from '../wgsl.ts';
import { TILE_NAMES, TILES } from './tiles.ts';
import type { Tiling } from './tilings.ts';

/** What tells adapters, and ways to run on one, apart. */
type Adapter = Pick<Capabilities, 'vendor' | 'architecture' | 'name' | 'driver' | 'safeKernels'>;

const REMEDY = 'delete it, or run `npx tsx train.ts tune` again';

/** Of any version: what says whether the rest can be read. */
const headSchema = z.object({ kernels: z.string() });
const fileSchema = z.object({
  /** For people. */
  adapter: z.string(),
  driver: z.string(),
  /** Hash of the kernels that were measured. */
  kernels: z.string(),
  tilings: z.record(
    z.string(),
    z.object({ tile: z.enum(TILE_NAMES), splits: z.number().int().min(1).max(65535), tail: z.boolean() }),
  ),
});

const hash = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 16);

const kernelsHash = () => hash(sourceOf('gemm_matrix.wgsl') + sourceOf('gemm_split.wgsl') + JSON.stringify(TILES));

/** Null where the system knows no home of the user, as for some users of containers. */
function homeDirectory(): string | null {
  try {
    return os.homedir();
  } catch {
    return null;
  }
}

/** The user's directory for what can be made again, as each system has it; null when DAWNTUNE_CACHE is `off`, or without a home. */
function cacheDirectory(): string | null {
  const { DAWNTUNE_CACHE, XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  if (DAWNTUNE_CACHE === 'off') return null;
  if (DAWNTUNE_CACHE) return path.resolve(DAWNTUNE_CACHE);
  const home = homeDirectory();
  const inHome = (...parts: string[]) => home && path.join(home, ...parts);
  // Relative paths are to be ignored, says the XDG Base Directory Specification.
  const xdg = XDG_CACHE_HOME && path.isAbsolute(XDG_CACHE_HOME) ? XDG_CACHE_HOME : inHome('.cache');
  const local = LOCALAPPDATA || inHome('AppData', 'Local');
  const caches = { darwin: inHome('Library', 'Caches'), win32: local }[process.platform as string] ?? xdg;
  return caches && path.join(caches, 'dawntune');
}

/** Where the tilings of an adapter with its driver are kept; null when they are not. */
export function tilingsFile({ vendor, architecture, name, driver, safeKernels }: Adapter): string | null {
  const directory = cacheDirectory();
  const readable = (name.toLowerCase().match(/[a-z0-9]+/g) ?? []).join('-');
  const id = hash(JSON.stringify([vendor, architecture, name, driver, safeKernels]));
  return directory && path.join(directory, `tilings-${readable}-${id}.json`);
}

/**
 * @returns null when they were measured with other kernels
 * @throws UserError for a file that cannot be read or is damaged
 */
function tilingsIn(file: string): Map<string, Tiling> | null {
  const json = readJsonFile(file, REMEDY);
  const head = headSchema.safeParse(json).data;
  if (head && head.kernels !== kernelsHash()) return null;
  const { data } = fileSchema.safeParse(json);
  if (!data) throw complain({ where: file, got: 'something else', expected: 'tilings of products', remedy: REMEDY });
  return new Map(Object.entries(data.tilings));
}

/** The tilings that were stored for an adapter and these kernels; none, with a warning, where they cannot be read. */
export function readTilings(adapter: Adapter): Map<string, Tiling> {
  try {
    const file = tilingsFile(adapter);
    return (file && existsSync(file) && tilingsIn(file)) || new Map();
  } catch (error) {
    console.error(`warning: ${(explained(error) as Error).message}`);
    return new Map();
  }
}

/**
 * The file that {@link writeTilings} writes.
 *
 * @throws UserError when there is to be none
 */
export function fileToWrite(adapter: Adapter): string {
  const file = tilingsFile(adapter);
  if (file === null)
    throw complain({
      where: 'DAWNTUNE_CACHE',
      got: process.env.DAWNTUNE_CACHE ?? 'nothing, and no home directory',
      expected: 'a directory for what is measured',
      remedy: 'name a directory',
    });
  return file;
}

/**
 * Stores tilings beside those that are there already; null takes one away, for the default.
 *
 * Several processes may write at once: the file is always whole, and of two that write in the same moment the last
 * one's tilings stay.
 *
 * @returns the file, and how many are in it now
 * @throws UserError when the system refuses
 */
export function writeTilings(
  adapter: Adapter,
  found: ReadonlyMap<string, Tiling | null>,
): { file: string; count: number } {
  const file = fileToWrite(adapter);
  const all = readTilings(adapter);
  for (const [key, tiling] of found)
    if (tiling) all.set(key, tiling);
    else all.delete(key);
  const contents: z.infer<typeof fileSchema> = {
    adapter: adapter.name,
    driver: adapter.driver,
    kernels: kernelsHash(),
    tilings: Object.fromEntries([...all].toSorted(([a], [b]) => (a < b ? -1 : 1))),
  };
  makeDirectory(path.dirname(file));
  writeFileAtomic(file, `${JSON.stringify(contents, null, 2)}\n`, `${file}.${process.pid}.part`);
  return { file, count: all.size };
}

/** Where tilings are kept and how many there are, in words: for `doctor`. */
export function describeTilings(adapter: Adapter): string {
  const file = tilingsFile(adapter);
  if (file === null) return 'off (DAWNTUNE_CACHE=off, or no home directory)';
  if (!existsSync(file)) return `none; \`npx tsx train.ts tune\` would write ${file}`;
  try {
    const tilings = tilingsIn(file);
    return tilings ? `${tilings.size} in ${file}` : `of other kernels, not used: ${file}; ${REMEDY}`;
  } catch {
    return `damaged: ${file}; ${REMEDY}`;
  }
}
