// Rotary parameters of config.json, with the scalings that stretch a context.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "ecq/model/architecture.h"

namespace ecq {
namespace {

constexpr double kMaxFactor = 1e6;

// Rotated dimensions of a head of which a share is rotated.
Status ReadRotaryDims(const ConfigReader& in, const ModelConfig& config, RopeConfig* out) {
  constexpr std::string_view kShare = "partial_rotary_factor";
  if (!in.Has(kShare)) return OkStatus();
  ECQ_TRY(const double share, in.Number(kShare, 0, 1));
  out->dims = static_cast<uint32_t>(config.head_dim * share);
  if (out->dims == 0 || out->dims % 2 != 0) {
    return Error{
        ErrorCode::kBadLayout,
        fmt::format("config.json: partial_rotary_factor {} rotates {} of the {} dimensions "
                    "of a head, expected an even number above 0",
                    share, out->dims, config.head_dim)};
  }
  return OkStatus();
}

Status ReadLinear(const ConfigReader& parameters, RopeConfig* out) {
  ECQ_TRY(const double factor, parameters.Number("factor", 1, kMaxFactor));
  out->divisors.assign(out->dims / 2, factor);
  return OkStatus();
}

// Short wavelengths stay, those that do not fit the original context often enough are stretched by
// the factor, with a smooth passage between. Source: "The Llama 3 Herd of Models", and the code
// published with Llama 3.1.
Status ReadLlama3(const ConfigReader& parameters, RopeConfig* out) {
  ECQ_TRY(const double factor, parameters.Number("factor", 1, kMaxFactor));
  ECQ_TRY(const double low, parameters.Number("low_freq_factor", 1e-6, kMaxFactor));
  ECQ_TRY(const double high, parameters.Number("high_freq_factor", 1e-6, kMaxFactor));
  ECQ_TRY(const uint32_t original,
          parameters.Count("original_max_position_embeddings", kMaxPositions));
  if (low >= high) {
    return Error{
        ErrorCode::kBadLayout,
        fmt::format("config.json: low_freq_factor {} is not below high_freq_factor {}", low, high)};
  }
  out->divisors.clear();
  for (uint32_t i = 0; i < out->dims / 2; ++i) {
    const double turns =
        original * RopeFrequency(out->theta, i, out->dims) / (2 * std::numbers::pi);
    const double kept = std::clamp((turns - low) / (high - low), 0.0, 1.0);
    out->divisors.push_back(1 / ((1 - kept) / factor + kept));
  }
  return OkStatus();
}

// Source: LongRoPE, arXiv:2402.13753, as in the configs of Phi-3.
Status ReadLong(const ConfigReader& in, const ConfigReader& parameters, const ModelConfig& config,
                RopeConfig* out) {
  constexpr std::string_view kOriginal = "original_max_position_embeddings";
  const ConfigReader& holder = parameters.Has(kOriginal) ? parameters : in;
  ECQ_TRY(out->short_context, holder.Count(kOriginal, kMaxPositions));
  ECQ_TRY(out->divisors, parameters.Numbers("short_factor", out->dims / 2, 1e-6, kMaxFactor));
  ECQ_TRY(out->long_divisors, parameters.Numbers("long_factor", out->dims / 2, 1e-6, kMaxFactor));
  ECQ_TRY(const double stretch,
          parameters.Number("factor", 1e-6, kMaxFactor,
                            static_cast<double>(config.max_positions) / out->short_context));
  const double magnitude =
      stretch <= 1 || out->short_context == 1
          ? 1
          : std::sqrt(1 + std::log(stretch) / std::log(static_cast<double>(out->short_context)));
  ECQ_TRY(out->magnitude, parameters.Number("attention_factor", 1e-6, kMaxFactor, magnitude));
  return OkStatus();
}

}  // namespace

Status ReadRopeParameters(const ConfigReader& in, const ConfigReader& parameters,
                          const ModelConfig& config, RopeConfig* out) {
  ECQ_TRY(out->theta, parameters.Number("rope_theta", 1, kMaxRopeTheta, out->theta));
  ECQ_RETURN_IF_ERROR(ReadRotaryDims(parameters, config, out));
  const std::string_view key = parameters.Has("rope_type") ? "rope_type" : "type";
  ECQ_TRY(const std::string type, parameters.Text(key, "default"));
  if (type == "default") return OkStatus();
  if (type == "linear") return ReadLinear(parameters, out);
  if (type == "llama3") return ReadLlama3(parameters, out);
  if (type == "longrope" || type == "su") return ReadLong(in, parameters, config, out);
  return parameters.Unsupported(key, "default, linear, llama3, longrope");
}

Status ReadRope(const ConfigReader& in, const ModelConfig& config, double default_theta,
                RopeConfig* out) {
  out->dims = config.head_dim;
  ECQ_TRY(out->theta, in.Number("rope_theta", 1, kMaxRopeTheta, default_theta));
  ECQ_RETURN_IF_ERROR(ReadRotaryDims(in, config, out));
  for (const std::string_view key : {"rope_scaling", "rope_parameters"}) {
    ECQ_TRY(const auto parameters, in.Object(key));
    if (parameters) ECQ_RETURN_IF_ERROR(ReadRopeParameters(in, *parameters, config, out));
  }
  return OkStatus();
}

}  // namespace ecq
