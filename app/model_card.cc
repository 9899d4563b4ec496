// Text of the model card, and the guard of cards that people wrote.
#include "app/model_card.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "app/tensor_type.h"
#include "app/units.h"
#include "ecq/base/atomic_file.h"
#include "ecq/base/mapped_file.h"
#include "ecq/codec/codec.h"
#include "ecq/format/sha256.h"
#include "ecq/import/gguf_file.h"

namespace ecq {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMarkBegin = "<!-- Written by ecq, sha256 of the other lines ";
constexpr std::string_view kMarkEnd =
    " -->\n<!-- ecq replaces this card only while that is true: what you change stays. -->\n";

// ---- origin ----

bool IsNamePart(std::string_view text) {
  return !text.empty() && text.size() <= 96 && text.front() != '.' &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
         });
}

// "org/name", or nothing.
std::string RepositoryIn(std::string_view text) {
  constexpr std::string_view kSite = "https://huggingface.co/";
  if (text.substr(0, kSite.size()) == kSite) text.remove_prefix(kSite.size());
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos || !IsNamePart(text.substr(0, slash)) ||
      !IsNamePart(text.substr(slash + 1))) {
    return {};
  }
  return std::string(text);
}

// The cache of Hugging Face keeps org/name in .../models--org--name/snapshots/REVISION.
std::string RepositoryOfCache(const fs::path& path) {
  constexpr std::string_view kPrefix = "models--";
  std::error_code ignored;
  for (const fs::path& part : fs::absolute(path, ignored)) {
    const std::string name = part.string();
    const size_t end = name.find("--", kPrefix.size());
    if (name.compare(0, kPrefix.size(), kPrefix) != 0 || end == std::string::npos) continue;
    return RepositoryIn(name.substr(kPrefix.size(), end - kPrefix.size()) + "/" +
                        name.substr(end + 2));
  }
  return {};
}

ModelOrigin OriginInGguf(const fs::path& path) {
  ModelOrigin origin;
  const Result<MappedFile> file = MappedFile::Open(path);
  if (!file.ok()) return origin;
  const Result<GgufFile> gguf = GgufFile::Parse(file->bytes(), path.string());
  if (!gguf.ok()) return origin;
  const auto text = [&](std::string_view key) -> std::string {
    const auto value = gguf->GetString(key);
    return value.ok() && *value ? std::string(**value) : std::string();
  };
  if (const std::string license = text("general.license"); IsNamePart(license)) {
    origin.license = license;
  }
  for (const char* key : {"general.source.huggingface.repository", "general.source.repo_url"}) {
    if (origin.repository.empty()) origin.repository = RepositoryIn(text(key));
  }
  return origin;
}

// The value of "license:" in the front matter of a card.
std::string LicenseInCard(const fs::path& path) {
  constexpr std::string_view kKey = "\nlicense:";
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) return {};
  const Result<MappedFile> file = MappedFile::Open(path);
  if (!file.ok()) return {};
  std::string_view text(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
  if (text.substr(0, 4) != "---\n") return {};
  text = text.substr(0, text.find("\n---", 3));
  const size_t key = text.find(kKey);
  if (key == std::string_view::npos) return {};
  std::string_view value = text.substr(key + kKey.size());
  value = value.substr(0, value.find('\n'));
  constexpr std::string_view kAround = " '\"\r";
  const size_t begin = value.find_first_not_of(kAround);
  if (begin == std::string_view::npos) return {};
  value = value.substr(begin, value.find_last_not_of(kAround) + 1 - begin);
  return IsNamePart(value) ? std::string(value) : std::string();
}

// ---- text ----

// Foreign text as a code span that fits a cell of a table.
std::string Code(std::string_view text) {
  std::string code = Printable(text);
  std::replace(code.begin(), code.end(), '`', '\'');
  std::replace(code.begin(), code.end(), '|', '/');
  return "`" + code + "`";
}

struct Row {
  uint64_t count = 0;
  uint64_t weights = 0;
  uint64_t bytes = 0;
  double error = 0;
  std::vector<std::string> grids;
  std::vector<std::string> codecs;

  double bits_per_weight() const {
    return 8.0 * static_cast<double>(bytes) / static_cast<double>(weights);
  }
};

void AddOnce(std::string_view text, std::vector<std::string>* list) {
  if (std::find(list->begin(), list->end(), text) == list->end()) list->emplace_back(text);
}

std::string JoinCode(const std::vector<std::string>& texts) {
  return Code(fmt::format("{}", fmt::join(texts, " + ")));
}

class CardText {
 public:
  CardText(const OpenedModel& model, const CardFacts& facts)
      : model_(model), file_(*model.ecq()), facts_(facts) {}

  Result<std::string> Make() {
    ECQ_RETURN_IF_ERROR(CountTensors());
    ECQ_TRY(digest_, Sha256OfFile(model_.path()));
    ReadConfig();
    const std::string front = FrontMatter();
    const std::string body = Intro() + HowMade() + Contents() + HowToRun() + Checks() + Limits();
    const std::string mark = fmt::format("{}{}{}", kMarkBegin, Hash(front + body), kMarkEnd);
    return front + mark + body;
  }

