import path from 'node:path';
import { Command } from 'commander';
import { addTrainOptions, trainConfigOf } from './train-options.ts';

const NOTES = `
Takes the flags and the recipe of train: products are those that a step of that run makes, by model, batch size, sequence
length and checkpointing. What is fastest is kept for this adapter and driver, in the user's cache directory or in
DAWNTUNE_CACHE (off: nowhere), and serves every later command. Run it again after an update of dawntune or the driver.`;

/** `tune`: measures how products on matrix units are best cut up. */
export function tuneCommand(): Command {
  const command = new Command('tune')
    .description('measure the fastest tiling of each matrix product of a training step, and keep it for this GPU')
    .configureHelp({ helpWidth: 120 })
    .addHelpText('after', NOTES)
    .option('--config <recipe.yaml>', 'YAML recipe with any of the keys below; flags win over it');
  return addTrainOptions(command).action(async (flags: Record<string, string | undefined>) => {
    const { checkWritable } = await import('../files/write-file.ts');
    const { Device } = await import('../tensor/device.ts');
    const { freeMemory } = await import('../tensor/device-memory.ts');
    const { usableMatrixShape } = await import('../tensor/gemm/matrix.ts');
    const { withoutMatrixUnits } = await import('../tensor/kernel-paths.ts');
    const { fileToWrite, writeTilings } = await import('../tensor/gemm/tilings-file.ts');
    const { planMemory } = await import('../train/memory-plan.ts');
    const { openData } = await import('../train/training-data.ts');
    const { timerOn, tune } = await import('../train/tune.ts');
    const config = trainConfigOf(flags, flags.config);
    // Before the device: what is wrong with the flags is said on those that have nothing to tune too.
    const data = await openData(config);
    const device = await Device.open();
    const { capabilities } = device;
    const usable = usableMatrixShape(capabilities) !== undefined;
    // Found before minutes of measuring, not after.
    if (usable) checkWritable(path.dirname(fileToWrite(capabilities)));
    const products = usable
      ? (await planMemory(capabilities, config, data, freeMemory(capabilities))).step.products
      : [];
    if (products.length === 0) {
      const without = usable
        ? `precision ${config.precision} makes no products on matrix units`
        : `on ${capabilities.name} ${withoutMatrixUnits(capabilities)}`;
      console.log(`nothing to tune: ${without}`);
    } else {
      const { file, count } = writeTilings(capabilities, await tune(products, timerOn(device), console.log));
      console.log(`${count} tilings in ${file}`);
    }
    device.close();
  });
}
