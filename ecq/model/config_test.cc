// Tests of config.json: what is read, what is refused, and how.
#include "ecq/model/config.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "ecq/model/architecture.h"

namespace ecq {
namespace {

// A complete Llama config with `changes` (", \"key\": value") after it: the last of two equal keys
// counts.
std::string Llama(const std::string& changes = "") {
  return R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 576, "intermediate_size": 1536,
             "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
             "vocab_size": 49152, "max_position_embeddings": 8192, "rms_norm_eps": 1e-05,
             "rope_theta": 100000, "rope_scaling": null, "tie_word_embeddings": true,
             "hidden_act": "silu", "bos_token_id": 1, "eos_token_id": 2)" +
         changes + "}";
}

ErrorCode CodeOf(const std::string& json) {
  const auto config = ParseModelConfig(json);
  return config.ok() ? ErrorCode{0} : config.error().code;
}

TEST(ModelConfig, ReadsLlama) {
  const auto config = ParseModelConfig(Llama());
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->architecture, "LlamaForCausalLM");
  EXPECT_EQ(config->hidden_size, 576u);
  EXPECT_EQ(config->intermediate_size, 1536u);
  EXPECT_EQ(config->num_layers, 30u);
  EXPECT_EQ(config->num_heads, 9u);
  EXPECT_EQ(config->num_kv_heads, 3u);
  EXPECT_EQ(config->head_dim, 64u);
  EXPECT_EQ(config->query_size(), 576u);
  EXPECT_EQ(config->kv_size(), 192u);
  EXPECT_EQ(config->vocab_size, 49152u);
  EXPECT_EQ(config->max_positions, 8192u);
  EXPECT_EQ(config->norm_eps, 1e-5);
  EXPECT_EQ(config->rope.theta, 100000);
  EXPECT_TRUE(config->tie_word_embeddings);
  EXPECT_FALSE(config->qkv_bias);
  EXPECT_FALSE(config->attention_output_bias);
  EXPECT_EQ(config->bos_id, 1u);
  EXPECT_EQ(config->eos_ids, std::vector<uint32_t>{2});
}

TEST(ModelConfig, AppliesDefaults) {
  const auto config = ParseModelConfig(
      R"({"architectures": ["Qwen2ForCausalLM"], "hidden_size": 64, "intermediate_size": 96,
          "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 100,
          "num_key_value_heads": null})");
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->num_kv_heads, 4u);
  EXPECT_EQ(config->max_positions, 2048u);
  EXPECT_EQ(config->rope.theta, 10000);
  EXPECT_EQ(config->norm_eps, 1e-6);
  EXPECT_FALSE(config->tie_word_embeddings);
  EXPECT_TRUE(config->qkv_bias) << "Qwen2 always has these";
  EXPECT_FALSE(config->attention_output_bias);
  EXPECT_EQ(config->bos_id, std::nullopt);
  EXPECT_TRUE(config->eos_ids.empty());
}

TEST(ModelConfig, ReadsVariants) {
  EXPECT_EQ(ParseModelConfig(Llama(R"(, "eos_token_id": [2, 7])"))->eos_ids,
            (std::vector<uint32_t>{2, 7}));
  EXPECT_TRUE(ParseModelConfig(Llama(R"(, "attention_bias": true)"))->attention_output_bias);
  EXPECT_EQ(ParseModelConfig(Llama(R"(, "head_dim": 128)"))->query_size(), 9u * 128);
  const auto rope = ParseModelConfig(
      Llama(R"(, "rope_parameters": {"rope_type": "default", "rope_theta": 5000})"));
  ASSERT_TRUE(rope.ok());
  EXPECT_EQ(rope->rope.theta, 5000);
  EXPECT_TRUE(ParseModelConfig(Llama(R"(, "rope_scaling": {"type": "default"})")).ok());
}

TEST(ModelConfig, MistralHasAWindowUnlessItIsNull) {
  const std::string mistral = R"(, "architectures": ["MistralForCausalLM"])";
  EXPECT_EQ(ParseModelConfig(Llama(mistral))->window(29), 4096u);
  EXPECT_EQ(ParseModelConfig(Llama(mistral + R"(, "sliding_window": 100)"))->window(0), 100u);
  EXPECT_EQ(ParseModelConfig(Llama(mistral + R"(, "sliding_window": null)"))->window(0), 0u);
  EXPECT_EQ(CodeOf(Llama(mistral + R"(, "sliding_window": 0)")), ErrorCode::kBadHeader);
}

