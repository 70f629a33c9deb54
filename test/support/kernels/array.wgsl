fn f() {
#array x: vec2f, 2, {{COUNT}}
#unroll i in 0..2
#unroll j in 0..{{COUNT}}
  x[i][j] = vec2f(y[i]); x[1u][0][i] += 1.0;
#end
#end
}
