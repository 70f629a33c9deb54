import { AdamW8bit } from '../../src/optim/adamw8bit.ts';
import { GradientScaling } from '../../src/optim/gradient-scaling.ts';
import { quantizeNf4 } from '../../src/quant/nf4.ts';
import { castTo } from '../../src/tensor/copy.ts';
import type { Part, Setting } from './part.ts';
import { matrixShapes } from './shapes.ts';

/** Unpacking frozen weights. */
export function weightParts({ config, normal }: Setting): Part[] {
  return matrixShapes(config)
    .slice(0, 3)
    .map(([name, out, width]) => ({
      group: 'nf4',
      name: `dequantise to f16 ${name} ${out}x${width}`,
      bytes: out * width * (2 + 0.5 + 1 / 64),
      prepare() {
        const weight = quantizeNf4(normal.tensor([out, width]));
        return { run: () => void weight.dense('f16') };
      },
    }));
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
      name: `gradient norm and 8-bit AdamW, ${all.length} tensors, ${(elements / 1e6).toFixed(1)} M weights`,
      // Gradients are read twice, weights and two bytes of state read and written.
      bytes: elements * (4 + 4 + 8 + 4),
      prepare() {
        const parameters = all.map((shape, i) => {
          const tensor = castTo(normal.tensor(shape), 'f32');
          tensor.requires_grad = true;
          tensor.grad = castTo(normal.tensor(shape), 'f32');
          return { name: `${i}`, tensor };
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
          },
        };
      },
    },
  ];
}
