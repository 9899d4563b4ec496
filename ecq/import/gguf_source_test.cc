// GGUF models: names, layout, config.json and tokenizer files.
#include "ecq/import/gguf_source.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>

#include "ecq/import/gguf_names.h"
#include "ecq/import/import_test_util.h"

namespace ecq {
namespace {

using import_test::FindSideFile;
using import_test::GgufBuilder;
using import_test::ReadTensor;
using import_test::TempDir;
using Json = nlohmann::json;

constexpr uint64_t kHidden = 8;
constexpr uint64_t kHeads = 2;  // of 4
constexpr uint64_t kKvHeads = 1;
constexpr uint64_t kFfn = 6;
constexpr uint64_t kVocab = 5;

std::vector<float> Ramp(size_t n, float first) {
  std::vector<float> values(n);
  std::iota(values.begin(), values.end(), first);
  return values;
}

GgufBuilder Keys(const std::string& arch) {
  GgufBuilder b;
  b.String("general.architecture", arch)
      .U32(arch + ".block_count", 1)
      .U32(arch + ".context_length", 128)
      .U32(arch + ".embedding_length", kHidden)
      .U32(arch + ".feed_forward_length", kFfn)
      .U32(arch + ".attention.head_count", kHeads)
      .U32(arch + ".attention.head_count_kv", kKvHeads)
      .F32(arch + ".attention.layer_norm_rms_epsilon", 1e-6f)
      .F32(arch + ".rope.freq_base", 500000.0f);
  return b;
}

void AddTensors(GgufBuilder& b) {
  const auto matrix = [&](const char* name, uint64_t rows, uint64_t columns, float first) {
    b.TensorF32(name, {columns, rows}, Ramp(rows * columns, first));
  };
  const auto vector = [&](const char* name, uint64_t n, float first) {
    b.TensorF32(name, {n}, Ramp(n, first));
  };
  matrix("token_embd.weight", kVocab, kHidden, 0);
  vector("blk.0.attn_norm.weight", kHidden, 100);
  matrix("blk.0.attn_q.weight", kHidden, kHidden, 200);
  matrix("blk.0.attn_k.weight", kHidden / 2, kHidden, 300);
  matrix("blk.0.attn_v.weight", kHidden / 2, kHidden, 400);
  matrix("blk.0.attn_output.weight", kHidden, kHidden, 500);
  vector("blk.0.ffn_norm.weight", kHidden, 600);
  matrix("blk.0.ffn_gate.weight", kFfn, kHidden, 700);
  matrix("blk.0.ffn_up.weight", kFfn, kHidden, 800);
  matrix("blk.0.ffn_down.weight", kHidden, kFfn, 900);
  vector("output_norm.weight", kHidden, 1000);
}

void AddBpe(GgufBuilder& b, const std::string& pre) {
  b.String("tokenizer.ggml.model", "gpt2")
      .String("tokenizer.ggml.pre", pre)
      .Strings("tokenizer.ggml.tokens", {"<|end|>", "a", "b", "ab", "\"<u>"})
      .Ints("tokenizer.ggml.token_type", {3, 1, 1, 1, 4})
      .Strings("tokenizer.ggml.merges", {"a b"})
      .U32("tokenizer.ggml.bos_token_id", 0)
      .U32("tokenizer.ggml.eos_token_id", 0)
      .Bool("tokenizer.ggml.add_bos_token", false)
      .String("tokenizer.chat_template", "{{ messages }}");
}

GgufBuilder Model(const std::string& arch) {
  GgufBuilder b = Keys(arch);
  AddBpe(b, arch == "qwen2" ? "qwen2" : "smollm");
  AddTensors(b);
  return b;
}

Result<std::unique_ptr<ModelSource>> Open(const TempDir& dir, const GgufBuilder& builder) {
  return OpenModelSource(dir.Write("model.bin", builder.Build()));
}

ErrorCode ErrorOf(const GgufBuilder& builder) {
  const TempDir dir;
  const auto source = Open(dir, builder);
  EXPECT_FALSE(source.ok());
  return source.ok() ? ErrorCode::kInternal : source.error().code;
}

// Rows `order` of the matrix with rows of kHidden values that starts at `first`.
std::vector<float> Rows(const std::vector<int>& order, float first) {
  std::vector<float> values;
  for (const int row : order) {
    const auto one = Ramp(kHidden, first + static_cast<float>(row * static_cast<int>(kHidden)));
    values.insert(values.end(), one.begin(), one.end());
  }
  return values;
}

TEST(GgufSourceTest, LlamaHasHuggingFaceNamesAndRowOrder) {
  const TempDir dir;
  const auto opened = Open(dir, Model("llama"));
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  const ModelSource& source = **opened;
  EXPECT_EQ(source.kind(), "gguf");
  EXPECT_EQ(source.weight_paths().size(), 1u);
  std::vector<std::string> names;
  for (const SourceTensor& t : source.tensors()) names.push_back(t.name);
  EXPECT_EQ(names,
            (std::vector<std::string>{
                "model.embed_tokens.weight", "model.layers.0.input_layernorm.weight",
                "model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.k_proj.weight",
                "model.layers.0.self_attn.v_proj.weight", "model.layers.0.self_attn.o_proj.weight",
                "model.layers.0.post_attention_layernorm.weight",
                "model.layers.0.mlp.gate_proj.weight", "model.layers.0.mlp.up_proj.weight",
                "model.layers.0.mlp.down_proj.weight", "model.norm.weight"}));
  EXPECT_EQ(source.tensors()[9].shape, (Shape{kHidden, kFfn}));
  EXPECT_EQ(source.tensors()[9].source_type, "F32");
  EXPECT_EQ(source.tensors()[9].source_bytes, kHidden * kFfn * 4);
  EXPECT_EQ(ReadTensor(source, "model.layers.0.self_attn.q_proj.weight"),
            Rows({0, 2, 1, 3, 4, 6, 5, 7}, 200));
  EXPECT_EQ(ReadTensor(source, "model.layers.0.self_attn.k_proj.weight"), Rows({0, 2, 1, 3}, 300));
  EXPECT_EQ(ReadTensor(source, "model.layers.0.self_attn.v_proj.weight"), Rows({0, 1, 2, 3}, 400));
}

TEST(GgufSourceTest, Qwen2KeepsRowsAndHasBiases) {
  const TempDir dir;
  GgufBuilder b = Model("qwen2");
  b.TensorF32("blk.0.attn_q.bias", {kHidden}, Ramp(kHidden, 1))
      .TensorF32("blk.0.attn_k.bias", {kHidden / 2}, Ramp(kHidden / 2, 2))
      .TensorF32("output.weight", {kHidden, kVocab}, Ramp(kHidden * kVocab, 3));
  const auto opened = Open(dir, b);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  const ModelSource& source = **opened;
  EXPECT_EQ(ReadTensor(source, "model.layers.0.self_attn.q_proj.weight"),
            Ramp(kHidden * kHidden, 200));
  EXPECT_EQ(ReadTensor(source, "model.layers.0.self_attn.k_proj.bias"), Ramp(kHidden / 2, 2));
  EXPECT_EQ(ReadTensor(source, "lm_head.weight"), Ramp(kHidden * kVocab, 3));
  const Json config = Json::parse(*FindSideFile(source, "config.json"));
  EXPECT_EQ(config["architectures"], Json::array({"Qwen2ForCausalLM"}));
  EXPECT_EQ(config["tie_word_embeddings"], false);
}

TEST(GgufSourceTest, OnlyQwen3HasHeadNorms) {
  for (const char* arch : {"llama", "qwen2", "qwen3"}) {
    const TempDir dir;
    GgufBuilder b = Model(arch);
    b.TensorF32("blk.0.attn_q_norm.weight", {kHidden / 2}, Ramp(kHidden / 2, 4));
    if (std::string_view(arch) != "qwen3") {
      EXPECT_EQ(ErrorOf(b), ErrorCode::kUnsupportedArchitecture);
      continue;
    }
    const auto opened = Open(dir, b);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    EXPECT_EQ(ReadTensor(**opened, "model.layers.0.self_attn.q_norm.weight"), Ramp(kHidden / 2, 4));
    EXPECT_EQ(ReadTensor(**opened, "model.layers.0.self_attn.q_proj.weight"),
              Ramp(kHidden * kHidden, 200));
    const Json config = Json::parse(*FindSideFile(**opened, "config.json"));
    EXPECT_EQ(config["architectures"], Json::array({"Qwen3ForCausalLM"}));
  }
}

TEST(GgufSourceTest, LlamaBiasesAreReorderedToo) {
  const TempDir dir;
  GgufBuilder b = Model("llama");
  b.TensorF32("blk.0.attn_q.bias", {kHidden}, Ramp(kHidden, 0));
  const auto opened = Open(dir, b);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_EQ(ReadTensor(**opened, "model.layers.0.self_attn.q_proj.bias"),
            (std::vector<float>{0, 2, 1, 3, 4, 6, 5, 7}));
}

TEST(GgufSourceTest, QuantizedRowsAreReorderedAsWholeRows) {
  constexpr uint64_t kWide = 64;  // two heads of 32, two blocks of Q8_0 per row
  GgufBuilder b;
  b.String("general.architecture", "llama")
      .U32("llama.block_count", 1)
      .U32("llama.context_length", 16)
      .U32("llama.embedding_length", kWide)
      .U32("llama.feed_forward_length", kWide)
      .U32("llama.attention.head_count", 2)
      .F32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  AddBpe(b, "gpt-2");
  std::vector<uint8_t> q;
  for (uint64_t row = 0; row < kWide; ++row) {
    for (int block = 0; block < 2; ++block) {
      q.insert(q.end(), {0x00, 0x3c});  // scale 1
      q.insert(q.end(), 32, static_cast<uint8_t>(row));
    }
  }
  b.TensorF32("token_embd.weight", {kWide, kVocab}, Ramp(kWide * kVocab, 0));
  b.Tensor("blk.0.attn_q.weight", {kWide, kWide}, 8, q);
  const TempDir dir;
  const auto opened = Open(dir, b);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  const auto values = ReadTensor(**opened, "model.layers.0.self_attn.q_proj.weight");
  ASSERT_EQ(values.size(), kWide * kWide);
  for (uint64_t head = 0; head < 2; ++head) {
    for (uint64_t i = 0; i < 16; ++i) {
      EXPECT_EQ(values[(32 * head + i) * kWide], static_cast<float>(32 * head + 2 * i));
      EXPECT_EQ(values[(32 * head + 16 + i) * kWide + 63],
                static_cast<float>(32 * head + 2 * i + 1));
    }
  }
}

TEST(GgufSourceTest, WritesConfigJson) {
  const TempDir dir;
  GgufBuilder b = Model("llama");
  b.U32("llama.attention.key_length", 4).U32("tokenizer.ggml.eot_token_id", 4);
  const auto opened = Open(dir, b);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_EQ(Json::parse(*FindSideFile(**opened, "config.json")), Json::parse(R"({
      "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
      "hidden_size": 8, "intermediate_size": 6, "num_hidden_layers": 1, "num_attention_heads": 2,
      "num_key_value_heads": 1, "head_dim": 4, "vocab_size": 5, "max_position_embeddings": 128,
      "rms_norm_eps": 1e-06, "rope_theta": 500000.0, "tie_word_embeddings": true,
      "attention_bias": false, "mlp_bias": false, "bos_token_id": 0, "eos_token_id": [0, 4],
      "torch_dtype": "float32"})"));
}

TEST(GgufSourceTest, WritesTokenizerJson) {
  const TempDir dir;
  const auto opened = Open(dir, Model("llama"));
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  const Json json = Json::parse(*FindSideFile(**opened, "tokenizer.json"));
  EXPECT_EQ(json["model"]["vocab"],
            Json::parse(R"({"<|end|>": 0, "a": 1, "b": 2, "ab": 3, "\"<u>": 4})"));
  EXPECT_EQ(json["model"]["merges"], Json::array({"a b"}));
  EXPECT_EQ(json["pre_tokenizer"]["pretokenizers"][0]["type"], "Digits");
  ASSERT_EQ(json["added_tokens"].size(), 2u);
  EXPECT_EQ(json["added_tokens"][0]["special"], true);
  EXPECT_EQ(json["added_tokens"][1]["special"], false);
  EXPECT_EQ(json["added_tokens"][1]["content"], "\"<u>");
  EXPECT_EQ(json["added_tokens"][1]["id"], 4);
  EXPECT_EQ(Json::parse(*FindSideFile(**opened, "tokenizer_config.json")), Json::parse(R"({
      "add_bos_token": false, "bos_token": "<|end|>", "eos_token": "<|end|>",
      "chat_template": "{{ messages }}"})"));
}

TEST(GgufSourceTest, PreTokenizersOfEachFamily) {
  const auto tokenizer_json = [](const std::string& pre) {
    const TempDir dir;
    GgufBuilder b = Keys("llama");
    AddBpe(b, pre);
    AddTensors(b);
    const auto opened = Open(dir, b);
    EXPECT_TRUE(opened.ok()) << opened.error().message;
    return Json::parse(*FindSideFile(**opened, "tokenizer.json"));
  };
  EXPECT_EQ(tokenizer_json("gpt-2")["pre_tokenizer"]["type"], "ByteLevel");
  EXPECT_EQ(tokenizer_json("default")["pre_tokenizer"]["type"], "ByteLevel");
  const Json qwen = tokenizer_json("qwen2");
  EXPECT_EQ(qwen["normalizer"]["type"], "NFC");
  EXPECT_EQ(qwen["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"],
            R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+)"
            R"([\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)");
  for (const char* name : {"phi-2", "deepseek-r1-qwen", "llama3", "llama-v3", "smaug-bpe", "dbrx",
                           "gpt-4o", "tekken"}) {
    const Json known = tokenizer_json(name);
    EXPECT_TRUE(known["pre_tokenizer"].is_object()) << name;
  }
  const Json llama = tokenizer_json("llama-bpe");
  EXPECT_EQ(llama["model"]["ignore_merges"], true);
  EXPECT_EQ(llama["normalizer"], nullptr);
}

GgufBuilder SentencePieceModel() {
  GgufBuilder b = Keys("llama");
  b.String("tokenizer.ggml.model", "llama")
      .Strings("tokenizer.ggml.tokens", {"<unk>", "<s>", "</s>", "<0x00>", "\u2581a"})
      .Ints("tokenizer.ggml.token_type", {2, 3, 3, 6, 1})
      .Bool("tokenizer.ggml.add_space_prefix", false);
  AddTensors(b);
  return b;
}

TEST(GgufSourceTest, WritesSentencePieceJson) {
  const TempDir dir;
  GgufBuilder b = SentencePieceModel();
  b.Floats("tokenizer.ggml.scores", {0, 0, 0, 0, -1.5f});
  const auto opened = Open(dir, b);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_EQ(FindSideFile(**opened, "tokenizer.json"), nullptr);
  EXPECT_EQ(Json::parse(*FindSideFile(**opened, "sentencepiece.json")), Json::parse(R"({
      "type": "sentencepiece-bpe", "add_bos": true, "bos_id": 1, "eos_id": 2, "unk_id": 0,
      "add_space_prefix": false, "pieces": [["<unk>", 0, 2], ["<s>", 0, 3], ["</s>", 0, 3],
      ["<0x00>", 0, 6], ["\u2581a", -1.5, 1]]})"));
}

TEST(GgufSourceTest, SentencePieceScoresMustBeThereAndFinite) {
  EXPECT_EQ(ErrorOf(SentencePieceModel()), ErrorCode::kBadHeader);
  GgufBuilder b = SentencePieceModel();
  b.Floats("tokenizer.ggml.scores", {0, 0, 0, 0, std::numeric_limits<float>::infinity()});
  EXPECT_EQ(ErrorOf(b), ErrorCode::kBadHeader);
}

TEST(GgufSourceTest, UnknownArchitectureNamesTheKnownOnes) {
  const TempDir dir;
  const auto opened = Open(dir, GgufBuilder().String("general.architecture", "mamba"));
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, ErrorCode::kUnsupportedArchitecture);
  EXPECT_NE(opened.error().message.find("\"mamba\"; ECQ reads llama, qwen2, qwen3"),
            std::string::npos);
  EXPECT_EQ(ErrorOf(GgufBuilder()), ErrorCode::kUnsupportedArchitecture);
}