TEST(ModelConfig, QwenHasWindowsOnlyIfItUsesThem) {
  for (const char* name : {"Qwen2ForCausalLM", "Qwen3ForCausalLM"}) {
    const std::string qwen =
        R"(, "sliding_window": 64, "max_window_layers": 20, "architectures": [")" +
        std::string(name) + R"("])";
    EXPECT_EQ(ParseModelConfig(Llama(qwen))->window(25), 0u);
    const std::string used = qwen + R"(, "use_sliding_window": true)";
    EXPECT_EQ(ParseModelConfig(Llama(used))->window(19), 0u);
    EXPECT_EQ(ParseModelConfig(Llama(used))->window(20), 64u);
  }
}

TEST(ModelConfig, LayerTypesChooseTheWindows) {
  const std::string start = R"(, "architectures": ["MistralForCausalLM"], "sliding_window": 5,
                                "num_hidden_layers": 2, "layer_types": )";
  const auto config = ParseModelConfig(Llama(start + R"(["full_attention", "sliding_attention"])"));
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->windows, (std::vector<uint32_t>{0, 5}));
  EXPECT_EQ(CodeOf(Llama(start + R"(["full_attention"])")), ErrorCode::kBadHeader);
  EXPECT_EQ(CodeOf(Llama(start + R"(["full_attention", 3])")), ErrorCode::kBadHeader);
  EXPECT_EQ(CodeOf(Llama(start + R"(["full_attention", "linear_attention"])")),
            ErrorCode::kUnsupportedArchitecture);
}

TEST(ModelConfig, Qwen3HasHeadNormsAndAHeadSizeOfItsOwn) {
  const auto config = ParseModelConfig(Llama(R"(, "architectures": ["Qwen3ForCausalLM"])"));
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->head_dim, 128u);
  EXPECT_EQ(config->tensors.query_norm, "self_attn.q_norm");
  EXPECT_FALSE(config->qkv_bias);
}

TEST(ModelConfig, ReadsRopeScalings) {
  const auto linear =
      ParseModelConfig(Llama(R"(, "rope_scaling": {"type": "linear", "factor": 2})"));
  ASSERT_TRUE(linear.ok()) << linear.error().message;
  EXPECT_EQ(linear->rope.divisors, std::vector<double>(32, 2.0));

  const auto llama3 = ParseModelConfig(
      Llama(R"(, "rope_theta": 500000, "rope_scaling": {"rope_type": "llama3", "factor": 32,
               "low_freq_factor": 1, "high_freq_factor": 4,
               "original_max_position_embeddings": 8192})"));
  ASSERT_TRUE(llama3.ok()) << llama3.error().message;
  ASSERT_EQ(llama3->rope.divisors.size(), 32u);
  EXPECT_EQ(llama3->rope.divisors.front(), 1);
  EXPECT_EQ(llama3->rope.divisors.back(), 32);
  EXPECT_TRUE(std::is_sorted(llama3->rope.divisors.begin(), llama3->rope.divisors.end()));
}

TEST(ModelConfig, RefusesBadRopeScalings) {
  const std::string llama3 = R"("rope_type": "llama3", "original_max_position_embeddings": 8192)";
  for (const std::string& parameters :
       {std::string(R"("type": "linear")"), std::string(R"("type": "linear", "factor": 0)"),
        std::string(R"("type": 3)"), llama3, llama3 + R"(, "factor": 8, "low_freq_factor": 1)",
        llama3 + R"(, "factor": 8, "low_freq_factor": -1, "high_freq_factor": 4)",
        std::string(R"("type": "longrope", "short_factor": [1], "long_factor": [1])"),
        std::string(R"("type": "longrope", "original_max_position_embeddings": 64,
                       "short_factor": [1], "long_factor": 2)")}) {
    const std::string changes = R"(, "rope_scaling": {)" + parameters + "}";
    EXPECT_EQ(CodeOf(Llama(changes)), ErrorCode::kBadHeader) << changes;
  }
  EXPECT_EQ(CodeOf(Llama(R"(, "rope_scaling": {)" + llama3 +
                         R"(, "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4})")),
            ErrorCode::kBadLayout);
  for (const char* share : {"0", "0.001", "0.05"}) {  // 0, 0 and 3 of 64 dimensions
    EXPECT_EQ(CodeOf(Llama(std::string(R"(, "partial_rotary_factor": )") + share)),
              ErrorCode::kBadLayout);
  }
}

TEST(ModelConfig, Phi3HasFusedProjectionsAndLongRope) {
  const std::string phi3 = R"(, "architectures": ["Phi3ForCausalLM"], "head_dim": 8,
      "max_position_embeddings": 4096, "original_max_position_embeddings": 64,
      "partial_rotary_factor": 0.5,
      "rope_scaling": {"type": "su", "short_factor": [1, 2], "long_factor": [3, 4]})";
  const auto config = ParseModelConfig(Llama(phi3));
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_FALSE(config->tensors.qkv.empty());
  EXPECT_FALSE(config->tensors.gate_up.empty());
  EXPECT_EQ(config->window(0), 0u);
  EXPECT_EQ(config->rope.dims, 4u);
  EXPECT_EQ(config->rope.divisors, (std::vector<double>{1, 2}));
  EXPECT_EQ(config->rope.long_divisors, (std::vector<double>{3, 4}));
  EXPECT_EQ(config->rope.short_context, 64u);
  EXPECT_NEAR(config->rope.magnitude, std::sqrt(2.0), 1e-12);  // 1 + log 64 / log 64
}

