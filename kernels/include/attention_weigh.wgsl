// For attention_forward_matrix.wgsl: weights of this thread's scores against its row's base; {{sum}} becomes theirs.
    {{sum}} = vec4f();
#unroll i in 0..{{PART_CHUNKS}}
    let low = exp2(own[2u * i] - base);
    let high = exp2(own[2u * i + 1u] - base);
    scores[weight_place(row, part * (PART / 8u) + i)] = pack_small(low, high);
    {{sum}} += low + high;
#end
