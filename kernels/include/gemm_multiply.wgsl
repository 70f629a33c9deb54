// For gemm_matrix.wgsl: adds to `sums` what {{steps}} times 16 of the depth of the tile in workgroup memory give.
#unroll step in 0..{{steps}}
#array left: Left, {{FM}}
#array right: Right, {{FN}}
#unroll i in 0..{{FM}}
    left[i] = tiles_left{{A_DIRECTION}}(select((sub_row + i * 16u) * A_STRIDE + step * 2u, step * 16u * A_STRIDE + (sub_row + i * 16u) / 8u, A_INNER != DEPTH), A_STRIDE);
#end
#unroll j in 0..{{FN}}
    right[j] = tiles_right{{B_DIRECTION}}(B_TILE + select((sub_column + j * 16u) * B_STRIDE + step * 2u, step * 16u * B_STRIDE + (sub_column + j * 16u) / 8u, B_INNER != DEPTH), B_STRIDE);
#end
#unroll i in 0..{{FM}}
#unroll j in 0..{{FN}}
    sums[i][j] = multiply(left[i], right[j], sums[i][j]);
#end
#end
#end