  static std::string Hash(std::string_view text) {
    return Sha256Hex({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  }

 private:
  Status CountTensors() {
    std::map<std::string_view, double> errors;
    for (const MatrixReport& m : facts_.measured) errors[m.name] = m.relative_error;
    for (const SourceTensor& tensor : model_.source().tensors()) {
      if (!IsWeightMatrix(tensor)) {
        ++other_tensors_;
        other_bytes_ += tensor.source_bytes;
        continue;
      }
      Row& row = rows_[TensorTypeOf(tensor.name)];
      ++row.count;
      row.weights += tensor.shape[0] * tensor.shape[1];
      row.bytes += tensor.source_bytes;
      row.error += errors[tensor.name];
      const auto coded = file_.matrix(tensor.name);
      AddOnce(coded.ok() ? coded->grid : "kept", &row.grids);
      AddOnce(coded.ok() ? GetCodec(coded->desc.codec).name : tensor.source_type, &row.codecs);
    }
    return OkStatus();
  }

  void ReadConfig() {
    for (const SideFile& file : model_.source().side_files()) {
      side_bytes_ += file.contents.size();
      if (file.name == "chat_template.jinja") chats_ = true;
      if (file.name == "tokenizer_config.json") {
        chats_ |= file.contents.find("\"chat_template\"") != std::string::npos;
      }
      if (file.name != "config.json") continue;
      const auto config = nlohmann::json::parse(file.contents, nullptr, /*allow_exceptions=*/false);
      if (!config.is_object()) continue;
      const auto type = config.find("model_type");
      if (type != config.end() && type->is_string()) model_type_ = type->get<std::string>();
    }
    runs_ = model_.LoadConfig().ok();
  }

  std::string FileName() const { return fs::path(model_.path()).filename().string(); }

  std::string FrontMatter() const {
    std::string text = "---\nlibrary_name: ecq\n";
    if (!facts_.origin.repository.empty()) {
      text +=
          fmt::format("base_model: {}\nbase_model_relation: quantized\n", facts_.origin.repository);
    }
    if (!facts_.origin.license.empty()) text += "license: " + facts_.origin.license + "\n";
    if (runs_) text += "pipeline_tag: text-generation\n";
    text += "tags:\n- ecq\n- quantized\n";
    if (IsNamePart(model_type_)) text += fmt::format("- \"{}\"\n", model_type_);
    return text + "---\n";
  }

  std::string Intro() const {
    return fmt::format(
        "\n# {}\n\n"
        "A language model quantized and entropy-coded with ECQ: {} in {}, {:.3f} bits per weight "
        "over all\nmatrices, scales and tables included. The weights stay coded in memory and are "
        "decoded inside the\nmatrix product.\n",
        Code(facts_.title), Code(FileName()), FormatBytes(file_.file_bytes()),
        model_.bits_per_weight());
  }

  std::string HowMade() const {
    const EcqFileInfo& info = file_.info();
    std::string text = fmt::format(
        "\n## How it was made\n\n    {}\n\nThe weights were quantized by {}{} from a source of "
        "kind "
        "{}:\n\n| file | bytes | SHA-256 |\n|---|---:|---|\n",
        Printable(facts_.command), Code(info.producer),
        facts_.measured.empty() ? "" : ", without calibration data,", Code(info.source_kind));
    for (const EcqSourceFile& file : info.source_files) {
      text += fmt::format("| {} | {} | {} |\n", Code(file.name), file.bytes, Code(file.sha256));
    }
    return text;
  }

  std::string Contents() const {
    const bool measured = !facts_.measured.empty();
    std::string text = fmt::format(
        "\n## What is in it\n\n| matrices | number | weights | bits per weight | grid | codec |{}\n"
        "|---|---:|---:|---:|---|---|{}\n",
        measured ? " relative error |" : "", measured ? "---:|" : "");
    Row all;
    for (const auto& [type, row] : rows_) {
      text += fmt::format("| {} | {} | {} | {:.3f} | {} | {} |", Code(type), row.count, row.weights,
                          row.bits_per_weight(), JoinCode(row.grids), JoinCode(row.codecs));
      if (measured) text += fmt::format(" {:.4f} |", row.error / static_cast<double>(row.count));
      text += '\n';
      all.count += row.count;
      all.weights += row.weights;
      all.bytes += row.bytes;
    }
    text += fmt::format("| all | {} | {} | {:.3f} | | |{}\n\n", all.count, all.weights,
                        model_.bits_per_weight(), measured ? " |" : "");
    if (measured) {
      text +=
          "The relative error of a matrix W is |W - quantized W| / |W| (Frobenius norms), measured "
          "when the\nfile was made; the mean over the matrices is shown.\n";
    }
    return text + fmt::format(
                      "The matrices take {} bytes. {} other tensors (norms, biases) are stored "
                      "exactly in {} bytes,\nconfig and tokenizer in {} bytes.\n",
                      all.bytes, other_tensors_, other_bytes_, side_bytes_);
  }

  std::string HowToRun() const {
    const std::string file = Printable(FileName());
    if (!runs_) {
      return "\n## How to run it\n\nECQ quantizes and checks models of this architecture, and does "
             "not run them.\n";
    }
    std::string text =
        fmt::format("\n## How to run it\n\n    ecq run {} -p \"Once upon a time\" -n 64\n", file);
    if (chats_) text += fmt::format("    ecq chat {}\n", file);
    return text;
  }

  std::string Checks() const {
    return fmt::format(
        "\n## Checks\n\n| file | bytes | SHA-256 |\n|---|---:|---|\n| {} | {} | {} |\n\n"
        "    ecq verify {}\n\nreads every hash and decodes every codestream; with `--against "
        "SOURCE` it compares with what the\nfile was made from.\n",
        Code(FileName()), file_.file_bytes(), Code(digest_), Printable(FileName()));
  }

  std::string Limits() const {
    std::string text =
        "\n## Limits\n\n"
        "- The weights are not those of the source: rounding them changes what the model says.\n"
        "- No perplexity and no benchmark was measured when this card was written. `ecq eval` "
        "measures both\n  perplexity and the divergence from the source on a text of your "
        "choice.\n";
    if (facts_.measured.empty()) {
      text +=
          "- The errors of the weights are not recorded in the file; `ecq verify --against "
          "SOURCE` measures them.\n";
    }
    if (file_.info().source_kind != "huggingface" && file_.info().source_kind != "llama2.c") {
      text +=
          "- Sources of this kind can be quantized already. Errors count from the source as it "
          "was, not from the\n  weights that were trained.\n";
    }
    text += "- The file is valid safetensors, but only ECQ decodes the matrices in it.\n";
    if (facts_.origin.license.empty()) {
      text += "- The license is not known here: the one of the source applies.\n";
    }
    return text;
  }

  const OpenedModel& model_;
  const EcqFile& file_;
  const CardFacts& facts_;
  std::map<std::string, Row> rows_;
  uint64_t other_tensors_ = 0;
  uint64_t other_bytes_ = 0;
  uint64_t side_bytes_ = 0;
  std::string digest_;
  std::string model_type_;
  bool chats_ = false;
  bool runs_ = false;
};

}  // namespace

ModelOrigin ReadOrigin(const OpenedModel& source) {
  ModelOrigin origin;
  if (source.source().kind() == "gguf" && !source.source().weight_paths().empty()) {
    origin = OriginInGguf(source.source().weight_paths().front());
  } else {
    origin.license = LicenseInCard(fs::path(source.path()) / kCardFile);
  }
  if (origin.repository.empty()) origin.repository = RepositoryOfCache(source.path());
  return origin;
}

Result<std::string> ModelCard(const OpenedModel& model, const CardFacts& facts) {
  if (!model.coded()) {
    return Error{ErrorCode::kInvalidArgument, model.path() + ": expected an .ecq file"};
  }
  return CardText(model, facts).Make();
}

bool IsOwnCard(std::string_view text) {
  const size_t mark = text.find(kMarkBegin);
  if (mark == std::string_view::npos) return false;
  const size_t digest = mark + kMarkBegin.size();
  const size_t end = text.find(kMarkEnd, digest);
  if (end == std::string_view::npos) return false;
  const std::string others =
      std::string(text.substr(0, mark)) + std::string(text.substr(end + kMarkEnd.size()));
  return CardText::Hash(others) == text.substr(digest, end - digest);
}

Status CheckCardPath(const fs::path& path) {
  std::error_code error;
  if (!fs::exists(path, error)) {
    const fs::path parent = path.parent_path();
    if (parent.empty() || fs::is_directory(parent, error)) return OkStatus();
    return Error{ErrorCode::kNotFound,
                 fmt::format("{}: there is no directory {}", path.string(), parent.string())};
  }
  ECQ_TRY(const MappedFile file, MappedFile::Open(path));
  const auto* const text = reinterpret_cast<const char*>(file.bytes().data());
  if (IsOwnCard({text, file.bytes().size()})) return OkStatus();
  return Error{ErrorCode::kAlreadyExists,
               fmt::format("{}: not a card that ecq wrote, or one that was changed since; move it "
                           "away or name another file",
                           path.string())};
}

Status WriteCard(const fs::path& path, std::string_view card) {
  ECQ_RETURN_IF_ERROR(CheckCardPath(path));
  ECQ_TRY(AtomicFile file, AtomicFile::Create(path, /*overwrite=*/true));
  ECQ_RETURN_IF_ERROR(file.Append({reinterpret_cast<const uint8_t*>(card.data()), card.size()}));
  return file.Commit();
}

}  // namespace ecq
