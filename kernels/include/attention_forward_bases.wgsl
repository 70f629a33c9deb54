// For attention_forward_matrix.wgsl: the first bases, from the first scores, or the first round would begin twice.
  var first_top = LOWEST;
#unroll i in 0..{{PART_QUADS}}
  let key = first + part * PART + i * 4u + vec4u(0u, 1u, 2u, 3u);
  let score = bitcast<vec4f>(scores[row * SCORE_STRIDE + part * (PART / 4u) + i]);
  let seen = select(vec4f(LOWEST), score, is_seen(key, range));
  first_top = max(first_top, max(max(seen.x, seen.y), max(seen.z, seen.w)));
#end
  first_top *= factor_of_scores;
#include "include/attention_forward_greatest.wgsl" with top=first_top
  base = select(base, first_top, first_top > base + SLACK);
