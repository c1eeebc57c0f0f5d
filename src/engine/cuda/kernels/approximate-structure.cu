// The structure matrix of a trained multiplier from its parameters θ, and their gradient.
#include "elementwise.cuh"

#define THREADS 256

/** m[at] = θ[index[at]], 0 where the index is negative. */
KERNEL structure_matrix(const float *theta, const int *index, float *m, int count) {
  map(m, count, [=](int i) { return index[i] < 0 ? 0.0f : theta[index[i]]; });
}
/** dθ[c] = Σ dm[at] over index[at] = c, in order. */
KERNEL structure_matrix_gradient(const float *dm, const int *index, float *dtheta, int count, int entries) {
#pragma unroll
  EACH(i, count) {
    double sum = 0;
    for (int at = 0; at < entries; at++) sum += index[at] == i ? dm[at] : 0.0f;
    dtheta[i] = (float)sum;
  }
}

