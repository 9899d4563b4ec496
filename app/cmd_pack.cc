// ecq unpack and ecq pack: one .ecq file as a model directory, and back.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <system_error>
#include <vector>

#include "app/commands.h"
#include "app/dense_checkpoint.h"
#include "app/ecq_source.h"
#include "app/model_card.h"
#include "app/opened_model.h"
#include "app/units.h"
#include "ecq/base/atomic_file.h"
#include "ecq/base/mapped_file.h"
#include "ecq/format/ecq_copy.h"

namespace ecq {
namespace {

namespace fs = std::filesystem;

// Opens the file and reads all of it once: what is damaged must not get new hashes.
Result<EcqFile> OpenVerified(const fs::path& path) {
  ECQ_TRY(EcqFile file, EcqFile::Open(path));
  ThreadPool pool(DefaultThreadCount());
  ECQ_RETURN_IF_ERROR(file.VerifyHashes(pool));
  return file;
}

Status WriteFile(const fs::path& path, std::span<const uint8_t> bytes, bool overwrite) {
  ECQ_TRY(AtomicFile file, AtomicFile::Create(path, overwrite));
  ECQ_RETURN_IF_ERROR(file.Append(bytes));
  return file.Commit();
}

// Errors: kAlreadyExists if it holds anything and may not be written into.
Status MakeDirectory(const fs::path& directory, bool force) {
  std::error_code error;
  fs::create_directory(directory, error);
  if (error) {
    return Error{ErrorCode::kIo, fmt::format("{}: cannot create the directory: {}",
                                             directory.string(), error.message())};
  }
  const bool empty = fs::is_empty(directory, error);
  if (error) return Error{ErrorCode::kIo, directory.string() + ": " + error.message()};
  if (!empty && !force) {
    return Error{ErrorCode::kAlreadyExists,
                 directory.string() + ": not an empty directory; give another one, or --force"};
  }
  return OkStatus();
}

// Writes the card of an unpacked directory, unless a side file has its name or somebody changed the
// one that is there. Returns a remark for the report.
Result<std::string> WriteCardInto(const fs::path& directory, const EcqFile& file,
                                  const std::string& command) {
  const auto& names = file.side_files();
  if (std::find(names.begin(), names.end(), kCardFile) != names.end()) return std::string();
  const fs::path path = directory / kCardFile;
  const Status free = CheckCardPath(path);
  if (!free.ok() && free.error().code == ErrorCode::kAlreadyExists) {
    return fmt::format("; {} stays as it is", path.string());
  }
  ECQ_RETURN_IF_ERROR(free);
  ECQ_TRY(const OpenedModel model, OpenedModel::Open(directory / kUnpackedWeights));
  const std::string title = fs::absolute(directory).lexically_normal().filename().string();
  ECQ_TRY(const std::string card, ModelCard(model, {title, command, ReadOrigin(model), {}}));
  ECQ_RETURN_IF_ERROR(WriteCard(path, card));
  return fmt::format("; model card in {}", path.string());
}

// Whether a file of an unpacked directory goes into the .ecq although it was not in it before.
bool IsSideFileKind(const fs::path& path) {
  constexpr std::array<std::string_view, 3> kKinds{".json", ".jinja", ".model"};
  const std::string kind = path.extension().string();
  return std::find(kKinds.begin(), kKinds.end(), kind) != kKinds.end();
}

// The side files that `directory` holds, sorted by name.
Result<std::vector<NamedContents>> ReadSideFiles(const fs::path& directory, const EcqFile& old) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    const auto& known = old.side_files();
    const bool was_there = std::find(known.begin(), known.end(), name) != known.end();
    std::error_code ignored;
    if (!IsSideFileName(name) || !it->is_regular_file(ignored)) continue;
    if (was_there || IsSideFileKind(it->path())) names.push_back(name);
  }
  if (error) return Error{ErrorCode::kIo, directory.string() + ": " + error.message()};
  std::sort(names.begin(), names.end());
  std::vector<NamedContents> files;
  for (const std::string& name : names) {
    ECQ_TRY(const MappedFile file, MappedFile::Open(directory / name));
    files.push_back({name, {file.bytes().begin(), file.bytes().end()}});
  }
  return files;
}

}  // namespace

// The weights come last: a directory that has them is whole.
Status RunUnpack(const UnpackArgs& args) {
  const fs::path directory = args.output;
  ECQ_TRY(const EcqFile file, OpenVerified(args.file));
  for (const std::string& name : file.side_files()) {
    if (name == kUnpackedWeights) {
      return Error{
          ErrorCode::kBadLayout,
          fmt::format("{}: a side file has the name {}, which the weights need", args.file, name)};
    }
  }
  ECQ_RETURN_IF_ERROR(MakeDirectory(directory, args.force));
  for (const std::string& name : file.side_files()) {
    ECQ_TRY(const auto contents, file.side_file(name));
    ECQ_RETURN_IF_ERROR(WriteFile(directory / name, contents, args.force));
  }
  const fs::path weights = directory / kUnpackedWeights;
  std::string remark;
  if (args.dequantize) {
    ECQ_TRY(const auto source, MakeEcqSource(file, args.file));
    ECQ_RETURN_IF_ERROR(WriteDenseCheckpoint(*source, weights, args.force));
  } else {
    ECQ_TRY(const MappedFile bytes, MappedFile::Open(args.file));
    ECQ_RETURN_IF_ERROR(WriteFile(weights, bytes.bytes(), args.force));
    ECQ_TRY(remark, WriteCardInto(directory, file, args.command_line));
  }
  std::error_code error;
  const uint64_t size = fs::file_size(weights, error);
  if (error) return Error{ErrorCode::kIo, weights.string() + ": " + error.message()};
  fmt::print("{}: {} and {} other files, {}{}\n", args.output, kUnpackedWeights,
             file.side_files().size(), FormatBytes(size), remark);
  return OkStatus();
}

Status RunPack(const PackArgs& args) {
  const fs::path directory = args.directory;
  const fs::path weights = directory / kUnpackedWeights;
  ECQ_TRY(const EcqFile file, OpenVerified(weights));
  ECQ_TRY(const std::vector<NamedContents> files, ReadSideFiles(directory, file));
  const auto is_config = [](const NamedContents& f) { return f.name == kConfigFile; };
  if (std::find_if(files.begin(), files.end(), is_config) == files.end()) {
    return Error{ErrorCode::kNotFound,
                 fmt::format("{}: there is no {}", args.directory, kConfigFile)};
  }
  ECQ_TRY(const uint64_t size, CopyEcq(weights, files, args.output, args.force));
  fmt::print("{}: {}, {} side files\n", args.output, FormatBytes(size), files.size());
  return OkStatus();
}

}  // namespace ecq
