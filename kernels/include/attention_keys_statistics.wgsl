// For attention_keys_matrix.wgsl: brings what belongs to the queries of the next scores, of which each thread has that of
// one, {{of}}, to workgroup memory.
    if (thread < QUERIES) {
      let at = (parity * QUERIES + thread) / 4u;
      log_sums[at][thread % 4u] = {{of}}.x * LOG2_E;
      deltas[at][thread % 4u] = {{of}}.y;
    }
