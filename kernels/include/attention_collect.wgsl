// For the attention kernels on matrix units: {{sums}} += weights · the tile at {{rows}} from column {{column}} on. Weights are halves in the array
// {{array}}, from {{weights}} on in a row, rows {{stride}} and fragments of a row {{step}} elements apart.
#unroll n in 0..{{OTHER_FRAGMENTS}}
    var left: array<Left, {{ROW_FRAGMENTS}}>;
  #unroll r in 0..{{ROW_FRAGMENTS}}
    left[r] = {{array}}_left((own_row + r * 16u) * {{stride}} + {{weights}} + n * {{step}}, {{stride}});
  #end
  #unroll c in 0..{{SUM_FRAGMENTS}}
    let right = tiles_right({{rows}} + n * 16u * STRIDE + ({{column}} + c * 16u) / 8u, STRIDE);
    #unroll r in 0..{{ROW_FRAGMENTS}}
    {{sums}}[r * {{columns}} + c] = multiply(left[r], right, {{sums}}[r * {{columns}} + c]);
    #end
  #end
#end
