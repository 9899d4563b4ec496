// llama2.c checkpoints: the stories260K model and synthetic files, and how paths are told apart.
#include "ecq/import/llama2c_source.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "ecq/import/import_test_util.h"

namespace ecq {
namespace {

using import_test::ByteWriter;
using import_test::FindSideFile;
using import_test::ReadBytes;
using import_test::ReadTensor;
using import_test::TempDir;
using Json = nlohmann::json;

const std::filesystem::path& Stories() {
  static const std::filesystem::path path =
      std::filesystem::path(ECQ_SOURCE_DIR) / "data/models/stories260K/stories260K.bin";
  return path;
}

TEST(Llama2cSourceTest, ReadsStories260K) {
  const auto opened = OpenModelSource(Stories());
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  const ModelSource& source = **opened;
  EXPECT_EQ(source.kind(), "llama2.c");
  EXPECT_EQ(source.tensors().size(), 2u + 5 * 9);
  EXPECT_EQ(source.tensors()[0].shape, (Shape{512, 64}));
  const Json config = Json::parse(*FindSideFile(source, "config.json"));
  EXPECT_EQ(config["hidden_size"], 64);
  EXPECT_EQ(config["intermediate_size"], 172);
  EXPECT_EQ(config["num_hidden_layers"], 5);
  EXPECT_EQ(config["num_attention_heads"], 8);
  EXPECT_EQ(config["num_key_value_heads"], 4);
  EXPECT_EQ(config["max_position_embeddings"], 512);
  EXPECT_EQ(config["tie_word_embeddings"], true);
  const Json pieces = Json::parse(*FindSideFile(source, "sentencepiece.json"))["pieces"];
  ASSERT_EQ(pieces.size(), 512u);
  EXPECT_EQ(pieces[0], Json::parse(R"(["<unk>", 0, 2])"));
  EXPECT_EQ(pieces[1], Json::parse(R"(["<s>", 0, 3])"));
  EXPECT_EQ(pieces[2], Json::parse(R"(["</s>", 0, 3])"));
  EXPECT_EQ(pieces[3 + 255][0], "<0xFF>");
  EXPECT_EQ(pieces[3 + 255][2], 6);
  EXPECT_EQ(pieces[259][0], "\u2581t");
}

TEST(Llama2cSourceTest, Stories260KWeightsAreWhereTheyBelong) {
  const auto opened = OpenModelSource(Stories());
  ASSERT_TRUE(opened.ok());
  const auto bytes = ReadBytes(Stories());
  const auto at = [&](uint64_t index) { return LoadLe<float>(bytes.data() + 28 + 4 * index); };
  constexpr uint64_t kWq = 512 * 64 + 5 * 64;
  // Layer 1, head 0: half-split row 1 is stored as row 2, row 4 (of 8) as row 1.
  const auto q = ReadTensor(**opened, "model.layers.1.self_attn.q_proj.weight");
  EXPECT_EQ(q[1 * 64 + 5], at(kWq + 64 * 64 + 2 * 64 + 5));
  EXPECT_EQ(q[4 * 64 + 5], at(kWq + 64 * 64 + 1 * 64 + 5));
  constexpr uint64_t kWv = kWq + 5 * 64 * 64 + 5 * 32 * 64;
  const auto v = ReadTensor(**opened, "model.layers.2.self_attn.v_proj.weight");
  EXPECT_EQ(v[9 * 64 + 3], at(kWv + 2 * 32 * 64 + 9 * 64 + 3));
  constexpr uint64_t kFinalNorm = kWv + 5 * 32 * 64 + 5 * 64 * 64 + 5 * 64 + 3 * 5 * 172 * 64;
  EXPECT_EQ(ReadTensor(**opened, "model.norm.weight")[63], at(kFinalNorm + 63));
  // The norm weights of a trained model are positive and of the order of one.
  for (const float w : ReadTensor(**opened, "model.norm.weight")) {
    EXPECT_GT(w, 0.1f);
    EXPECT_LT(w, 20.0f);
  }
}

// dim 4, hidden 3, 2 layers, 2 heads of 2, 1 kv head, vocab 3, context 5.
constexpr size_t kSmallFloats = 3 * 4 + 2 * (4 + 16 + 8 + 8 + 16 + 4 + 3 * 12) + 4 + 2 * 5;

std::vector<uint8_t> SmallModel(int32_t vocab, size_t floats) {
  ByteWriter w;
  for (const int32_t v : {4, 3, 2, 2, 1, vocab, 5}) w.Put(v);
  for (size_t i = 0; i < floats; ++i) w.Put(static_cast<float>(i));
  return w.bytes();
}

ByteWriter SmallTokenizer() {
  ByteWriter w;
  w.Put<int32_t>(5);
  for (const char* piece : {"<unk>", "\n<s>\n", "\n</s>\n"}) {
    w.Put(0.0f).Put(static_cast<int32_t>(std::strlen(piece))).PutText(piece);
  }
  return w;
}

TEST(Llama2cSourceTest, SeparateClassifierIsTheLastTensor) {
  const TempDir dir;
  dir.Write("tokenizer.bin", SmallTokenizer().bytes());
  const auto opened = OpenModelSource(dir.Write("m", SmallModel(-3, kSmallFloats + 12)));
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_EQ((*opened)->tensors().back().name, "lm_head.weight");
  EXPECT_EQ(ReadTensor(**opened, "lm_head.weight")[0], static_cast<float>(kSmallFloats));
  EXPECT_EQ(Json::parse(*FindSideFile(**opened, "config.json"))["tie_word_embeddings"], false);
}

TEST(Llama2cSourceTest, EveryWrongSizeIsAnError) {
  const TempDir dir;
  dir.Write("tok3.bin", SmallTokenizer().bytes());
  auto bytes = SmallModel(3, kSmallFloats);
  ASSERT_TRUE(OpenModelSource(dir.Write("m", bytes)).ok());
  bytes.push_back(0);
  const auto longer = OpenModelSource(dir.Write("m", bytes));
  ASSERT_FALSE(longer.ok());
  EXPECT_EQ(longer.error().code, ErrorCode::kBadLayout);
  EXPECT_NE(longer.error().message.find("expected 868 bytes"), std::string::npos)
      << longer.error().message;
  for (size_t size = bytes.size() - 1; size-- > 0;) {
    std::filesystem::resize_file(dir.path() / "m", size);
    const auto shorter = OpenModelSource(dir.path() / "m");
    ASSERT_FALSE(shorter.ok()) << size;
    const bool has_header = size >= 28;
    EXPECT_EQ(shorter.error().code,
              has_header || size == 0 ? ErrorCode::kTruncated : ErrorCode::kBadMagic)
        << size;
  }
}

TEST(Llama2cSourceTest, TokenizerIsCheckedToTheByte) {
  const TempDir dir;
  const auto model = dir.Write("m", SmallModel(3, kSmallFloats));
  const auto none = OpenModelSource(model);
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().code, ErrorCode::kNotFound);
  const auto whole = SmallTokenizer().bytes();
  for (size_t n = 0; n < whole.size(); ++n) {
    dir.Write("tok3.bin",
              std::vector<uint8_t>(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(n)));
    const auto cut = OpenModelSource(model);
    ASSERT_FALSE(cut.ok()) << n;
    EXPECT_EQ(cut.error().code, ErrorCode::kTruncated) << n;
  }
  const auto code_with = [&](const std::vector<uint8_t>& tokenizer) {
    dir.Write("tok3.bin", tokenizer);
    const auto opened = OpenModelSource(model);
    return opened.ok() ? ErrorCode::kInternal : opened.error().code;
  };
  EXPECT_EQ(code_with(SmallTokenizer().Put<uint8_t>(0).bytes()), ErrorCode::kBadLayout);
  EXPECT_EQ(code_with(ByteWriter().Put<int32_t>(1).Put(0.0f).Put<int32_t>(-1).bytes()),
            ErrorCode::kBadHeader);
  EXPECT_EQ(
      code_with(ByteWriter().Put<int32_t>(1).Put(0.0f).Put<int32_t>(1).PutText("\xff").bytes()),
      ErrorCode::kBadHeader);
  EXPECT_EQ(code_with(ByteWriter()
                          .Put<int32_t>(1)
                          .Put(std::numeric_limits<float>::quiet_NaN())
                          .Put<int32_t>(1)
                          .PutText("a")
                          .bytes()),
            ErrorCode::kBadHeader);
  EXPECT_EQ(
      code_with(
          ByteWriter().Put<int32_t>(1).Put(0.0f).Put(std::numeric_limits<int32_t>::max()).bytes()),
      ErrorCode::kTruncated);
}

TEST(Llama2cHeaderTest, RefusesImplausibleSizes) {
  const auto parse = [](const std::vector<int32_t>& header) {
    ByteWriter w;
    for (const int32_t v : header) w.Put(v);
    return ParseLlama2cHeader(w.bytes());
  };
  EXPECT_TRUE(parse({4, 3, 2, 2, 1, 3, 5}));
  EXPECT_TRUE(parse({4, 3, 2, 2, 1, -3, 5})->separate_classifier);
  EXPECT_FALSE(parse({4, 3, 2, 2, 1, 3}));
  const int32_t min = std::numeric_limits<int32_t>::min();
  for (size_t i = 0; i < 7; ++i) {
    for (const int32_t bad : {0, -1, min, min + 1, 1 << 22}) {
      std::vector<int32_t> header{4, 3, 2, 2, 1, 3, 5};
      header[i] = bad;
      if (i == 5 && bad == -1) continue;
      EXPECT_FALSE(parse(header)) << i << " " << bad;
    }
  }
  EXPECT_FALSE(parse({4, 3, 4097, 2, 1, 3, 5}));
  EXPECT_FALSE(parse({5, 3, 2, 2, 1, 3, 5}));
  EXPECT_FALSE(parse({6, 3, 2, 2, 1, 3, 5}));
  EXPECT_FALSE(parse({8, 3, 2, 4, 3, 3, 5}));
}

TEST(OpenModelSourceTest, TellsWhatAPathIsByItsContent) {
  const TempDir dir;
  const auto code = [](const std::filesystem::path& path) {
    const auto source = OpenModelSource(path);
    return source.ok() ? ErrorCode::kInternal : source.error().code;
  };
  EXPECT_EQ(code(dir.path() / "absent"), ErrorCode::kNotFound);
  EXPECT_EQ(code(dir.Write("empty.gguf", "")), ErrorCode::kTruncated);
  EXPECT_EQ(code(dir.Write("text.gguf", "This is not a model, whatever its name says.")),
            ErrorCode::kBadMagic);
  EXPECT_EQ(code(dir.Write("gguf.txt", "GGUF")), ErrorCode::kTruncated);
  EXPECT_EQ(code(dir.Write("x.safetensors", ByteWriter().PutString("{}").bytes())),
            ErrorCode::kBadMagic);
  EXPECT_EQ(code(dir.Write("v1.bin", ByteWriter().Put<uint32_t>(0x616b3432).bytes())),
            ErrorCode::kUnsupportedVersion);
  EXPECT_EQ(code("/dev/null"), ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace ecq