TEST(GgufSourceTest, UnknownTokenizersAreRefused) {
  GgufBuilder other = Keys("llama");
  other.String("tokenizer.ggml.model", "t5");
  AddTensors(other);
  EXPECT_EQ(ErrorOf(other), ErrorCode::kUnsupportedTokenizer);
  GgufBuilder none = Keys("llama");
  AddTensors(none);
  EXPECT_EQ(ErrorOf(none), ErrorCode::kUnsupportedTokenizer);
  GgufBuilder pre = Keys("llama");
  AddBpe(pre, "bloom");
  AddTensors(pre);
  EXPECT_EQ(ErrorOf(pre), ErrorCode::kUnsupportedTokenizer);
}

struct Change {
  const char* name;
  void (*apply)(GgufBuilder&);
  ErrorCode code;
};

class HostileGgufModelTest : public ::testing::TestWithParam<Change> {};

TEST_P(HostileGgufModelTest, IsRefused) {
  GgufBuilder b = Model("llama");
  GetParam().apply(b);
  EXPECT_EQ(ErrorOf(b), GetParam().code);
}

constexpr ErrorCode kArchitecture = ErrorCode::kUnsupportedArchitecture;

INSTANTIATE_TEST_SUITE_P(
    Changes, HostileGgufModelTest,
    ::testing::Values(
        Change{"UnknownTensor", [](GgufBuilder& b) { b.TensorF32("blk.0.ssm_a", {1}, {1}); },
               kArchitecture},
        Change{"LayerBeyondCount",
               [](GgufBuilder& b) { b.TensorF32("blk.1.attn_norm.weight", {1}, {1}); },
               kArchitecture},
        Change{"PaddedLayerNumber",
               [](GgufBuilder& b) { b.TensorF32("blk.00.attn_norm.weight", {1}, {1}); },
               kArchitecture},
        Change{"Experts", [](GgufBuilder& b) { b.U32("llama.expert_count", 8); }, kArchitecture},
        Change{"PartialRotary", [](GgufBuilder& b) { b.U32("llama.rope.dimension_count", 2); },
               kArchitecture},
        Change{"ValueLength", [](GgufBuilder& b) { b.U32("llama.attention.value_length", 8); },
               kArchitecture},
        Change{"RopeScaling", [](GgufBuilder& b) { b.String("llama.rope.scaling.type", "yarn"); },
               kArchitecture},
        Change{"LongRopeWithoutFactors",
               [](GgufBuilder& b) { b.String("llama.rope.scaling.type", "longrope"); },
               kArchitecture},
        Change{"TwoRopeScalings",
               [](GgufBuilder& b) {
                 b.F32("llama.rope.scaling.factor", 4);
                 b.TensorF32("rope_freqs.weight", {2}, {1, 8});
               },
               kArchitecture},
        Change{"TooManyRopeDivisors",
               [](GgufBuilder& b) {
                 b.TensorF32("rope_freqs.weight", {3}, {1, 8, 8});
               },
               ErrorCode::kBadLayout},
        Change{"RopeDivisorOfZero",
               [](GgufBuilder& b) {
                 b.TensorF32("rope_freqs.weight", {2}, {1, 0});
               },
               ErrorCode::kBadHeader},
        Change{"RopeDivisorsOfPhi3",
               [](GgufBuilder& b) {
                 b.TensorF32("rope_factors_long.weight", {2}, {1, 8});
               },
               kArchitecture},
        Change{"KeyLengthOdd", [](GgufBuilder& b) { b.U32("llama.attention.key_length", 3); },
               ErrorCode::kBadLayout},
        Change{"KeyLengthOfOtherShape",
               [](GgufBuilder& b) { b.U32("llama.attention.key_length", 8); },
               ErrorCode::kBadLayout},
        Change{"Split", [](GgufBuilder& b) { b.U32("split.count", 2); }, ErrorCode::kBadLayout},
        Change{"UnknownTokenIdBeyondVocabulary",
               [](GgufBuilder& b) { b.U32("tokenizer.ggml.unknown_token_id", 5); },
               ErrorCode::kBadHeader}),
    [](const auto& test) { return test.param.name; });

