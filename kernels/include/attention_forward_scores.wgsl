// For attention_forward_matrix.wgsl: scores of a subgroup's rows against its part of the keys that lie in `tiles`.
#unroll c in 0..{{SCORE_FRAGMENTS}}
#include "include/attention_scores.wgsl" with own=queries, rows={{keys}} + (own_key + c * 16u) * STRIDE
  #unroll r in 0..{{ROW_FRAGMENTS}}
    scores_store((own_row + r * 16u) * SCORE_STRIDE + (own_key + c * 16u) / 4u, SCORE_STRIDE, products[r]);
  #end
#end
