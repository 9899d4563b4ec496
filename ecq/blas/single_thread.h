// Keeps OpenBLAS on the calling thread.
#pragma once

#include <cblas.h>

namespace ecq {

// To be called before any call of OpenBLAS: it would start threads of its own, and the thread pool
// has them already.
inline void KeepBlasSingleThreaded() {
  static const bool done = (openblas_set_num_threads(1), true);
  static_cast<void>(done);
}

}  // namespace ecq