TEST(ModelConfig, ReadsGemma3) {
  const std::string gemma = R"(, "architectures": ["Gemma3ForCausalLM"], "hidden_act": null,
      "hidden_size": 1152, "sliding_window": 512, "num_attention_heads": 4,
      "num_key_value_heads": 1)";
  const auto config = ParseModelConfig(Llama(gemma + R"(, "torch_dtype": "bfloat16")"));
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->embedding_scale, 34.0f) << "33.94, rounded to the type of the weights";
  EXPECT_EQ(ParseModelConfig(Llama(gemma))->embedding_scale, std::sqrt(1152.0f));
  EXPECT_EQ(config->head_dim, 256u);
  EXPECT_EQ(config->score_scale(), 1.0f / 16);
  EXPECT_EQ(config->window(4), 512u);
  EXPECT_EQ(config->window(5), 0u);
  EXPECT_EQ(config->rope.theta, 100000);
  ASSERT_TRUE(config->window_rope);
  EXPECT_EQ(config->window_rope->theta, 10000);

  const auto nested = ParseModelConfig(Llama(gemma + R"(, "rope_theta": null, "rope_parameters": {
      "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 2000},
      "sliding_attention": {"rope_type": "default", "rope_theta": 300}})"));
  ASSERT_TRUE(nested.ok()) << nested.error().message;
  EXPECT_EQ(nested->rope.theta, 2000);
  EXPECT_EQ(nested->rope.divisors, std::vector<double>(128, 8.0));
  EXPECT_EQ(nested->window_rope->theta, 300);
  EXPECT_TRUE(nested->window_rope->divisors.empty());

  for (const char* changes :
       {R"(, "final_logit_softcapping": 30.0)", R"(, "attn_logit_softcapping": 50.0)",
        R"(, "hidden_activation": "gelu")", R"(, "use_bidirectional_attention": true)"}) {
    EXPECT_EQ(CodeOf(Llama(gemma + changes)), ErrorCode::kUnsupportedArchitecture) << changes;
  }
}

TEST(ModelConfig, ReadsGpt2) {
  const std::string gpt2 = R"({"architectures": ["GPT2LMHeadModel"], "eos_token_id": 50256)";
  const auto config = ParseModelConfig(gpt2 + "}");
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->hidden_size, 768u);
  EXPECT_EQ(config->intermediate_size, 3072u);
  EXPECT_EQ(config->num_layers, 12u);
  EXPECT_EQ(config->kv_size(), 768u);
  EXPECT_EQ(config->max_positions, 1024u);
  EXPECT_EQ(config->rope.dims, 0u);
  EXPECT_TRUE(config->tie_word_embeddings);
  EXPECT_EQ(CodeOf(gpt2 + R"(, "n_head": 7})"), ErrorCode::kBadLayout);
  EXPECT_EQ(CodeOf(gpt2 + R"(, "n_embd": 36})"), ErrorCode::kBadLayout) << "heads of 3";
  EXPECT_EQ(CodeOf(gpt2 + R"(, "n_embd": 0})"), ErrorCode::kBadHeader);
  for (const char* changes :
       {R"(, "activation_function": "relu"})", R"(, "scale_attn_weights": false})",
        R"(, "scale_attn_by_inverse_layer_idx": true})", R"(, "add_cross_attention": true})"}) {
    EXPECT_EQ(CodeOf(gpt2 + changes), ErrorCode::kUnsupportedArchitecture) << changes;
  }
}

TEST(ModelConfig, EncodersCanBeQuantizedButNotRun) {
  const std::string bert = R"({"architectures": ["BertModel"], "hidden_size": 384})";
  EXPECT_TRUE(CheckQuantizable(bert).ok());
  const auto config = ParseModelConfig(bert);
  ASSERT_FALSE(config.ok());
  EXPECT_EQ(config.error().code, ErrorCode::kUnsupportedArchitecture);
  EXPECT_NE(config.error().message.find("BertModel is an encoder"), std::string::npos);

  EXPECT_TRUE(CheckQuantizable(Llama()).ok());
  EXPECT_EQ(CheckQuantizable(R"({"architectures": ["MambaForCausalLM"]})").error().code,
            ErrorCode::kUnsupportedArchitecture);
  EXPECT_EQ(CheckQuantizable("{}").error().code, ErrorCode::kBadHeader);
}

