// The `ecq` command: flags, help, exit codes.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>
#include <new>

#include "app/commands.h"
#include "app/units.h"
#include "ecq/backend/target_override.h"

namespace {

using ecq::Status;

constexpr int kExitOk = 0;
constexpr int kExitFailed = 1;  // refused input, failed check
constexpr int kExitUsage = 2;

constexpr char kModelHelp[] =
    "a Hugging Face directory, a .gguf, a llama2.c .bin or an .ecq";

CLI::Validator SizeValidator() {
  return CLI::Validator(
      [](std::string& text) {
        const auto bytes = ecq::ParseSize(text);
        if (!bytes) return "'" + text + "' is no size; write 60MB, 1.5GiB or a number of bytes";
        text = std::to_string(*bytes);
        return std::string();
      },
      "SIZE");
}

void AddThreads(CLI::App& command, size_t& threads, const char* flags) {
  command.add_option(flags, threads, "threads (default: one for each physical core)")
      ->check(CLI::Range(1, 1024));
}

CLI::App* AddQuantize(CLI::App& app, ecq::QuantizeArgs& args) {
  CLI::App* c = app.add_subcommand("quantize", "Make an .ecq file from a model");
  c->add_option("SRC", args.source, kModelHelp)->required();
  c->add_option("-o,--output", args.output, "the .ecq file to write");
  auto* bpw = c->add_option("--bpw", args.bpw,
                            "total bits per weight over all matrices, scales and tables included "
                            "(default 4.5)")
                  ->check(CLI::Range(1.0, 7.0));
  c->add_option("--size", args.size_bytes, "size of the whole file instead, such as 60MB")
      ->transform(SizeValidator())
      ->excludes(bpw);
  c->add_option("--embedding-bpw", args.embedding_bpw,
                "bits per weight of embedding and head (default: 1 more than --bpw, at most 6)")
      ->check(CLI::Range(1.0, 7.0));
  c->add_option("--grid", args.grid,
                "ecq, or a fixed-width grid to compare with: tensor-minmax4, tensor-absmax4, row4, "
                "q4_0, mlx4-g64, mlx3-g64");
  c->add_option("--codec", args.codec, "auto (smallest), rans or raw");
  c->add_flag("--dry-run", args.dry_run, "report the size, write nothing");
  c->add_flag("--force", args.force, "replace an existing file");
  c->add_flag("--json", args.json, "report as JSON");
  AddThreads(*c, args.threads, "-j,--jobs");
  c->footer(
      "Examples:\n"
      "  ecq quantize models/smollm2-135m.gguf -o smollm2.ecq --bpw 4\n"
      "  ecq quantize Qwen2.5-0.5B/ -o qwen.ecq --size 300MB\n"
      "  ecq quantize model.gguf --grid q4_0 --codec raw --dry-run");
  return c;
}

CLI::App* AddRun(CLI::App& app, ecq::RunArgs& args) {
  CLI::App* c = app.add_subcommand("run", "Continue a prompt");
  c->add_option("MODEL", args.model, kModelHelp)->required();
  c->add_option("-p,--prompt", args.prompt, "the text to continue")->required();
  c->add_option("-n", args.max_tokens, "tokens to generate (default 128)")
      ->check(CLI::Range(1, 1 << 20));
  c->add_option("--temp", args.temperature, "temperature; 0 takes the likeliest token (default)");
  c->add_option("--top-k", args.top_k, "sample among the k likeliest tokens; 0: all (default)");
  c->add_option("--top-p", args.top_p, "sample among the likeliest tokens of this total probability");
  c->add_option("--seed", args.seed, "seed of the sampler (default 0)");
  c->add_option("--ctx", args.context, "context size (default: what prompt and -n need)");
  c->add_option("--activations", args.activations, "f32 (default) or i8, rounded per 32 values");
  c->add_flag("-v,--verbose", args.verbose, "print speeds to standard error");
  AddThreads(*c, args.threads, "-t,--threads");
  c->footer(
      "Examples:\n"
      "  ecq run smollm2.ecq -p \"The capital of France is\" -n 32\n"
      "  ecq run smollm2.ecq -p \"Once upon a time\" --temp 0.8 --top-p 0.95 --seed 7");
  return c;
}

CLI::App* AddEval(CLI::App& app, ecq::EvalArgs& args) {
  CLI::App* c = app.add_subcommand("eval", "Perplexity on a text, and KL to another model");
  c->add_option("MODEL", args.model, kModelHelp)->required();
  auto* text = c->add_option("--text", args.text, "the text file");
  c->add_option("--tokens", args.tokens,
                "instead: a file of u16 token ids, each document starting with the begin token")
      ->excludes(text);
  c->add_option("--documents", args.documents, "of --tokens: only the first so many");
  c->add_option("--ctx", args.context, "tokens per window (default 1024)")
      ->check(CLI::Range(2, 1 << 20));
  c->add_option("--max-tokens", args.max_tokens, "only so many tokens of the text");
  c->add_option("--protocol", args.protocol,
                "full: score every token (default); llama: as llama-perplexity, the second half of "
                "full windows");
  c->add_option("--base", args.base, "also KL and top-1 agreement to this model");
  c->add_option("--activations", args.activations, "f32 (default) or i8, rounded per 32 values");
  c->add_flag("--json", args.json, "report as JSON");
  AddThreads(*c, args.threads, "-t,--threads");
  c->footer(
      "Examples:\n"
      "  ecq eval smollm2.ecq --text wikitext2-test.raw --base models/smollm2-135m.gguf\n"
      "  ecq eval models/smollm2-135m.gguf --text wikitext2-test.raw --ctx 512 --protocol llama");
  return c;
}

CLI::App* AddInspect(CLI::App& app, ecq::InspectArgs& args) {
  CLI::App* c = app.add_subcommand("inspect", "List what is in a model file");
  c->add_option("FILE", args.file, kModelHelp)->required();
  c->add_flag("--json", args.json, "as JSON");
  c->footer("Example:\n  ecq inspect smollm2.ecq");
  return c;
}

CLI::App* AddVerify(CLI::App& app, ecq::VerifyArgs& args) {
  CLI::App* c = app.add_subcommand("verify", "Check hashes and decode everything");
  c->add_option("FILE", args.file, "an .ecq file")->required();
  c->add_option("--against", args.against, "also compare with the model it was made from");
  AddThreads(*c, args.threads, "-t,--threads");
  c->footer("Example:\n  ecq verify smollm2.ecq --against models/smollm2-135m.gguf");
  return c;
}

int Report(const Status& status) {
  if (status.ok()) return kExitOk;
  fmt::print(stderr, "ecq: {}\n", status.error().message);
  return kExitFailed;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "ECQ: language models quantized for an entropy coder, kept coded in memory, and decoded inside "
      "the matrix product."};
  app.name("ecq");
  app.set_version_flag("--version", "ecq " ECQ_VERSION);
  app.require_subcommand(1);
  app.footer("'ecq COMMAND --help' shows the options of a command with examples.");
  ecq::QuantizeArgs quantize;
  ecq::RunArgs run;
  ecq::EvalArgs eval;
  ecq::InspectArgs inspect;
  ecq::VerifyArgs verify;
  CLI::App* quantize_command = AddQuantize(app, quantize);
  CLI::App* run_command = AddRun(app, run);
  CLI::App* eval_command = AddEval(app, eval);
  CLI::App* inspect_command = AddInspect(app, inspect);
  CLI::App* verify_command = AddVerify(app, verify);

  try {
    app.parse(argc, argv);
    if (*quantize_command && quantize.output.empty() && !quantize.dry_run) {
      throw CLI::RequiredError("--output");
    }
    if (*eval_command && eval.text.empty() && eval.tokens.empty()) {
      throw CLI::RequiredError("--text or --tokens");
    }
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? kExitOk : kExitUsage;
  }

  if (const Status status = ecq::ApplyTargetOverride(); !status.ok()) return Report(status);
  try {
    if (*quantize_command) return Report(RunQuantize(quantize));
    if (*run_command) return Report(RunGenerate(run));
    if (*eval_command) return Report(RunEval(eval));
    if (*inspect_command) return Report(RunInspect(inspect));
    if (*verify_command) return Report(RunVerify(verify));
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "ecq: out of memory; free some, or use a smaller model or context\n");
    return kExitFailed;
  }
  return kExitUsage;
}
