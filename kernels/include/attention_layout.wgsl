// The layout of threads and partial products that the tiled kernels of attention share.
//
// A workgroup owns 32 rows (queries, or keys in `gradient_keys`) of one head and walks over tiles of STEP rows of the
// other side. A thread owns the OWN rows lane, lane + LANES, … and of each of them VECS vec4s, because PARTS threads
// share a row: the dot products that they have parts of are added through workgroup memory. Neighbouring threads own
// different rows, so that all of them read the same element of a tile at a time.
#include "include/attention_ranges.wgsl"
const VECS = {{VECS}}u;
const PARTS = {{PARTS}}u;
const STEP = {{STEP}}u;
const LANES = {{LANES}}u;
const OWN = ROWS / LANES;
const THREADS = LANES * PARTS;
// vec4s of a row in workgroup memory; zeros beyond the head size.
const ROW = VECS * PARTS;
