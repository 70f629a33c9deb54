import { AdamW8bit } from '../../src/optim/adamw8bit.ts';
import { GradientScaling } from '../../src/optim/gradient-scaling.ts';
import { masterTensors } from '../../src/optim/parameter-arena.ts';
import { quantizeNf4 } from '../../src/quant/nf4.ts';
import { castTo } from '../../src/tensor/copy.ts';
import type { Part, Setting } from './part.ts';
import { matrixShapes } from './shapes.ts';

/** Unpacking frozen weights: rows, and the panels that products on matrix units take. */
export function weightParts({ config, normal }: Setting): Part[] {
  return matrixShapes(config).flatMap(([name, out, width]) =>
    (['dense', 'panels', 'panels transposed'] as const).map((order) => ({
      group: 'nf4',
      name: `${order} f16 ${name} ${out}x${width}`,
      bytes: out * width * (2 + 0.5 + 1 / 64),
      prepare() {
        const weight = quantizeNf4(normal.tensor([out, width]));
        const make = () => (order === 'dense' ? weight.dense('f16') : weight.panels(order === 'panels transposed'));
        return { run: () => void make() };
      },
    })),
  );
}

/** What follows the backward pass, over all adapters of the model. */
export function optimizerParts({ device, config, r, normal }: Setting): Part[] {
  const shapes = matrixShapes(config).flatMap(([names, out, width]) =>
    names.split(', ').flatMap(() => [
      [r, width],
      [out, r],
    ]),
  );
  const all = Array.from({ length: config.num_hidden_layers }, () => shapes).flat();
  const elements = all.reduce((sum, [rows, columns]) => sum + rows * columns, 0);
  return [
    {
      group: 'optimizer',
      name: `gradient norm and 8-bit AdamW, ${all.length} tensors, ${elements.toLocaleString('en')} weights`,
      // Gradients are read twice, weights and two bytes of state read and written.
      bytes: elements * (4 + 4 + 8 + 4),
      prepare() {
        const parameters = masterTensors(device, all).map((tensor, i) => ({ name: `${i}`, tensor }));
        device.scope(() => {
          for (const { tensor } of parameters) {
            tensor.grad = device.persist(tensor.newGradient());
            for (const place of [tensor, tensor.grad]) device.copy(castTo(normal.tensor(tensor.shape), 'f32'), place);
          }
        });
        const optimizer = new AdamW8bit(parameters);
        const scaling = new GradientScaling(device, { enabled: true });
        return {
          run() {
            scaling.measure(parameters, 1);
            optimizer.step({ lr: 1e-4, stats: scaling.stats });
            scaling.update();
          },
          dispose() {
            optimizer.dispose();
            scaling.dispose();
            for (const { tensor } of parameters) tensor.dispose();
          },
        };
      },
    },
  ];
}
