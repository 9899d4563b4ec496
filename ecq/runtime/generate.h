// The generation loop, from token ids to token ids.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "ecq/base/result.h"
#include "ecq/model/model.h"
#include "ecq/runtime/sampler.h"

namespace ecq {

struct GenerateOptions {
  size_t max_tokens = 128;
  std::vector<uint32_t> end_tokens;  // generating one of them ends the text; it is not reported
};

enum class StopReason : uint8_t { kMaxTokens, kEndToken, kContextFull, kCallback };

struct GenerateStats {
  size_t prompt_tokens = 0;
  double prompt_seconds = 0;
  size_t generated_tokens = 0;  // reported to the callback
  double generated_seconds = 0;
  StopReason stop_reason = StopReason::kMaxTokens;
};

// Called with each new token; returns whether to continue.
using TokenCallback = std::function<bool(uint32_t token)>;

// Appends `prompt` to the session and continues it. The last reported token has not been run when
// this returns. Errors: kInvalidArgument for an empty prompt, and those of Model::Forward().
Result<GenerateStats> Generate(const Model& model, Session& session,
                               std::span<const uint32_t> prompt, const GenerateOptions& options,
                               Sampler& sampler, const TokenCallback& on_token);

}  // namespace ecq
