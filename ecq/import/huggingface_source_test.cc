// Hugging Face directories: one file, shards, side files, and directories that lie.
#include "ecq/import/huggingface_source.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "ecq/import/import_test_util.h"

namespace ecq {
namespace {

using import_test::ByteWriter;
using import_test::FindSideFile;
using import_test::ReadTensor;
using import_test::TempDir;

// A safetensors file with one F32 tensor of `values`.
std::vector<uint8_t> OneTensorFile(const std::string& name, const std::vector<float>& values) {
  ByteWriter w;
  w.PutString(fmt::format(R"({{"{}":{{"dtype":"F32","shape":[{}],"data_offsets":[0,{}]}}}})", name,
                          values.size(), values.size() * sizeof(float)));
  for (const float value : values) w.Put(value);
  return w.bytes();
}

ErrorCode ErrorOf(const TempDir& dir) {
  const auto source = OpenModelSource(dir.path());
  EXPECT_FALSE(source.ok());
  return source.ok() ? ErrorCode::kInternal : source.error().code;
}

TEST(HuggingFaceSourceTest, ReadsOneFile) {
  const TempDir dir;
  dir.Write("config.json", R"({"model_type":"llama"})");
  dir.Write("tokenizer.json", "{}");
  dir.Write("chat_template.jinja", "{{ x }}");
  dir.Write("tokenizer.model", std::string_view("\x0a\x00\xff", 3));
  dir.Write("unrelated.txt", "x");
  ByteWriter w;
  w.PutString(R"({"b":{"dtype":"BF16","shape":[2],"data_offsets":[1,5]},)"
              R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})");
  w.Put<uint8_t>(7).Put<uint16_t>(0x3f80).Put<uint16_t>(0xc000);
  dir.Write("model.safetensors", w.bytes());
  const auto opened = OpenModelSource(dir.path());
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  const ModelSource& source = **opened;
  EXPECT_EQ(source.kind(), "huggingface");
  ASSERT_EQ(source.tensors().size(), 2u);
  EXPECT_EQ(source.tensors()[1].name, "b");
  EXPECT_EQ(source.tensors()[1].source_type, "BF16");
  EXPECT_EQ(source.tensors()[1].source_bytes, 4u);
  EXPECT_EQ(ReadTensor(source, "b"), (std::vector<float>{1, -2}));
  EXPECT_EQ(*FindSideFile(source, "config.json"), R"({"model_type":"llama"})");
  EXPECT_EQ(*FindSideFile(source, "chat_template.jinja"), "{{ x }}");
  EXPECT_EQ(source.side_files().size(), 3u);
  std::vector<float> one(1);
  const Status integers = source.ReadF32(0, one);
  ASSERT_FALSE(integers.ok());
  EXPECT_EQ(integers.error().code, ErrorCode::kUnsupportedType);
  EXPECT_FALSE(source.ReadF32(1, one).ok());
  EXPECT_FALSE(source.ReadF32(2, one).ok());
}

TEST(HuggingFaceSourceTest, PresentsGpt2LikeEveryOtherModel) {
  const TempDir dir;
  ByteWriter w;
  w.PutString(R"({"h.0.attn.c_attn.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
              R"("h.0.attn.bias":{"dtype":"F32","shape":[1,1,1,1],"data_offsets":[24,28]},)"
              R"("wte.weight":{"dtype":"F32","shape":[1,2],"data_offsets":[28,36]}})");
  for (const float value : {1, 2, 3, 4, 5, 6, 7, 8, 9}) w.Put(value);
  dir.Write("model.safetensors", w.bytes());
  dir.Write("config.json", R"({"architectures":["GPT2LMHeadModel"]})");
  const auto gpt2 = OpenModelSource(dir.path());
  ASSERT_TRUE(gpt2.ok()) << gpt2.error().message;
  ASSERT_EQ((*gpt2)->tensors().size(), 2u) << "without the causal mask";
  EXPECT_EQ((*gpt2)->tensors()[0].shape, (Shape{3, 2}));
  EXPECT_EQ(ReadTensor(**gpt2, "h.0.attn.c_attn.weight"), (std::vector<float>{1, 4, 2, 5, 3, 6}));
  EXPECT_EQ(ReadTensor(**gpt2, "wte.weight"), (std::vector<float>{8, 9}));

  dir.Write("config.json", R"({"architectures":["OtherModel"]})");
  const auto other = OpenModelSource(dir.path());
  ASSERT_TRUE(other.ok()) << other.error().message;
  EXPECT_EQ((*other)->tensors().size(), 3u);
  EXPECT_EQ((*other)->tensors()[0].shape, (Shape{2, 3}));
}

TEST(HuggingFaceSourceTest, LeavesOutListsOfPositions) {
  const TempDir dir;
  dir.Write("config.json", R"({"architectures":["BertModel"]})");
  ByteWriter w;
  w.PutString(R"({"embeddings.position_ids":{"dtype":"I64","shape":[1,1],"data_offsets":[0,8]},)"
              R"("x":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}})");
  w.Put<uint64_t>(0).Put<float>(5);
  dir.Write("model.safetensors", w.bytes());
  const auto source = OpenModelSource(dir.path());
  ASSERT_TRUE(source.ok()) << source.error().message;
  ASSERT_EQ((*source)->tensors().size(), 1u);
  EXPECT_EQ(ReadTensor(**source, "x"), std::vector<float>{5});
}

TEST(HuggingFaceSourceTest, ReadsShards) {
  const TempDir dir;
  dir.Write("config.json", "{}");
  dir.Write("s1.safetensors", OneTensorFile("x", {1, 2}));
  dir.Write("s2.safetensors", OneTensorFile("y", {3}));
  dir.Write("model.safetensors.index.json",
            R"({"metadata":{},"weight_map":{"y":"s2.safetensors","x":"s1.safetensors"}})");
  const auto opened = OpenModelSource(dir.path());
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_EQ((*opened)->weight_paths().size(), 2u);
  EXPECT_EQ(ReadTensor(**opened, "x"), (std::vector<float>{1, 2}));
  EXPECT_EQ(ReadTensor(**opened, "y"), (std::vector<float>{3}));
}

TEST(HuggingFaceSourceTest, MissingFiles) {
  const TempDir dir;
  const auto source = OpenModelSource(dir.path());
  ASSERT_FALSE(source.ok());
  EXPECT_EQ(source.error().code, ErrorCode::kNotFound);
  EXPECT_NE(source.error().message.find("no config.json"), std::string::npos);
  dir.Write("config.json", "{}");
  EXPECT_EQ(ErrorOf(dir), ErrorCode::kNotFound);
  dir.Write("model.safetensors.index.json", R"({"weight_map":{"x":"s.safetensors"}})");
  EXPECT_EQ(ErrorOf(dir), ErrorCode::kNotFound);
}

TEST(HuggingFaceSourceTest, BadConfigs) {
  const TempDir dir;
  dir.Write("model.safetensors", OneTensorFile("x", {1}));
  for (const std::string_view text :
       {std::string_view(""), std::string_view("[]"), std::string_view("{"),
        std::string_view("{}{}"), std::string_view("{\"a\":\"\xff\"}"),
        std::string_view("{\"a\":1,\"a\":2}"), std::string_view("{\"b\":{\"a\":1,\"a\":2}}"),
        std::string_view("{}\0{}", 5)}) {
    dir.Write("config.json", text);
    EXPECT_EQ(ErrorOf(dir), ErrorCode::kBadHeader) << text;
  }
  dir.Write("config.json", std::string(100000, '['));
  EXPECT_EQ(ErrorOf(dir), ErrorCode::kBadHeader);
  dir.Write("config.json", R"({"quantization_config":{"quant_method":"fp8"}})");
  EXPECT_EQ(ErrorOf(dir), ErrorCode::kUnsupportedType);
}

TEST(HuggingFaceSourceTest, IndexMustStayInTheDirectory) {
  const TempDir outer;
  outer.Write("s.safetensors", OneTensorFile("x", {1}));
  std::filesystem::create_directory(outer.path() / "model");
  const auto write = [&](const std::string& shard) {
    outer.Write("model/config.json", "{}");
    outer.Write("model/model.safetensors.index.json",
                fmt::format(R"({{"weight_map":{{"x":"{}"}}}})", shard));
  };
  const std::string absolute = (outer.path() / "s.safetensors").string();
  for (const std::string& shard :
       {std::string("../s.safetensors"), absolute, std::string("a/../../s.safetensors"),
        std::string("..\\\\s.safetensors"), std::string("s.safetensors\\u0000.safetensors"),
        std::string("config.json"), std::string(".."), std::string(""),
        std::string(".safetensors")}) {
    write(shard);
    const auto source = OpenModelSource(outer.path() / "model");
    ASSERT_FALSE(source.ok()) << shard;
    EXPECT_EQ(source.error().code, ErrorCode::kBadLayout) << source.error().message;
  }
}

TEST(HuggingFaceSourceTest, IndexMustAgreeWithTheShards) {
  const TempDir dir;
  dir.Write("config.json", "{}");
  dir.Write("s.safetensors", OneTensorFile("x", {1}));
  const auto with_index = [&](std::string_view text) {
    dir.Write("model.safetensors.index.json", text);
    return ErrorOf(dir);
  };
  EXPECT_EQ(with_index(R"({"weight_map":{"x":"s.safetensors","y":"s.safetensors"}})"),
            ErrorCode::kBadLayout);
  EXPECT_EQ(with_index(R"({"weight_map":{"y":"s.safetensors"}})"), ErrorCode::kBadLayout);
  EXPECT_EQ(with_index(R"({"weight_map":{"x":"s.safetensors","x":"s.safetensors"}})"),
            ErrorCode::kBadHeader);
  EXPECT_EQ(with_index(R"({"weight_map":{}})"), ErrorCode::kBadHeader);
  EXPECT_EQ(with_index(R"({"weight_map":{"x":1}})"), ErrorCode::kBadHeader);
  EXPECT_EQ(with_index(R"({})"), ErrorCode::kBadHeader);
}

TEST(HuggingFaceSourceTest, IndexedTensorUnderAnotherShardsNameIsRefused) {
  const TempDir dir;
  dir.Write("config.json", "{}");
  dir.Write("a.safetensors", OneTensorFile("x", {1}));
  dir.Write("b.safetensors", OneTensorFile("x", {2}));
  dir.Write("model.safetensors.index.json",
            R"({"weight_map":{"x":"a.safetensors","y":"b.safetensors"}})");
  EXPECT_EQ(ErrorOf(dir), ErrorCode::kBadLayout);
}

}  // namespace
}  // namespace ecq
