#include "app/model_moments.h"

#include <algorithm>
#include <utility>

#include "ecq/calibrate/calibration_text.h"
#include "ecq/calibrate/tensor_moments.h"
#include "ecq/format/sha256.h"

namespace ecq {

ModelMoments::ModelMoments(const OpenedModel& model, ThreadPool& pool, ModelConfig config,
                           std::vector<TokenWindow> windows)
    : model_(model), pool_(pool), config_(std::move(config)), windows_(std::move(windows)) {}

Result<std::unique_ptr<ModelMoments>> ModelMoments::Create(const OpenedModel& model,
                                                           std::string_view model_identity,
                                                           const CalibrationSource& source,
                                                           ThreadPool& pool) {
  std::string text;
  if (!source.text.empty()) {
    ECQ_TRY(text, ReadCalibrationText(source.text));
  }
  ECQ_TRY(ModelConfig config, model.LoadConfig());
  ECQ_TRY(const std::unique_ptr<Tokenizer> tokenizer, model.LoadTokenizer());
  CalibrationWindowOptions window_options;
  window_options.max_tokens = source.max_tokens;
  window_options.context = std::min<size_t>(window_options.context, config.max_positions);
  ECQ_TRY(std::vector<TokenWindow> windows,
          MakeCalibrationWindows(*tokenizer, source.text.empty() ? DefaultCalibrationText() : text,
                                 window_options));
  std::unique_ptr<ModelMoments> moments(
      new ModelMoments(model, pool, std::move(config), std::move(windows)));
  if (!source.cache.empty()) {
    ECQ_TRY(MomentsCache cache, MomentsCache::Open(source.cache, moments->config_, model_identity,
                                                   moments->windows_, moments->options_));
    moments->cache_complete_ = !cache.WhyIncomplete();
    moments->cache_ = std::move(cache);
  }
  return moments;
}

size_t ModelMoments::StageOf(std::string_view tensor) const {
  const auto found = FindTensorMoments(config_, tensor);
  if (!found) return 0;
  return found->kind == MomentsKind::kHead ? config_.num_layers + 1 : found->layer + 1;
}

Result<const InputMoments*> ModelMoments::MomentsOf(std::string_view tensor) {
  const auto found = FindTensorMoments(config_, tensor);
  if (!found) return nullptr;
  ECQ_RETURN_IF_ERROR(GoTo(StageOf(tensor)));
  return found->kind == MomentsKind::kHead ? &head_ : &SelectMoments(layer_, found->kind);
}

Status ModelMoments::GoTo(size_t stage) {
  if (stage == stage_) return OkStatus();
  if (cache_complete_) {
    if (stage > config_.num_layers) {
      ECQ_TRY(head_, cache_->LoadHead());
    } else {
      ECQ_TRY(layer_, cache_->LoadLayer(stage - 1));
    }
    stage_ = stage;
    return OkStatus();
  }
  if (!pass_ || stage < stage_) ECQ_RETURN_IF_ERROR(StartPass());
  while (stage_ < stage) ECQ_RETURN_IF_ERROR(RunNext());
  return OkStatus();
}

Status ModelMoments::StartPass() {
  if (dense_ == nullptr) {
    ECQ_TRY(Model model, model_.LoadModel());
    dense_ = std::make_unique<Model>(std::move(model));
  }
  stage_ = 0;
  ECQ_TRY(CalibrationPass pass, CalibrationPass::Create(*dense_, pool_, windows_, options_));
  pass_.emplace(std::move(pass));
  return OkStatus();
}

Status ModelMoments::RunNext() {
  if (stage_ < config_.num_layers) {
    ECQ_TRY(layer_, pass_->Next());
    if (cache_) ECQ_RETURN_IF_ERROR(cache_->StoreLayer(stage_, layer_));
  } else {
    ECQ_TRY(head_, pass_->Head());
    if (cache_) ECQ_RETURN_IF_ERROR(cache_->StoreHead(head_));
    cache_complete_ = cache_.has_value();
  }
  ++stage_;
  return OkStatus();
}

size_t ModelMoments::num_tokens() const {
  size_t sum = 0;
  for (const TokenWindow& window : windows_) sum += window.size();
  return sum;
}

std::string ModelMoments::Fingerprint() const {
  Sha256 hash;
  for (const TokenWindow& window : windows_) {
    const auto* const ids = reinterpret_cast<const uint8_t*>(window.data());
    const uint64_t size = window.size();
    hash.Update({reinterpret_cast<const uint8_t*>(&size), sizeof(size)});
    hash.Update({ids, window.size() * sizeof(uint32_t)});
  }
  return hash.HexDigest();
}

}  // namespace ecq
