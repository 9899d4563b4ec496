// Names that have moments, and names that look like it. Whole models: calibration_pass_test.cc.
#include "ecq/calibrate/tensor_moments.h"

#include <gtest/gtest.h>

#include <string>

#include "ecq/model/random_weights_for_test.h"

namespace ecq {
namespace {

TEST(FindTensorMoments, KnowsNamesWithAndWithoutTheRoot) {
  const ModelConfig config = TinyConfig();
  for (const char* name :
       {"model.layers.2.self_attn.v_proj.weight", "layers.2.self_attn.v_proj.weight"}) {
    EXPECT_EQ(FindTensorMoments(config, name), (TensorMoments{MomentsKind::kValue, 2}));
  }
}

TEST(FindTensorMoments, HeadIsTheEmbeddingOnlyIfTied) {
  ModelConfig config = TinyConfig();
  const TensorMoments head{MomentsKind::kHead, 0};
  EXPECT_EQ(FindTensorMoments(config, "model.embed_tokens.weight"), head);
  EXPECT_EQ(FindTensorMoments(config, "lm_head.weight"), std::nullopt);
  config.tie_word_embeddings = false;
  EXPECT_EQ(FindTensorMoments(config, "model.embed_tokens.weight"), std::nullopt);
  EXPECT_EQ(FindTensorMoments(config, "lm_head.weight"), head);
}

TEST(FindTensorMoments, KnowsFusedMatricesOnlyWhereTheyAre) {
  ModelConfig config = TinyConfig();
  EXPECT_EQ(FindTensorMoments(config, "model.layers.0.self_attn.qkv_proj.weight"), std::nullopt);
  config.tensors.qkv = "self_attn.qkv_proj";
  config.tensors.gate_up = "mlp.gate_up_proj";
  EXPECT_EQ(FindTensorMoments(config, "model.layers.0.self_attn.qkv_proj.weight"),
            (TensorMoments{MomentsKind::kAttention, 0}));
  EXPECT_EQ(FindTensorMoments(config, "model.layers.1.mlp.gate_up_proj.weight"),
            (TensorMoments{MomentsKind::kUp, 1}));
  for (const char* name : {"self_attn.v_proj", "mlp.gate_proj", "mlp.up_proj"}) {
    const std::string full = std::string("model.layers.0.") + name + ".weight";
    EXPECT_EQ(FindTensorMoments(config, full), std::nullopt) << name;
  }
}

TEST(FindTensorMoments, RefusesEverythingElse) {
  const ModelConfig config = TinyConfig();
  for (const char* name : {"",
                           ".weight",
                           "weight",
                           "model.",
                           "model.layers.",
                           "model.layers..weight",
                           "model.layers.3.self_attn.v_proj.weight",
                           "model.layers.-1.self_attn.v_proj.weight",
                           "model.layers.01.self_attn.v_proj.weight",
                           "model.layers.+1.self_attn.v_proj.weight",
                           "model.layers.99999999999999999999.self_attn.v_proj.weight",
                           "model.layers.1self_attn.v_proj.weight",
                           "model.layers.1.self_attn.v_proj.bias",
                           "model.layers.1.self_attn.v_proj",
                           "model.layers.1.weight",
                           "model.layers.1..weight",
                           "model.layers.1.input_layernorm.weight",
                           "model.norm.weight",
                           "model.model.layers.1.self_attn.v_proj.weight",
                           "transformer.wpe.weight"}) {
    EXPECT_EQ(FindTensorMoments(config, name), std::nullopt) << name;
  }
}

}  // namespace
}  // namespace ecq