TEST(GgufSourceTest, RopeFrequenciesOfOneAreIgnored) {
  const TempDir dir;
  GgufBuilder b = Model("llama");
  b.TensorF32("rope_freqs.weight", {2}, {1, 1});
  const auto opened = Open(dir, b);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_EQ((*opened)->tensors().size(), 11u);
}

Json ConfigOf(const GgufBuilder& b) {
  const TempDir dir;
  const auto opened = Open(dir, b);
  EXPECT_TRUE(opened.ok()) << opened.error().message;
  return opened.ok() ? Json::parse(*FindSideFile(**opened, "config.json")) : Json();
}

TEST(GgufSourceTest, RopeScalingsReachTheConfig) {
  GgufBuilder linear = Model("qwen2");
  linear.String("qwen2.rope.scaling.type", "linear").F32("qwen2.rope.scaling.factor", 4);
  EXPECT_EQ(ConfigOf(linear)["rope_scaling"],
            Json::parse(R"({"rope_type": "linear", "factor": 4.0})"));
  GgufBuilder old = Model("llama");
  old.F32("llama.rope.scale_linear", 2.5f);
  EXPECT_EQ(ConfigOf(old)["rope_scaling"]["factor"], 2.5);
  GgufBuilder none = Model("llama");
  none.String("llama.rope.scaling.type", "none").F32("llama.rope.scaling.factor", 4);
  EXPECT_FALSE(ConfigOf(none).contains("rope_scaling"));

  GgufBuilder llama3 = Model("llama");
  llama3.TensorF32("rope_freqs.weight", {2}, {1, 8});
  const Json config = ConfigOf(llama3);
  EXPECT_EQ(config["rope_scaling"],
            Json::parse(
                R"({"type": "longrope", "short_factor": [1.0, 8.0], "long_factor": [1.0, 8.0]})"));
  EXPECT_EQ(config["original_max_position_embeddings"], 128);
}

