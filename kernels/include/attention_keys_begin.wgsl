// For attention_keys_matrix.wgsl: scores and products of the queries in place {{place}}; those after them are fetched, after
// the last ones some for nothing.
    scored = first;
    let is_last = first + QUERIES >= tile.y; // of a head
    head = min(head + select(0u, 1u, is_last), last_head);
    first = select(first + QUERIES, start, is_last);
    fetch(&queries, &gradients, first, head, thread);
    seen_by_all = keys_of_block(first / ROWS).zw;
    statistic = statistics_read[head * p.queries + min(first + thread % QUERIES, p.queries - 1u)];
    let scored_at = {{place}} % PLACES * PLACE + second * QUERIES * STRIDE;
#unroll c in 0..{{SCORE_FRAGMENTS}}
#include "include/attention_scores.wgsl" with own=own, rows=scored_at + c * 16u * STRIDE
  #unroll r in 0..{{ROW_FRAGMENTS}}
    let column = second * QUERIES + c * 16u;
    pairs_store((own_row + r * 16u) * PAIR_STRIDE + column / 4u, PAIR_STRIDE, products[r]);
  #end
#end
