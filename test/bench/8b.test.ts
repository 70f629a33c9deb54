import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const run = promisify(execFile);

test('everything is measured in small shapes, and written as JSON', async () => {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'dawntune-bench-'));
  try {
    const json = path.join(dir, 'report.json');
    const flags = ['--tiny', '--steps', '1', '--gradient-checkpointing', 'full', '--json', json];
    const { stdout } = await run(process.execPath, ['--import', 'tsx', 'bench/8b.ts', ...flags]);
    const report = JSON.parse(readFileSync(json, 'utf8'));
    expect(report.errors).toEqual([]);
    expect(report.ceilings.tflops).toBeGreaterThan(0);
    expect(report.ceilings.gbps).toBeGreaterThan(0);
    const groups = new Set(report.parts.map(({ group }: { group: string }) => group));
    expect([...groups]).toEqual(['ceiling', 'gemm', 'attention', 'loss', 'nf4', 'optimizer', 'elementwise']);
    for (const { name, ms } of report.parts) expect(ms, name).toBeGreaterThan(0);
    const [{ losses, memory, host, profile, skipped }] = report.steps;
    expect(skipped).toBe(0);
    expect(losses[0]).toBeCloseTo(Math.log(1002), 0);
    const { peak, reserved, predicted, ...categories } = memory;
    expect(Object.values<number>(categories).reduce((sum, bytes) => sum + bytes)).toBe(peak);
    for (const [name, bytes] of Object.entries(categories)) expect(bytes, name).toBeGreaterThan(0);
    expect(reserved).toBeGreaterThanOrEqual(peak);
    // The bench holds some numbers of its own besides, which count at this size.
    expect(Math.abs(reserved - predicted)).toBeLessThan(0.05 * reserved + 2 ** 18);
    expect(host).toMatchObject({ waitsInside: false, buffersMade: 0 });
    // A profiled step is a step: as many dispatches and copies, and the time of each.
    const counted = profile.lines.reduce((sum: number, { count }: { count: number }) => sum + count, 0);
    expect(counted).toBe(host.dispatches + host.copies);
    const total = profile.lines.reduce((sum: number, { ms }: { ms: number }) => sum + ms, 0);
    expect(total).toBeCloseTo(profile.gpuMs, 6);
    expect(stdout).toContain('step, checkpointing full');
    // However small the shapes, rates have digits that tell them apart.
    expect(stdout).toMatch(/ [1-9][\d.]{3,4} [kMG]FLOP\/s +[1-9][\d.]{3,4} [kMG]B\/s /);
    expect(stdout).not.toMatch(/ 0[.\d]* \w*(FLOP|B)\/s/);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