TEST(GgufSourceTest, PartialRotaryDimensionsAreAShareThatReadsBack) {
  GgufBuilder b = Model("qwen2");
  b.U32("qwen2.rope.dimension_count", 2);
  EXPECT_EQ(ConfigOf(b)["partial_rotary_factor"], 0.5);
  GgufBuilder odd = Model("qwen2");
  odd.U32("qwen2.rope.dimension_count", 3);
  EXPECT_EQ(ErrorOf(odd), ErrorCode::kBadLayout);
  GgufBuilder many = Model("qwen2");
  many.U32("qwen2.rope.dimension_count", 6);
  EXPECT_EQ(ErrorOf(many), ErrorCode::kBadLayout);
}

GgufBuilder Gemma3(uint32_t window) {
  GgufBuilder b = Keys("gemma3");
  b.U32("gemma3.attention.sliding_window", window).U32("gemma3.attention.key_length", 4);
  AddBpe(b, "default");
  b.TensorF32("token_embd.weight", {kHidden, kVocab}, Ramp(kVocab * kHidden, 0))
      .TensorF32("blk.0.post_ffw_norm.weight", {kHidden}, Ramp(kHidden, 1))
      .TensorF32("blk.0.attn_k_norm.weight", {4}, Ramp(4, 5));
  return b;
}

