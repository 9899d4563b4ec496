// SHA-256 against the vectors of FIPS 180-4.
#include "ecq/format/sha256.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string_view>

namespace ecq {
namespace {

constexpr std::string_view kAbc =
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr std::string_view kMillionA =
    "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

std::span<const uint8_t> Bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

TEST(Sha256Test, KnownDigests) {
  EXPECT_EQ(Sha256Hex({}), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256Hex(Bytes("abc")), kAbc);
  Sha256 pieces;
  const std::string thousand(1000, 'a');
  for (int i = 0; i < 1000; ++i) pieces.Update(Bytes(thousand));
  EXPECT_EQ(pieces.HexDigest(), kMillionA);
}

TEST(Sha256Test, FilesAndTheirErrors) {
  const auto path =
      std::filesystem::temp_directory_path() /
      ("ecq-sha256-" + std::to_string(::testing::UnitTest::GetInstance()->random_seed()));
  std::ofstream(path) << std::string(1'000'000, 'a');
  const auto digest = Sha256OfFile(path);
  ASSERT_TRUE(digest.ok());
  EXPECT_EQ(*digest, kMillionA);
  std::filesystem::remove(path);
  EXPECT_EQ(Sha256OfFile(path).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(Sha256OfFile("/").error().code, ErrorCode::kIo);
}

}  // namespace
}  // namespace ecq
