
#define A 1
