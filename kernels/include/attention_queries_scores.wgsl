// For attention_queries_matrix.wgsl: scores or products of a subgroup's rows against the keys in place {{place}} or the values.
    let others = select({{place}} * KEYS * STRIDE, VALUES, of_gradient);
#unroll c in 0..{{SCORE_FRAGMENTS}}
#include "include/attention_scores.wgsl" with own=own, rows=others + c * 16u * STRIDE
  #unroll r in 0..{{ROW_FRAGMENTS}}
    pairs_store((own_row + r * 16u) * PAIR_STRIDE + (subgroup % 2u * KEYS + c * 16u) / 4u, PAIR_STRIDE, products[r]);
  #end
#end
