// The pass over layers, and what it gathers in each.
#include "ecq/calibrate/calibration_pass.h"

#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "ecq/base/aligned_buffer.h"
#include "ecq/calibrate/moments_accumulator.h"

namespace ecq {
namespace {

// Gathers the inputs of one layer.
class LayerGatherer final : public InputObserver {
 public:
  // Throws std::bad_alloc.
  LayerGatherer(ThreadPool& pool, const ModelConfig& config)
      : attention_(pool, config.hidden_size),
        output_(pool, config.query_size()),
        up_(pool, config.hidden_size),
        down_(pool, config.intermediate_size) {}

  void Observe(InputSite site, size_t first, size_t t, size_t cols, const float* x) override {
    if (site == InputSite::kAttention && first == 0) {
      sink_inputs_.insert(sink_inputs_.end(), x, x + cols);
      ++num_sinks_;
    }
    At(site).Add(t, x, 1);
  }

  // The first site with an input that is not finite, by what it feeds.
  std::optional<std::string_view> NotFinite() const {
    if (!attention_.IsFinite()) return "the attention projections";
    if (!output_.IsFinite()) return "the output projection of attention";
    if (!up_.IsFinite()) return "the gate and up projections";
    if (!down_.IsFinite()) return "the down projection";
    return std::nullopt;
  }

  // To be called once. `with_value`: value has a matrix of its own.
  LayerMoments Take(bool with_value, double sink_weight) {
    LayerMoments moments;
    if (with_value) {
      MomentsAccumulator value(attention_);
      value.Add(num_sinks_, sink_inputs_.data(), sink_weight - 1);
      moments.value = value.Take();
    }
    moments.attention = attention_.Take();
    moments.output = output_.Take();
    moments.up = up_.Take();
    moments.down = down_.Take();
    return moments;
  }

 private:
  MomentsAccumulator& At(InputSite site) {
    switch (site) {
      case InputSite::kAttention:
        return attention_;
      case InputSite::kOutput:
        return output_;
      case InputSite::kUp:
        return up_;
      case InputSite::kDown:
        break;
    }
    return down_;
  }

  MomentsAccumulator attention_;
  MomentsAccumulator output_;
  MomentsAccumulator up_;
  MomentsAccumulator down_;
  std::vector<float> sink_inputs_;  // (num_sinks, hidden): attention inputs at position 0
  size_t num_sinks_ = 0;
};

Error OutOfMemory(std::string_view what) {
  return Error{ErrorCode::kOutOfMemory,
               fmt::format("no memory for {}; calibrate with fewer tokens", what)};
}

Status CheckWindows(const ModelConfig& config, std::span<const TokenWindow> windows) {
  if (windows.empty()) {
    return Error{ErrorCode::kInvalidArgument, "calibration has no text: not a single window"};
  }
  for (size_t i = 0; i < windows.size(); ++i) {
    if (windows[i].empty() || windows[i].size() > config.max_positions) {
      return Error{ErrorCode::kInvalidArgument,
                   fmt::format("calibration window {} has {} tokens; this model takes 1 to {}", i,
                               windows[i].size(), config.max_positions)};
    }
  }
  return OkStatus();
}

}  // namespace

class CalibrationPass::Impl {
 public:
  // Throws std::bad_alloc.
  Impl(const Model& model, ThreadPool& pool, std::vector<TokenWindow> windows,
       const CalibrationOptions& options, Session session)
      : model_(model),
        pool_(pool),
        windows_(std::move(windows)),
        options_(options),
        session_(std::move(session)) {
    for (const TokenWindow& window : windows_) num_tokens_ += window.size();
    hidden_ = AlignedBuffer<float>(num_tokens_ * model.config().hidden_size);
  }

  size_t num_layers() const { return model_.config().num_layers; }
  size_t num_tokens() const { return num_tokens_; }
  size_t next_layer() const { return next_layer_; }

  Status Embed() {
    return ForEachWindow([&](const TokenWindow& window, float* x) {
      return model_.EmbedTokens(session_, window, x);
    });
  }

