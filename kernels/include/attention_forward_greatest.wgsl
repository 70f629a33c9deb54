// For attention_forward_matrix.wgsl: makes {{top}} the greatest of those of all threads that share a row.
      shared_parts[thread] = {{top}};
      workgroupBarrier();
      for (var other = 0u; other < PARTS; other++) {
        {{top}} = max({{top}}, shared_parts[other * QUERIES + row]);
      }