TEST(GgufSourceTest, Gemma3NormsAreStoredPlusOne) {
  const TempDir dir;
  const auto opened = Open(dir, Gemma3(16));
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_EQ(ReadTensor(**opened, "model.layers.0.post_feedforward_layernorm.weight"),
            Ramp(kHidden, 0));
  EXPECT_EQ(ReadTensor(**opened, "model.layers.0.self_attn.k_norm.weight"), Ramp(4, 4));
  EXPECT_EQ(ReadTensor(**opened, "model.embed_tokens.weight"), Ramp(kVocab * kHidden, 0));
}

TEST(GgufSourceTest, Gemma3WindowsAndBases) {
  const Json config = ConfigOf(Gemma3(16));
  EXPECT_EQ(config["layer_types"], Json::array({"sliding_attention"}));
  EXPECT_EQ(config["sliding_window"], 16);
  EXPECT_EQ(config["rope_local_base_freq"], 10000.0);
  EXPECT_EQ(config["query_pre_attn_scalar"], 4);
  EXPECT_EQ(ConfigOf(Gemma3(0))["layer_types"], Json::array({"full_attention"}));
  GgufBuilder every = Gemma3(16);
  every.U32("gemma3.attention.sliding_window_pattern", 1).F32("gemma3.rope.freq_base_swa", 50);
  EXPECT_EQ(ConfigOf(every)["layer_types"], Json::array({"full_attention"}));
  EXPECT_EQ(ConfigOf(every)["rope_local_base_freq"], 50.0);
  GgufBuilder capped = Gemma3(16);
  capped.F32("gemma3.final_logit_softcapping", 30);
  EXPECT_EQ(ConfigOf(capped)["final_logit_softcapping"], 30.0);
}

