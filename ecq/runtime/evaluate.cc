// Perplexity, KL divergence and top-1 agreement.
#include "ecq/runtime/evaluate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "ecq/runtime/sampler.h"

namespace ecq {
namespace {

// Logits of this many positions are in memory at a time.
constexpr size_t kLogitsBlock = 64;

// Running mean and variance (Welford).
class Statistic {
 public:
  void Add(double value) {
    ++n_;
    const double delta = value - mean_;
    mean_ += delta / static_cast<double>(n_);
    sum_squares_ += delta * (value - mean_);
  }
  MeanAndError Result() const {
    const double n = static_cast<double>(n_);
    return {mean_, n_ < 2 ? 0 : std::sqrt(sum_squares_ / (n - 1) / n)};
  }
  uint64_t count() const { return n_; }

 private:
  uint64_t n_ = 0;
  double mean_ = 0;
  double sum_squares_ = 0;  // of the deviations from the mean
};

// ln of the sum of exp(logits).
double LogSumExp(std::span<const float> logits) {
  const double max = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - max);
  return max + std::log(sum);
}

struct PositionScore {
  double nll = 0;
  double kl = 0;
  bool same_top = false;
};

PositionScore ScorePosition(std::span<const float> logits, uint32_t target) {
  return {.nll = LogSumExp(logits) - logits[target]};
}

// KL(base || model) = sum_i p_i (b_i - l_i) - lse(b) + lse(l) with p = softmax(b).
PositionScore ScoreAgainstBase(std::span<const float> logits, std::span<const float> base,
                               uint32_t target) {
  const double lse = LogSumExp(logits);
  const double max = *std::max_element(base.begin(), base.end());
  double sum = 0;
  double weighted_difference = 0;
  for (size_t i = 0; i < base.size(); ++i) {
    const double e = std::exp(base[i] - max);
    sum += e;
    weighted_difference += e * (static_cast<double>(base[i]) - logits[i]);
  }
  const double base_lse = max + std::log(sum);
  return {.nll = lse - logits[target],
          .kl = weighted_difference / sum - base_lse + lse,
          .same_top = ArgMax(logits) == ArgMax(base)};
}

// One model with its session and the buffers of the current window.
class Runner {
 public:
  static Result<Runner> Create(const Model& model, ThreadPool& pool,
                               const SessionOptions& options) {
    ECQ_TRY(Session session, model.NewSession(pool, options));
    return Runner(model, std::move(session), options.max_context);
  }

  // Runs the positions of a window whose predictions have a target: all but the last one.
  Status RunWindow(const TokenWindow& window) {
    session_.Clear();
    return model_->Forward(session_, std::span(window).first(window.size() - 1), hidden_.data());
  }
  // Computes the logits of positions [first, first + n), n <= kLogitsBlock.
  Status ComputeLogits(size_t first, size_t n) {
    return model_->Logits(session_, n, &hidden_[first * model_->config().hidden_size],
                          logits_.data());
  }
  std::span<const float> logits(size_t i) const {
    const size_t vocab = model_->config().vocab_size;
    return {&logits_[i * vocab], vocab};
  }

 private:
  Runner(const Model& model, Session session, size_t max_window)
      : model_(&model),
        session_(std::move(session)),
        hidden_((max_window - 1) * model.config().hidden_size),
        logits_(std::min(kLogitsBlock, max_window) * model.config().vocab_size) {}

  const Model* model_;
  Session session_;
  std::vector<float> hidden_;  // (max_window - 1, hidden)
  std::vector<float> logits_;  // (kLogitsBlock, vocab)
};

Status CheckSet(const Model& model, const EvaluationSet& set, const Model* base) {
  if (set.num_scored() == 0) {
    return Error{ErrorCode::kInvalidArgument, "the text is too short: no prediction to score"};
  }
  if (base != nullptr && base->config().vocab_size != model.config().vocab_size) {
    return Error{
        ErrorCode::kInvalidArgument,
        fmt::format("the model has {} tokens and the base {}; expected the same vocabulary",
                    model.config().vocab_size, base->config().vocab_size)};
  }
  for (const TokenWindow& window : set.windows) {
    for (const uint32_t id : window) {
      if (id >= model.config().vocab_size) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("token {} of the text is outside the vocabulary of {}", id,
                                 model.config().vocab_size)};
      }
    }
  }
  return OkStatus();
}

size_t ScoredPositions(const TokenWindow& window, size_t score_from) {
  return window.size() > score_from + 1 ? window.size() - 1 - score_from : 0;
}

struct Statistics {
  Statistic nll, kl, top1;
};

