// For gemm_matrix.wgsl: scales, adds, rounds and writes `sums`.
//
// They leave by rows of fragments, side by side in workgroup memory. Of each half of these, eight rows of WN results, an
// invocation writes FN times four neighbours, in both halves at the same places: `down` rows and `across` fours of a row. What
// is to be added is fetched first, while all wait for the others.
#array down: u32, {{FN}}
#array across: u32, {{FN}}
#array y_at: u32, {{FN}}
#unroll t in 0..{{FN}}
  let quad = t * 32u + lane % 32u;
  down[t] = quad / (WN / 4u);
  across[t] = quad % (WN / 4u);
  y_at[t] = (group.z * p.m + row + sub_row + down[t]) * p.y_row + p.y_start + column + sub_column + across[t] * 4u;
#end
#array inside: bool, 2, {{FN}}
#array more: vec4f, 2, {{FN}}
#array results: vec4f, 2, {{FN}}
#array words: y_Words, 2, {{FN}}
#unroll i in 0..{{FM}}
#unroll half in 0..2
#unroll t in 0..{{FN}}
  let r = row + sub_row + i * 16u + half * 8u + down[t];
  let c = column + sub_column + across[t] * 4u;
  inside[half][t] = ({{M_WHOLE}} || r < p.m) & ({{N_WHOLE}} || c < p.n);
  if (inside[half][t]) {
    more[half][t] = addend_get4(y_at[t] + (i * 2u + half) * 8u * p.y_row, p.n - c);
  }
#end
#end
  workgroupBarrier();
#unroll j in 0..{{FN}}
  tiles_store(subgroup * 16u * RESULT_STRIDE + j * 4u, RESULT_STRIDE, sums[i][j]);
#end
  workgroupBarrier();
  // One rare case for all results of the row, and no other condition before they are stored: each would wait for its loads
  // alone.
  var squares = vec4f();
#unroll half in 0..2
#unroll t in 0..{{FN}}
  let own = tiles[(subgroup * 16u + half * 8u + down[t]) * RESULT_STRIDE + across[t]];
  results[half][t] = p.alpha * bitcast<vec4f>(own) + more[half][t];
  words[half][t] = y_quick_words(results[half][t]);
  squares = with_squares(squares, results[half][t]);
#end
#end
  if (exceed_halves(squares)) {
#unroll half in 0..2
#unroll t in 0..{{FN}}
    words[half][t] = y_words(results[half][t]);
#end
#end
  }
#unroll half in 0..2
#unroll t in 0..{{FN}}
  if (inside[half][t]) {
    let count = p.n - (column + sub_column + across[t] * 4u);
    y_put4(y_at[t] + (i * 2u + half) * 8u * p.y_row, count, words[half][t]);
  }
#end
#end
#end
