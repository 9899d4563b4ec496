// A test that runs with one instruction set level forced for the whole process.
#pragma once

#include <gtest/gtest.h>

#include <optional>

#include "ecq/base/cpu_target.h"

namespace ecq {

class OnCpuTarget : public testing::TestWithParam<CpuTarget> {
 protected:
  void SetUp() override {
    if (!CpuTargetSupported(GetParam())) GTEST_SKIP() << "not supported by this machine";
    before_ = ActiveCpuTarget();
    ASSERT_TRUE(SetActiveCpuTarget(GetParam()).ok());
  }
  void TearDown() override {
    if (before_) {
      EXPECT_TRUE(SetActiveCpuTarget(*before_).ok());
    }
  }

 private:
  std::optional<CpuTarget> before_;
};

}  // namespace ecq