TEST(GgufSourceTest, EndsOfTurnAreFoundByTheirText) {
  const auto ends = [](const char* text, int32_t type, bool named) {
    GgufBuilder b = Keys("llama");
    b.String("tokenizer.ggml.model", "llama")
        .Strings("tokenizer.ggml.tokens", {"<unk>", "<s>", "</s>", text, "a"})
        .Ints("tokenizer.ggml.token_type", {2, 3, 3, type, 1})
        .Floats("tokenizer.ggml.scores", {0, 0, 0, 0, 0})
        .U32("tokenizer.ggml.eos_token_id", 2);
    if (named) b.U32("tokenizer.ggml.eot_token_id", 4);
    AddTensors(b);
    const TempDir dir;
    const auto opened = Open(dir, b);
    EXPECT_TRUE(opened.ok()) << opened.error().message;
    const Json pieces = Json::parse(*FindSideFile(**opened, "sentencepiece.json"));
    EXPECT_EQ(pieces["eos_id"],
              Json::parse(*FindSideFile(**opened, "config.json"))["eos_token_id"]);
    return pieces["eos_id"];
  };
  EXPECT_EQ(ends("<end_of_turn>", 3, false), Json::array({2, 3}));
  EXPECT_EQ(ends("<|end|>", 3, false), Json::array({2, 3}));
  EXPECT_EQ(ends("<|end|>", 1, false), 2);
  EXPECT_EQ(ends("<|end|>", 3, true), Json::array({2, 4}));
  EXPECT_EQ(ends("b", 3, false), 2);
}

