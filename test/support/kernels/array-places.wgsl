fn f() {
#array x: u32, 2
#unroll i in 0..2
  y[x[i]] = z[x[i] + 1u][x[1]]; // not x[k]
#end
}
