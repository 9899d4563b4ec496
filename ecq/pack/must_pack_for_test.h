// Pack() for tests in which it must succeed.
#pragma once

#include <gtest/gtest.h>

#include <utility>

#include "ecq/pack/pack.h"

namespace ecq {

inline PackedTensor MustPack(const QuantizedTensor& tensor, const PackOptions& options = {},
                             size_t threads = 1) {
  ThreadPool pool(threads);
  auto packed = Pack(tensor, options, pool);
  EXPECT_TRUE(packed.ok()) << packed.error().message;
  return std::move(packed).value();
}

}  // namespace ecq