TEST(GgufSourceTest, InvalidVocabulariesAreRefused) {
  const auto model = [](const std::vector<std::string>& tokens, const std::vector<int32_t>& types,
                        const std::vector<std::string>& merges) {
    GgufBuilder b = Keys("llama");
    b.String("tokenizer.ggml.model", "gpt2")
        .Strings("tokenizer.ggml.tokens", tokens)
        .Ints("tokenizer.ggml.token_type", types)
        .Strings("tokenizer.ggml.merges", merges);
    AddTensors(b);
    return b;
  };
  EXPECT_EQ(ErrorOf(model({}, {}, {})), ErrorCode::kBadHeader);
  EXPECT_EQ(ErrorOf(model({"a", "b", "c", "d", "e", "f"}, {}, {})), ErrorCode::kBadHeader);
  EXPECT_EQ(ErrorOf(model({"a", "b"}, {1}, {})), ErrorCode::kBadHeader);
  EXPECT_EQ(ErrorOf(model({"a", "b"}, {1, 7}, {})), ErrorCode::kBadHeader);
  EXPECT_EQ(ErrorOf(model({"a", "a"}, {1, 1}, {})), ErrorCode::kBadHeader);
  EXPECT_EQ(ErrorOf(model({"a", "\xff"}, {1, 1}, {})), ErrorCode::kBadHeader);
  for (const char* merge : {"ab", " b", "a ", "a b c", ""}) {
    EXPECT_EQ(ErrorOf(model({"a", "b"}, {1, 1}, {merge})), ErrorCode::kBadHeader) << merge;
  }
}

