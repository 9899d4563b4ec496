// Where a conversion takes the moments of the inputs of matrices from.
#pragma once

#include <cstddef>
#include <string_view>

#include "ecq/base/result.h"
#include "ecq/quant/input_moments.h"

namespace ecq {

class MomentsProvider {
 public:
  virtual ~MomentsProvider() = default;

  // Tensors are to be asked for by rising stage, so that the moments of one layer are in memory at
  // a time.
  virtual size_t StageOf(std::string_view tensor) const = 0;

  // The moments of a matrix; null if no product meets it. Valid until the next call.
  virtual Result<const InputMoments*> MomentsOf(std::string_view tensor) = 0;
};

}  // namespace ecq