// Scores one window that has scored positions.
Status ScoreWindow(ThreadPool& pool, const TokenWindow& window, size_t score_from, Runner& model,
                   Runner* base, Statistics* statistics) {
  ECQ_RETURN_IF_ERROR(model.RunWindow(window));
  if (base != nullptr) ECQ_RETURN_IF_ERROR(base->RunWindow(window));
  PositionScore scores[kLogitsBlock];
  for (size_t first = score_from; first + 1 < window.size(); first += kLogitsBlock) {
    const size_t n = std::min(kLogitsBlock, window.size() - 1 - first);
    ECQ_RETURN_IF_ERROR(model.ComputeLogits(first, n));
    if (base != nullptr) ECQ_RETURN_IF_ERROR(base->ComputeLogits(first, n));
    pool.Run(n, [&](size_t i, size_t /*worker*/) {
      const uint32_t target = window[first + i + 1];
      scores[i] = base == nullptr ? ScorePosition(model.logits(i), target)
                                  : ScoreAgainstBase(model.logits(i), base->logits(i), target);
    });
    for (size_t i = 0; i < n; ++i) {
      statistics->nll.Add(scores[i].nll);
      statistics->kl.Add(scores[i].kl);
      statistics->top1.Add(scores[i].same_top ? 1 : 0);
    }
  }
  return OkStatus();
}

}  // namespace

size_t EvaluationSet::num_scored() const {
  size_t n = 0;
  for (const TokenWindow& window : windows) n += ScoredPositions(window, score_from);
  return n;
}

size_t EvaluationSet::max_window() const {
  size_t n = 0;
  for (const TokenWindow& window : windows) n = std::max(n, window.size());
  return n;
}

Result<EvaluationSet> SplitIntoWindows(std::span<const uint32_t> ids, size_t context,
                                       std::optional<uint32_t> bos, WindowProtocol protocol) {
  if (context < 2) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("the context of an evaluation is {}, expected at least 2", context)};
  }
  const bool full = protocol == WindowProtocol::kFull;
  std::vector<uint32_t> with_bos;
  if (!full && bos) {
    with_bos.reserve(ids.size() + 1);
    with_bos.push_back(*bos);
    with_bos.insert(with_bos.end(), ids.begin(), ids.end());
    ids = with_bos;
  }
  const size_t prepended = full && bos ? 1 : 0;
  const size_t text_per_window = context - prepended;
  EvaluationSet set{.windows = {}, .score_from = full ? 0 : context / 2};
  for (size_t begin = 0; begin < ids.size(); begin += text_per_window) {
    const auto text = ids.subspan(begin, std::min(text_per_window, ids.size() - begin));
    if (!full && text.size() < context) break;
    TokenWindow window(text.begin(), text.end());
    if (prepended != 0) window.insert(window.begin(), *bos);
    if (!full && bos) window.front() = *bos;
    if (ScoredPositions(window, set.score_from) > 0) set.windows.push_back(std::move(window));
  }
  if (set.windows.empty()) {
    return Error{
        ErrorCode::kInvalidArgument,
        fmt::format("the text has {} tokens, too few for a window of {}", ids.size(), context)};
  }
  return set;
}

Result<EvaluationResult> Evaluate(const Model& model, ThreadPool& pool, const EvaluationSet& set,
                                  const EvaluateOptions& options) {
  ECQ_RETURN_IF_ERROR(CheckSet(model, set, options.base));
  const size_t max_window = set.max_window();
  ECQ_TRY(Runner runner,
          Runner::Create(model, pool, {max_window, options.activations, options.kv}));
  std::optional<Runner> base;
  if (options.base != nullptr) {
    ECQ_TRY(base, Runner::Create(*options.base, pool, {.max_context = max_window}));
  }

  Statistics statistics;
  for (size_t i = 0; i < set.windows.size(); ++i) {
    if (ScoredPositions(set.windows[i], set.score_from) > 0) {
      ECQ_RETURN_IF_ERROR(ScoreWindow(pool, set.windows[i], set.score_from, runner,
                                      base ? &*base : nullptr, &statistics));
    }
    if (options.progress) options.progress(i + 1, set.windows.size());
  }

  EvaluationResult result;
  result.tokens = statistics.nll.count();
  result.nll = statistics.nll.Result();
  result.perplexity.mean = std::exp(result.nll.mean);
  result.perplexity.standard_error = result.nll.standard_error * result.perplexity.mean;
  if (base) {
    result.kl = statistics.kl.Result();
    result.top1 = statistics.top1.Result();
  }
  return result;
}

}  // namespace ecq
