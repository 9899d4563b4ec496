// Text that is refused, and the windows that are cut from what is not.
#include "ecq/calibrate/calibration_text.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>

namespace ecq {
namespace {

namespace fs = std::filesystem;

// A token for each byte.
class ByteTokenizer final : public Tokenizer {
 public:
  explicit ByteTokenizer(SpecialIds special = {}) : Tokenizer(std::move(special)) {}

  std::vector<uint32_t> Encode(std::string_view text, bool /*parse_special*/) const override {
    std::vector<uint32_t> ids;
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  std::string DecodePiece(uint32_t id, bool /*is_first*/) const override {
    return std::string(1, static_cast<char>(id));
  }
  size_t vocab_size() const override { return 257; }
};

constexpr uint32_t kBos = 256;

// Text of n bytes in which every window of 64 bytes names its place.
std::string Numbered(size_t n) {
  std::string text;
  for (size_t i = 0; text.size() < n; ++i) {
    const std::string number = std::to_string(i);
    text += number + std::string(64 - number.size(), '.');
  }
  text.resize(n);
  return text;
}

size_t NumTokens(const std::vector<TokenWindow>& windows) {
  size_t n = 0;
  for (const TokenWindow& window : windows) n += window.size();
  return n;
}

TEST(MakeCalibrationWindows, TakesAllOfAShortText) {
  const auto windows = MakeCalibrationWindows(ByteTokenizer(), Numbered(3000), {4000, 1024});
  ASSERT_TRUE(windows.ok()) << windows.error().message;
  ASSERT_EQ(windows->size(), 3u);
  EXPECT_EQ(NumTokens(*windows), 3000u);
  EXPECT_EQ(windows->back().size(), 3000u - 2048);
}

TEST(MakeCalibrationWindows, SpreadsOverALongTextAndCutsTheLastOne) {
  const std::string text = Numbered(100 * 128);
  const auto windows = MakeCalibrationWindows(ByteTokenizer(), text, {2048 + 70, 128});
  ASSERT_TRUE(windows.ok());
  ASSERT_EQ(windows->size(), 17u);
  EXPECT_EQ(NumTokens(*windows), 2048u + 70);
  EXPECT_EQ(windows->back().size(), 70u);
  for (size_t i = 0; i < windows->size(); ++i) {
    const std::string place = std::to_string(i * 100 / 17 * 2) + ".";
    const TokenWindow& window = (*windows)[i];
    EXPECT_EQ(std::string(window.begin(), window.begin() + static_cast<ptrdiff_t>(place.size())),
              place);
  }
  const auto whole = MakeCalibrationWindows(ByteTokenizer(), text, {2048 + 63, 128});
  EXPECT_EQ(NumTokens(*whole), 2048u) << "a window of 63 tokens is left out";
}

TEST(MakeCalibrationWindows, LeavesOutALastWindowThatIsTooShort) {
  EXPECT_EQ(NumTokens(*MakeCalibrationWindows(ByteTokenizer(), Numbered(2048 + 63), {9999, 512})),
            2048u);
  EXPECT_EQ(NumTokens(*MakeCalibrationWindows(ByteTokenizer(), Numbered(2048 + 64), {9999, 512})),
            2048u + 64);
}

TEST(MakeCalibrationWindows, StartsWithTheBeginTokenIfTheModelExpectsIt) {
  const std::string text = Numbered(3000);
  const ByteTokenizer expects({.bos = kBos, .eos = {}, .add_bos = true});
  const auto windows = MakeCalibrationWindows(expects, text, {9999, 1000});
  ASSERT_TRUE(windows.ok());
  ASSERT_EQ(windows->size(), 3u) << "the fourth, of 3 tokens of text, is too short";
  for (const TokenWindow& window : *windows) {
    EXPECT_EQ(window.size(), 1000u);
    EXPECT_EQ(window.front(), kBos);
  }
  const ByteTokenizer has({.bos = kBos, .eos = {}, .add_bos = false});
  EXPECT_NE(MakeCalibrationWindows(has, text, {9999, 1000})->front().front(), kBos);
}

void ExpectRefused(std::string_view text, const CalibrationWindowOptions& options,
                   std::string_view part) {
  const auto windows = MakeCalibrationWindows(ByteTokenizer(), text, options);
  ASSERT_FALSE(windows.ok()) << part;
  EXPECT_EQ(windows.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(windows.error().message.find(part), std::string::npos) << windows.error().message;
}

TEST(MakeCalibrationWindows, RefusesTooLittle) {
  ExpectRefused("", {}, "empty");
  ExpectRefused(Numbered(2047), {}, "2047 tokens, at least 2048");
  ExpectRefused(Numbered(4000), {2047, 1024}, "2047");
  ExpectRefused(Numbered(4000), {4000, 63}, "63");
  ExpectRefused(Numbered(4000), {4000, 0}, "windows of 0");
}

TEST(CheckCalibrationText, NamesTheByteThatIsNoText) {
  const std::string good = "caf\xc3\xa9\t\r\n ";
  EXPECT_TRUE(CheckCalibrationText(good, "x").ok());
  const auto expect = [&](std::string_view bad, std::string_view part) {
    const Status status = CheckCalibrationText(good + std::string(bad) + " more", "some.txt");
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(status.error().message.rfind("some.txt: ", 0), 0u);
    EXPECT_NE(status.error().message.find(part), std::string::npos) << status.error().message;
  };
  expect("ab\xff", "byte 11 (0xff) is not UTF-8");
  expect("\xc3", "byte 9 (0xc3) is not UTF-8");
  expect("\xed\xa0\x80", "byte 9 (0xed) is not UTF-8");
  expect(std::string_view("\0", 1), "byte 9 is 0x00");
  expect("\x01\xff", "byte 9 is 0x01");
  expect("\x7f", "byte 9 is 0x7f");
  expect(std::string_view("\xff\0", 2), "byte 9 (0xff) is not UTF-8");
}

TEST(DefaultCalibrationText, IsTextOfMixedDomains) {
  const std::string_view text = DefaultCalibrationText();
  EXPECT_TRUE(CheckCalibrationText(text, "default").ok());
  ASSERT_GT(text.size(), 600'000u);
  for (size_t begin = 0; begin + 40'000 <= text.size(); begin += 40'000) {
    const std::string_view part = text.substr(begin, 40'000);
    EXPECT_NE(part.find("return "), part.npos) << begin;
    EXPECT_NE(part.find("thou"), part.npos) << begin;
    EXPECT_NE(part.find(" was "), part.npos) << begin;
  }
  std::ifstream file(ECQ_SOURCE_DIR "/data/calibration.txt", std::ios::binary);
  const std::string expected((std::istreambuf_iterator<char>(file)), {});
  EXPECT_TRUE(text == expected);
}

class ReadCalibrationTextTest : public testing::Test {
 protected:
  ReadCalibrationTextTest() {
    std::string name = (fs::temp_directory_path() / "ecq-text-XXXXXX").string();
    dir_ = ::mkdtemp(name.data());
  }
  ~ReadCalibrationTextTest() override { fs::remove_all(dir_); }

  void Write(const std::string& name, std::string_view text) {
    std::ofstream(dir_ / name, std::ios::binary) << text;
  }

  fs::path dir_;
};

TEST_F(ReadCalibrationTextTest, ReadsAFile) {
  Write("a.md", "Some text.");
  EXPECT_EQ(*ReadCalibrationText(dir_ / "a.md"), "Some text.");
}

TEST_F(ReadCalibrationTextTest, ReadsTheTextFilesOfADirectoryInOrder) {
  Write("b.txt", "second");
  Write("a.txt", "first");
  Write("c.md", "\xff");
  fs::create_directory(dir_ / "d.txt");
  fs::create_symlink("nowhere", dir_ / "e.txt");
  EXPECT_EQ(*ReadCalibrationText(dir_), "first\nsecond");
}

TEST_F(ReadCalibrationTextTest, RefusesWhatIsNoText) {
  EXPECT_EQ(ReadCalibrationText(dir_ / "none").error().code, ErrorCode::kNotFound);
  const auto no_files = ReadCalibrationText(dir_);
  EXPECT_EQ(no_files.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(no_files.error().message.find("*.txt"), std::string::npos);
  Write("a.txt", "fine");
  Write("b.txt", "bad \xfe");
  const Error error = ReadCalibrationText(dir_).error();
  EXPECT_NE(error.message.find("b.txt: "), std::string::npos) << error.message;
  EXPECT_NE(error.message.find("byte 4"), std::string::npos) << error.message;
  Write("b.txt", "");
  EXPECT_NE(ReadCalibrationText(dir_).error().message.find("empty"), std::string::npos);
}

TEST_F(ReadCalibrationTextTest, RefusesMoreThanItNeeds) {
  Write("a.txt", "some");
  Write("b.txt", "");
  fs::resize_file(dir_ / "b.txt", kMaxCalibrationBytes);
  const Error error = ReadCalibrationText(dir_).error();
  EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
  EXPECT_NE(error.message.find("64 MiB"), std::string::npos) << error.message;
  Write("a.txt", std::string(kMaxCalibrationBytes, 'a'));
  Write("b.txt", "one more");
  EXPECT_NE(ReadCalibrationText(dir_).error().message.find("64 MiB"), std::string::npos);
}

}  // namespace
}  // namespace ecq
