fn f() {
#array x: f32, 2
#unroll i in 0..2
#unroll i in 0..2
  x[i] = 1.0;
#end
#end
}
