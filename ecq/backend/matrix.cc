// The product with an input that is used once.
#include "ecq/backend/matrix.h"

namespace ecq {

Status Matrix::Multiply(ThreadPool& pool, ActivationMode mode, size_t m, const float* x,
                        float* y) const {
  thread_local Activations activations;
  activations.Reset(m, cols(), x);
  return Multiply(pool, mode, activations, y);
}

}  // namespace ecq
