// The model card beside a quantized model: a README.md with the front matter of Hugging Face.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "app/opened_model.h"
#include "app/quantize_model.h"
#include "ecq/base/result.h"

namespace ecq {

inline constexpr std::string_view kCardFile = "README.md";

// Where a model comes from, as far as its source tells; empty where it does not.
struct ModelOrigin {
  std::string repository;  // "org/name" on Hugging Face
  std::string license;     // identifier as in a card: "apache-2.0"
};

// Looks into the metadata of a GGUF, the front matter of the README.md in a directory, and names of
// folders of the Hugging Face cache.
ModelOrigin ReadOrigin(const OpenedModel& source);

struct CardFacts {
  std::string title;
  std::string command;  // that made the file, as typed
  ModelOrigin origin;
  std::span<const MatrixReport> measured;  // errors of the matrices; empty: not known
};

// Describes `model`, an .ecq file. Says nothing that neither the file nor `facts` holds.
// Errors: those of reading the file.
Result<std::string> ModelCard(const OpenedModel& model, const CardFacts& facts);

// Whether `text` is a card as ModelCard() made it, unchanged since.
bool IsOwnCard(std::string_view text);

// Refuses a path where something else than an unchanged card lies. Errors: kAlreadyExists,
// kNotFound without the directory, kIo.
Status CheckCardPath(const std::filesystem::path& path);
// Errors: those of CheckCardPath(); kNoSpace, kIo.
Status WriteCard(const std::filesystem::path& path, std::string_view card);

}  // namespace ecq