  Result<LayerMoments> Next() {
    const size_t layer = next_layer_;
    if (layer >= num_layers()) {
      return Error{ErrorCode::kInvalidArgument,
                   fmt::format("all {} layers have been calibrated", num_layers())};
    }
    LayerGatherer gatherer(pool_, model_.config());
    size_t done = 0;
    const auto run = [&](const TokenWindow& window, float* x) -> Status {
      ECQ_RETURN_IF_ERROR(model_.ForwardLayer(session_, layer, window.size(), x, &gatherer));
      if (options_.progress) options_.progress(layer, ++done, windows_.size());
      return OkStatus();
    };
    ECQ_RETURN_IF_ERROR(ForEachWindow(run));
    if (const auto site = gatherer.NotFinite())
      return NotFinite(fmt::format("layer {}", layer), *site);
    ++next_layer_;
    return gatherer.Take(model_.config().tensors.qkv.empty(), options_.sink_weight);
  }

  Result<InputMoments> Head() {
    if (next_layer_ < num_layers()) {
      return Error{ErrorCode::kInvalidArgument,
                   fmt::format("the head comes after the last layer, next is layer {} of {}",
                               next_layer_, num_layers())};
    }
    const size_t hidden_size = model_.config().hidden_size;
    MomentsAccumulator moments(pool_, model_.config().hidden_size);
    AlignedBuffer<float> normed(kHeadBlock * hidden_size);
    for (size_t begin = 0; begin < num_tokens_; begin += kHeadBlock) {
      const size_t t = std::min(kHeadBlock, num_tokens_ - begin);
      model_.FinalNorm(session_, t, &hidden_[begin * hidden_size], normed.data());
      moments.Add(t, normed.data(), 1);
    }
    if (!moments.IsFinite()) return NotFinite("the last norm", "the output head");
    return moments.Take();
  }

 private:
  static constexpr size_t kHeadBlock = 512;  // tokens

  static Error NotFinite(std::string_view place, std::string_view reader) {
    return Error{ErrorCode::kCorrupt,
                 fmt::format("calibration: in {}, an input of {} is not a finite number (or its "
                             "square is none); the weights of this model are damaged or overflow",
                             place, reader)};
  }

  template <typename F>
  Status ForEachWindow(F&& fn) {
    float* x = hidden_.data();
    for (const TokenWindow& window : windows_) {
      ECQ_RETURN_IF_ERROR(fn(window, x));
      x += window.size() * model_.config().hidden_size;
    }
    return OkStatus();
  }

  const Model& model_;
  ThreadPool& pool_;
  std::vector<TokenWindow> windows_;
  CalibrationOptions options_;
  Session session_;
  AlignedBuffer<float> hidden_;  // (num_tokens, hidden): the residual streams of all windows
  size_t num_tokens_ = 0;
  size_t next_layer_ = 0;
};

Result<CalibrationPass> CalibrationPass::Create(const Model& model, ThreadPool& pool,
                                                std::vector<TokenWindow> windows,
                                                const CalibrationOptions& options) {
  ECQ_RETURN_IF_ERROR(CheckWindows(model.config(), windows));
  if (!(options.sink_weight >= 1 && options.sink_weight <= kMaxSinkWeight)) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("the weight of the first position is {}, expected 1 to {}",
                             options.sink_weight, kMaxSinkWeight)};
  }
  size_t longest = 0;
  for (const TokenWindow& window : windows) longest = std::max(longest, window.size());
  ECQ_TRY(Session session, model.NewSession(pool, {.max_context = longest}));
  try {
    CalibrationPass pass(
        std::make_unique<Impl>(model, pool, std::move(windows), options, std::move(session)));
    ECQ_RETURN_IF_ERROR(pass.impl_->Embed());
    return pass;
  } catch (const std::bad_alloc&) {
    return OutOfMemory("the hidden states of the calibration text");
  }
}

CalibrationPass::CalibrationPass(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CalibrationPass::CalibrationPass(CalibrationPass&&) noexcept = default;
CalibrationPass& CalibrationPass::operator=(CalibrationPass&&) noexcept = default;
CalibrationPass::~CalibrationPass() = default;

size_t CalibrationPass::num_layers() const { return impl_->num_layers(); }
size_t CalibrationPass::num_tokens() const { return impl_->num_tokens(); }
size_t CalibrationPass::next_layer() const { return impl_->next_layer(); }

Result<LayerMoments> CalibrationPass::Next() {
  try {
    return impl_->Next();
  } catch (const std::bad_alloc&) {
    return OutOfMemory(fmt::format("the moments of layer {}", impl_->next_layer()));
  }
}

Result<InputMoments> CalibrationPass::Head() {
  try {
    return impl_->Head();
  } catch (const std::bad_alloc&) {
    return OutOfMemory("the moments of the head");
  }
}

}  // namespace ecq