TEST(GgufSourceTest, HyperparametersMustBeThereAndFit) {
  EXPECT_EQ(ErrorOf(GgufBuilder().String("general.architecture", "llama")), ErrorCode::kBadHeader);
  const auto with_heads = [](uint32_t heads, uint32_t kv_heads, uint32_t layers = 1) {
    GgufBuilder b;
    b.String("general.architecture", "llama")
        .U32("llama.block_count", layers)
        .U32("llama.context_length", 128)
        .U32("llama.embedding_length", kHidden)
        .U32("llama.feed_forward_length", kFfn)
        .U32("llama.attention.head_count", heads)
        .U32("llama.attention.head_count_kv", kv_heads)
        .F32("llama.attention.layer_norm_rms_epsilon", 1e-6f);
    return b;
  };
  EXPECT_EQ(ErrorOf(with_heads(0, 1)), ErrorCode::kBadHeader);
  EXPECT_EQ(ErrorOf(with_heads(3, 1)), ErrorCode::kBadLayout);
  EXPECT_EQ(ErrorOf(with_heads(8, 1)), ErrorCode::kBadLayout);
  EXPECT_EQ(ErrorOf(with_heads(2, 0)), ErrorCode::kBadHeader);
  EXPECT_EQ(ErrorOf(with_heads(2, 3)), ErrorCode::kBadLayout);
  EXPECT_EQ(ErrorOf(with_heads(100, 1)), ErrorCode::kBadLayout);
  EXPECT_EQ(ErrorOf(with_heads(2, 1, 0xffffffff)), ErrorCode::kBadLayout);
}

TEST(GgufSourceTest, EveryDamagedHeaderByteIsHandled) {
  const TempDir dir;
  const auto bytes = Model("llama").Build();
  const auto path = dir.Write("m", bytes);
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  const auto set_byte = [&](size_t at, uint8_t value) {
    file.seekp(static_cast<std::streamoff>(at)).put(static_cast<char>(value)).flush();
  };
  const size_t header_bytes = bytes.size() - 32 * kHidden * sizeof(float);
  for (size_t i = 0; i < header_bytes; ++i) {
    for (const uint8_t flip : {0x01, 0xff}) {
      set_byte(i, bytes[i] ^ flip);
      const auto opened = OpenModelSource(path);
      if (!opened.ok()) continue;
      for (const SourceTensor& tensor : (*opened)->tensors()) ReadTensor(**opened, tensor.name);
      EXPECT_TRUE(Json::accept(*FindSideFile(**opened, "config.json"))) << i;
    }
    set_byte(i, bytes[i]);
  }
}

TEST(GgufSourceTest, ReadChecksIndexAndSize) {
  const TempDir dir;
  const auto opened = Open(dir, Model("llama"));
  ASSERT_TRUE(opened.ok());
  std::vector<float> values(kVocab * kHidden - 1);
  EXPECT_FALSE((*opened)->ReadF32(0, values).ok());
  EXPECT_FALSE((*opened)->ReadF32(11, values).ok());
}

TEST(GgufNamesTest, RefusesNamesThatOnlyLookRight) {
  for (const char* name :
       {"", "blk", "blk.", "blk.0", "blk.0.", "blk.0.attn_q", "blk.0.attn_q.", "blk.0.weight",
        "blk..attn_q.weight", "blk.-1.attn_q.weight", "blk.x.attn_q.weight", "blk.0attn_q.weight",
        "blk.99999999999999999999.attn_q.weight", "blk.0.attn_q.weight.weight", "output.bias"}) {
    EXPECT_FALSE(MapGgufName(kLlamaGgufNames, name, 100)) << name;
  }
  EXPECT_EQ(MapGgufName(kLlamaGgufNames, "blk.99.ffn_up.bias", 100)->name,
            "model.layers.99.mlp.up_proj.bias");
}

}  // namespace
}  // namespace ecq
