import { statSync } from 'node:fs';
import { Command } from 'commander';
import { complain } from '../errors.ts';

/** `reference`: compares this program with PyTorch, PEFT and bitsandbytes, number by number. */
export function referenceCommand(): Command {
  return new Command('reference')
    .description('compare with reference data of PyTorch, PEFT and bitsandbytes; exit code 1 if a bound is exceeded')
    .argument('[directory]', 'directory laid out like test/reference', 'test/reference')
    .action(async (directory: string) => {
      if (!statSync(directory, { throwIfNoEntry: false })?.isDirectory())
        throw complain({
          where: directory,
          got: 'no such directory',
          expected: 'a directory laid out like test/reference',
          remedy: 'correct the path, or leave it out for test/reference',
        });
      const { Device } = await import('../tensor/device.ts');
      const { runReference } = await import('../reference/run.ts');
      const device = await Device.open();
      const { comparisons, failed } = await runReference(device, directory, console.log);
      device.close();
      console.log(`${comparisons.length - failed} comparisons within bounds, ${failed} not`);
      if (failed > 0) process.exitCode = 1;
    });
}
