// The moments of the inputs of a model's matrices, for a conversion.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/moments_provider.h"
#include "app/opened_model.h"
#include "ecq/base/result.h"
#include "ecq/base/thread_pool.h"
#include "ecq/calibrate/calibration_pass.h"
#include "ecq/calibrate/moments_cache.h"
#include "ecq/model/model.h"

namespace ecq {

struct CalibrationSource {
  std::string text;  // a file or a directory; empty: the text that comes with the program
  size_t max_tokens = 131072;
  std::string cache;  // a directory that keeps the moments; empty: none
};

// Runs the model layer by layer as moments are asked for, or takes them from a cache. Asking for an
// earlier layer starts again.
class ModelMoments final : public MomentsProvider {
 public:
  // `model_identity` names the weights. `model` and `pool` must outlive this object.
  // Errors: those of reading the text, the config and the tokenizer, and of the cache.
  static Result<std::unique_ptr<ModelMoments>> Create(const OpenedModel& model,
                                                      std::string_view model_identity,
                                                      const CalibrationSource& source,
                                                      ThreadPool& pool);

  size_t StageOf(std::string_view tensor) const override;
  Result<const InputMoments*> MomentsOf(std::string_view tensor) override;

  size_t num_tokens() const;
  // A text that differs if the windows do.
  std::string Fingerprint() const;

 private:
  ModelMoments(const OpenedModel& model, ThreadPool& pool, ModelConfig config,
               std::vector<TokenWindow> windows);

  // Makes `layer_` or `head_` the moments asked for.
  Status GoTo(size_t stage);
  Status StartPass();
  Status RunNext();

  const OpenedModel& model_;
  ThreadPool& pool_;
  ModelConfig config_;
  std::vector<TokenWindow> windows_;
  CalibrationOptions options_;
  std::optional<MomentsCache> cache_;
  bool cache_complete_ = false;

  std::unique_ptr<Model> dense_;  // what `pass_` runs
  std::optional<CalibrationPass> pass_;

  size_t stage_ = 0;  // of the moments below; 0: none yet
  LayerMoments layer_;
  InputMoments head_;
};

}  // namespace ecq
