import { expect, test } from 'vitest';
import { batchOf } from '../../src/models/batch.ts';
import { loadLlama } from '../../src/models/load.ts';
import { mergedWeights } from '../../src/models/save.ts';
import { HostMatrix } from '../../src/tensor/host-matrix.ts';
import { testDevice } from '../support/device.ts';

const device = await testDevice();

test.each(['f32', 'mixed'] as const)(
  'an embedding in host memory changes no bit of logits or saved weights: %s',
  async (precision) => {
    const results = [];
    for (const embedding_on_host of [false, true]) {
      const before = device.memory.liveBytes;
      const model = await loadLlama(device, 'test/reference/llama-tiny', { precision, embedding_on_host });
      const taken = device.memory.liveBytes - before;
      expect(model.embed instanceof HostMatrix).toBe(embedding_on_host);
      const logits = await device.scopeAsync(() =>
        model.logits(batchOf(device, [{ input_ids: [3, 1, 4, 1, 5, 9, 2, 6] }])).numbers(),
      );
      const [embedding] = mergedWeights(model);
      results.push({ taken, logits, embedding: await embedding.rows(0, 20) });
      model.dispose();
      expect(device.memory.liveBytes).toBe(before);
    }
    const [here, there] = results;
    expect(there.logits).toEqual(here.logits);
    expect(there.embedding).toEqual(here.embedding);
    expect(there.taken).toBeLessThan(here.taken);
  },
);
