// For attention_forward_matrix.wgsl: raises the bases of rows whose greatest score of this round exceeds them by too much, and
// scales what they have summed up.
      // Sums pass through where the scores are, which come back afterwards.
#unroll i in 0..{{PART_QUADS}}
      own[i] = bitcast<vec4f>(scores[row * SCORE_STRIDE + part * (PART / 4u) + i]);
#end
#include "include/attention_forward_greatest.wgsl" with top=top
      let higher = select(base, top, top > base + SLACK);
      let factor = exp2(base - higher);
      base = higher;
      sum *= factor;
      factors[row] = factor;
      if (raised > 2u * round) {
#unroll c in 0..{{SUM_FRAGMENTS}}
        workgroupBarrier();
#include "include/attention_spill.wgsl" with array=scores, sums=outputs, columns=OUTPUTS, column=c
        workgroupBarrier();
  #unroll r in 0..{{ROW_FRAGMENTS}}
        let at = (subgroup * {{ROW_FRAGMENTS}} + r) * 64u + lane * 2u;
        let factor = factors[own_row + r * 16u + lane / 2u];
        scores[at] = bitcast<vec4u>(bitcast<vec4f>(scores[at]) * factor);
        scores[at + 1u] = bitcast<vec4u>(bitcast<vec4f>(scores[at + 1u]) * factor);
  #end
        workgroupBarrier();
  #unroll r in 0..{{ROW_FRAGMENTS}}
        outputs[r * OUTPUTS + c] = scores_sums((subgroup * {{ROW_FRAGMENTS}} + r) * 64u, 4u);
  #end
#end
        workgroupBarrier();
      }
#unroll i in 0..{{PART_QUADS}}
      scores[row * SCORE_STRIDE + part * (PART / 4u) + i] = bitcast<vec4u>(own[i]);
#end