TEST(ModelConfig, RefusesUnknownArchitecturesByName) {
  const auto config = ParseModelConfig(Llama(R"(, "architectures": ["MambaForCausalLM"])"));
  ASSERT_FALSE(config.ok());
  EXPECT_EQ(config.error().code, ErrorCode::kUnsupportedArchitecture);
  EXPECT_NE(config.error().message.find("MambaForCausalLM"), std::string::npos);
  for (const auto& known : KnownArchitectures()) {
    EXPECT_NE(config.error().message.find(known.name), std::string::npos);
  }
}

TEST(ModelConfig, RefusesFeaturesThatItDoesNotCompute) {
  for (const char* changes : {R"(, "rope_scaling": {"rope_type": "yarn", "factor": 32})",
                              R"(, "rope_scaling": {"type": "dynamic", "factor": 2})",
                              R"(, "rope_parameters": {"rope_type": "yarn"})",
                              R"(, "hidden_act": "gelu")", R"(, "use_sliding_window": true)"}) {
    EXPECT_EQ(CodeOf(Llama(changes)), ErrorCode::kUnsupportedArchitecture) << changes;
  }
  EXPECT_NE(ParseModelConfig(Llama(R"(, "rope_scaling": {"rope_type": "yarn"})"))
                .error()
                .message.find("yarn"),
            std::string::npos);
}

TEST(ModelConfig, RefusesContradictions) {
  for (const char* changes :
       {R"(, "num_attention_heads": 7)",     // does not divide hidden_size
        R"(, "num_attention_heads": 1000)",  // more heads than dimensions
        R"(, "num_key_value_heads": 2)",     // does not divide the heads
        R"(, "num_key_value_heads": 18)",    // more than heads
        R"(, "head_dim": 63)",               // no pairs
        R"(, "hidden_size": 9)",             // heads of 1
        R"(, "hidden_size": 131072, "num_attention_heads": 1, "num_key_value_heads": 1)"}) {
    EXPECT_EQ(CodeOf(Llama(changes)), ErrorCode::kBadLayout) << changes;
  }
}

TEST(ModelConfig, RefusesBadValuesOfEveryField) {
  for (const char* key :
       {"hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "num_key_value_heads", "vocab_size", "max_position_embeddings", "head_dim"}) {
    for (const char* value : {"0", "-1", "1.5", "\"8\"", "[8]", "true", "4294967297",
                              "18446744073709551616", "1e400"}) {
      const std::string changes = std::string(", \"") + key + "\": " + value;
      EXPECT_EQ(CodeOf(Llama(changes)), ErrorCode::kBadHeader) << changes;
    }
  }
  for (const char* changes :
       {R"(, "rms_norm_eps": -1)", R"(, "rms_norm_eps": "x")", R"(, "rope_theta": 0)",
        R"(, "rope_theta": 1e300)", R"(, "rope_scaling": 3)", R"(, "tie_word_embeddings": 1)",
        R"(, "attention_bias": "yes")", R"(, "bos_token_id": 49152)", R"(, "eos_token_id": -1)",
        R"(, "eos_token_id": [1, "x"])", R"(, "architectures": [])", R"(, "architectures": [3])",
        R"(, "architectures": "LlamaForCausalLM")"}) {
    EXPECT_EQ(CodeOf(Llama(changes)), ErrorCode::kBadHeader) << changes;
  }
}

TEST(ModelConfig, RefusesEveryTruncation) {
  const std::string json = Llama();
  for (size_t n = 0; n < json.size(); ++n) {
    EXPECT_EQ(CodeOf(json.substr(0, n)), ErrorCode::kBadHeader) << n;
  }
  EXPECT_EQ(CodeOf("[]"), ErrorCode::kBadHeader);
  EXPECT_EQ(CodeOf(std::string(100000, '[')), ErrorCode::kBadHeader);
}

TEST(ModelConfig, MessagesStayShortAndOnOneLine) {
  const std::string name(10000, 'x');
  const auto config = ParseModelConfig(Llama(R"(, "architectures": [")" + name + R"(\n\u0001"])"));
  ASSERT_FALSE(config.ok());
  EXPECT_LT(config.error().message.size(), 300u);
  EXPECT_EQ(config.error().message.find('\n'), std::string::npos);
}

}  // namespace
}  // namespace ecq
