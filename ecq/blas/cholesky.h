// Cholesky factor of a symmetric matrix in double precision (LAPACK of OpenBLAS).
#pragma once

#include <cstddef>

namespace ecq {

// Replaces A (n, n) = L L^T by L. Of A, the element (k, i), k >= i, is read at a[i * n + k]: row i
// holds column i of the lower triangle from its diagonal on, and then column i of L. The rest is
// neither read nor written. False if A is not positive definite; those places then hold anything.
// Runs on the calling thread. Pre: n fits an int.
bool CholeskyInPlace(size_t n, double* a);

}  // namespace ecq
