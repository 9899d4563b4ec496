// Result, Status and the macros that pass errors on.
#include "ecq/base/result.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

namespace ecq {
namespace {

Result<int> Half(int n) {
  if (n % 2 != 0) return Error{ErrorCode::kInvalidArgument, std::to_string(n) + " is odd"};
  return n / 2;
}

Result<int> Quarter(int n) {
  ECQ_TRY(const int half, Half(n));
  ECQ_TRY(const int quarter, Half(half));
  return quarter;
}

Status CheckQuarter(int n) {
  ECQ_RETURN_IF_ERROR(Quarter(n));
  return OkStatus();
}

TEST(ResultTest, HoldsAValueOrAnError) {
  EXPECT_TRUE(Half(4).ok());
  EXPECT_EQ(*Half(4), 2);
  const Result<int> odd = Half(3);
  ASSERT_FALSE(odd);
  EXPECT_EQ(odd.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(odd.error().message, "3 is odd");
}

TEST(ResultTest, MacrosPassTheFirstErrorOn) {
  EXPECT_EQ(Quarter(12).value(), 3);
  EXPECT_EQ(Quarter(7).error().message, "7 is odd");
  EXPECT_EQ(Quarter(6).error().message, "3 is odd");
  EXPECT_TRUE(CheckQuarter(8).ok());
  EXPECT_EQ(CheckQuarter(6).error().message, "3 is odd");
}

TEST(ResultTest, CarriesMoveOnlyValues) {
  Result<std::unique_ptr<int>> result = std::make_unique<int>(5);
  const std::unique_ptr<int> value = std::move(result).value();
  EXPECT_EQ(*value, 5);
  Result<std::vector<int>> list = std::vector<int>{1, 2};
  list->push_back(3);
  EXPECT_EQ((*list).size(), 3u);
}

TEST(ResultDeathTest, WrongAccessAborts) {
  const Result<int> odd = Half(3);
  EXPECT_DEATH(static_cast<void>(odd.value()), "wrong state");
  EXPECT_DEATH(static_cast<void>(Half(2).error()), "wrong state");
}

TEST(ErrorCodeTest, EveryCodeHasANameOfItsOwn) {
  std::set<std::string> names;
  int count = 0;
  for (int code = 0; code < 100; ++code) {
    const std::string name = ErrorCodeName(static_cast<ErrorCode>(code));
    if (name == "unknown error") continue;
    ++count;
    EXPECT_TRUE(names.insert(name).second) << name;
  }
  EXPECT_EQ(count, 19);
}

}  // namespace
}  // namespace ecq
