// Prompt processing and generation of a whole model, as llama-bench counts them: pp512 and tg128.
//
//   bench_tokens MODEL [MODEL ...] [--threads N] [--prompt 512] [--generate 128] [--repetitions 5]
//
// Prints one JSON object per model: median and extremes of tokens per second, resident bytes. One
// unmeasured warm-up run comes first.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/opened_model.h"

namespace ecq::bench {
namespace {

struct Options {
  std::vector<std::string> models;
  size_t threads = DefaultThreadCount();
  size_t prompt = 512;
  size_t generate = 128;
  size_t repetitions = 5;
  std::string activations = "f32";
};

double Seconds(const std::function<void()>& fn) {
  const auto start = std::chrono::steady_clock::now();
  fn();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void Require(const Status& status) {
  if (status.ok()) return;
  fmt::print(stderr, "bench_tokens: {}\n", status.error().message);
  std::exit(1);
}

// Tokens per second of `tokens` tokens, repeated.
nlohmann::ordered_json Rate(size_t tokens, size_t repetitions, const std::function<void()>& run) {
  run();
  std::vector<double> rates;
  for (size_t i = 0; i < repetitions; ++i) {
    rates.push_back(static_cast<double>(tokens) / Seconds(run));
  }
  std::sort(rates.begin(), rates.end());
  return {{"median", rates[rates.size() / 2]}, {"min", rates.front()}, {"max", rates.back()}};
}

nlohmann::ordered_json Measure(const std::string& path, const Options& options) {
  auto opened = OpenedModel::Open(path);
  Require(opened.ok() ? OkStatus() : Status(opened.error()));
  double load_seconds = 0;
  std::optional<Model> model;
  load_seconds = Seconds([&] {
    auto loaded = opened->LoadModel();
    Require(loaded.ok() ? OkStatus() : Status(loaded.error()));
    model.emplace(std::move(loaded).value());
  });
  ThreadPool pool(options.threads);
  const ActivationMode mode =
      options.activations == "i8" ? ActivationMode::kI8 : ActivationMode::kF32;
  const size_t context = options.prompt + options.generate + 1;
  auto session = model->NewSession(pool, {context, mode});
  Require(session.ok() ? OkStatus() : Status(session.error()));
  const size_t hidden_size = model->config().hidden_size;
  std::vector<float> hidden(std::max<size_t>(1, options.prompt) * hidden_size);
  std::vector<float> logits(model->config().vocab_size);
  std::vector<uint32_t> tokens(options.prompt);
  for (size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] = static_cast<uint32_t>(i * 7919 % model->config().vocab_size);
  }

  nlohmann::ordered_json json;
  json["model"] = path;
  json["file_bytes"] = opened->file_bytes();
  json["resident_bytes"] = model->resident_bytes();
  json["bits_per_weight"] = opened->bits_per_weight();
  json["threads"] = options.threads;
  json["activations"] = options.activations;
  json["load_seconds"] = load_seconds;
  json[fmt::format("pp{}", options.prompt)] = Rate(options.prompt, options.repetitions, [&] {
    session->Clear();
    Require(model->Forward(*session, tokens, hidden.data()));
  });
  json[fmt::format("tg{}", options.generate)] = Rate(options.generate, options.repetitions, [&] {
    session->Clear();
    for (size_t i = 0; i < options.generate; ++i) {
      const uint32_t token = tokens[i % tokens.size()];
      Require(model->Forward(*session, {&token, 1}, hidden.data()));
      Require(model->Logits(*session, 1, hidden.data(), logits.data()));
    }
  });
  return json;
}

}  // namespace
}  // namespace ecq::bench

int main(int argc, char** argv) {
  ecq::bench::Options options;
  CLI::App app{"Prompt processing and generation speed of whole models."};
  app.add_option("MODEL", options.models)->required();
  app.add_option("--threads", options.threads)->check(CLI::Range(1, 1024));
  app.add_option("--prompt", options.prompt)->check(CLI::Range(1, 1 << 16));
  app.add_option("--generate", options.generate)->check(CLI::Range(1, 1 << 16));
  app.add_option("--repetitions", options.repetitions)->check(CLI::Range(1, 1000));
  app.add_option("--activations", options.activations)->check(CLI::IsMember({"f32", "i8"}));
  CLI11_PARSE(app, argc, argv);
  for (const std::string& model : options.models) {
    fmt::print("{}\n", ecq::bench::Measure(model, options).dump());
    std::fflush(stdout);
  }
  return 0;
}
