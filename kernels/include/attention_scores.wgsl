// For the attention kernels on matrix units: `products` = {{own}} · the 16 rows of a tile from place {{rows}} on, transposed.
    var products = array<Sums, {{ROW_FRAGMENTS}}>();
  #unroll d in 0..{{DEPTH_FRAGMENTS}}
    let right = tiles_right_transposed({{rows}} + d * 2u, STRIDE);
    #unroll r in 0..{{ROW_FRAGMENTS}}
    products[r] = multiply({{own}}[r * DEPTH_FRAGMENTS + d], right, products[r]);
    #end
  #end
