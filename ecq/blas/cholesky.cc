// Cholesky factorization through the Fortran interface of LAPACK.
#include "ecq/blas/cholesky.h"

#include <f77blas.h>

#include "ecq/blas/single_thread.h"

namespace ecq {

bool CholeskyInPlace(size_t n, double* a) {
  KeepBlasSingleThreaded();
  char lower[] = "L";  // of a column-major matrix
  blasint order = static_cast<blasint>(n);
  blasint info = 0;
  dpotrf_(lower, &order, a, &order, &info);
  return info == 0;
}

}  // namespace ecq
