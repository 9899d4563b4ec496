// Writer and reader together: round trips of packed matrices, what each refuses, sizes.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <tuple>

#include "ecq/base/bytes.h"
#include "ecq/base/mapped_file.h"
#include "ecq/base/rng.h"
#include "ecq/format/ecq_reader.h"
#include "ecq/format/ecq_writer.h"
#include "ecq/pack/must_pack_for_test.h"
#include "ecq/pack/pack.h"
#include "ecq/pack/random_tensor_for_test.h"
#include "ecq/pack/random_window_for_test.h"
#include "ecq/tensor/safetensors.h"

namespace ecq {
namespace {

namespace fs = std::filesystem;

const EcqFileInfo kInfo{"ecq test", "none", {}};

std::span<const uint8_t> Bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

PackedTensor MakeMatrix(uint32_t rows, uint32_t cols, double sigma, uint64_t seed) {
  Rng rng(seed);
  QuantizedTensor tensor;
  tensor.rows = rows;
  tensor.cols = cols;
  tensor.grid = "test";
  for (size_t i = 0; i < size_t{rows} * cols; ++i) {
    tensor.levels.push_back(static_cast<int8_t>(std::lround(sigma * rng.Gaussian())));
  }
  tensor.scales.assign(rows, 0x3c00);
  ThreadPool pool(1);
  auto packed = Pack(tensor, {CodecId::kRans}, pool);
  EXPECT_TRUE(packed.ok()) << packed.error().message;
  return std::move(packed).value();
}

PackedTensor MakeWindowMatrix() {
  Rng rng(77);
  RandomWindowOptions options;
  options.rows = 40;
  options.cols = 70;
  options.span_ends = {32, 70};
  options.tuple_bits = {8, 16};
  ThreadPool pool(1);
  auto packed = Pack(RandomWindowTensor(rng, options), {}, pool);
  EXPECT_TRUE(packed.ok()) << packed.error().message;
  return std::move(packed).value();
}

class EcqFileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "ecq-file-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
    path_ = directory_ / "model.ecq";
  }
  void TearDown() override { fs::remove_all(directory_); }

  EcqWriter NewWriter(bool overwrite = true) {
    auto writer = EcqWriter::Create(path_, kInfo, overwrite);
    EXPECT_TRUE(writer.ok()) << writer.error().message;
    return std::move(writer).value();
  }

  // The bytes of a small valid file, followed by what Parse() asks for.
  std::vector<uint8_t> SmallFile() {
    EcqWriter writer = NewWriter();
    EXPECT_TRUE(writer.AddMatrix("a.weight", MakeMatrix(9, 20, 2, 1)).ok());
    EXPECT_TRUE(writer.AddFile("config.json", Bytes("{}")).ok());
    EXPECT_TRUE(writer.Finish().ok());
    return ReadBytes();
  }

  // A file with the matrix "w".
  std::vector<uint8_t> FileOf(const PackedTensor& matrix) {
    EcqWriter writer = NewWriter();
    EXPECT_TRUE(writer.AddMatrix("w", matrix).ok());
    EXPECT_TRUE(writer.AddFile("config.json", Bytes("{}")).ok());
    EXPECT_TRUE(writer.Finish().ok());
    return ReadBytes();
  }

  std::vector<uint8_t> ReadBytes() {
    std::ifstream in(path_, std::ios::binary);
    const std::vector<char> chars{std::istreambuf_iterator<char>(in), {}};
    std::vector<uint8_t> bytes(chars.begin(), chars.end());
    size_ = bytes.size();
    bytes.resize(size_ + kPayloadReadPadding);
    return bytes;
  }

  // A file with a window and a rans matrix, damaged in its header and its tables.
  Status ParseWindowWith(std::string_view from, std::string_view to,
                         const std::function<void(std::span<uint8_t>)>& damage_tables) {
    EcqWriter writer = NewWriter();
    EXPECT_TRUE(writer.AddMatrix("w.weight", MakeWindowMatrix()).ok());
    EXPECT_TRUE(writer.AddMatrix("r.weight", MakeMatrix(40, 64, 2, 1)).ok());
    EXPECT_TRUE(writer.AddFile("config.json", Bytes("{}")).ok());
    EXPECT_TRUE(writer.Finish().ok());
    std::vector<uint8_t> bytes = ReadBytes();
    const auto at = std::search(bytes.begin(), bytes.end(), from.begin(), from.end());
    EXPECT_NE(at, bytes.end()) << from;
    std::copy(to.begin(), to.end(), at);
    const std::span<uint8_t> contents = std::span(bytes).first(size_);
    const auto tensors = Safetensors::Parse(contents, "f");
    EXPECT_TRUE(tensors.ok());
    const std::span<const uint8_t> tables = tensors->Find("ecq.tables")->view.bytes;
    const auto offset = static_cast<size_t>(tables.data() - bytes.data());
    damage_tables(contents.subspan(offset, tables.size()));
    const auto file = EcqFile::Parse(contents, "f", {.check_records_hash = false});
    if (!file.ok()) return file.error();
    return OkStatus();
  }

  // Replaces text of the header by text of the same length and parses.
  Status ParseWith(std::string_view from, std::string_view to, EcqReadOptions options = {}) {
    std::vector<uint8_t> bytes = SmallFile();
    EXPECT_EQ(from.size(), to.size());
    const auto at = std::search(bytes.begin(), bytes.end(), from.begin(), from.end());
    EXPECT_NE(at, bytes.end()) << from;
    std::copy(to.begin(), to.end(), at);
    const auto file = EcqFile::Parse(std::span(bytes).first(size_), "f", options);
    if (!file.ok()) return file.error();
    return OkStatus();
  }

  fs::path directory_;
  fs::path path_;
  size_t size_ = 0;
};

TEST_F(EcqFileTest, RoundTripInOrderAndAligned) {
  const PackedTensor first = MakeMatrix(100, 64, 3, 1);
  const PackedTensor second = MakeMatrix(33, 7, 0.4, 2);
  const float values[] = {1, 2, 3};
  std::vector<uint8_t> plain(sizeof(values));
  std::memcpy(plain.data(), values, sizeof(values));
  EcqWriter writer = NewWriter();
  ASSERT_TRUE(writer.AddMatrix("z.weight", first).ok());
  ASSERT_TRUE(writer.AddPlain("norm", DType::kF32, {3}, plain).ok());
  ASSERT_TRUE(writer.AddFile("config.json", Bytes("{\"a\": 1}")).ok());
  ASSERT_TRUE(writer.AddMatrix("a.weight", second).ok());
  ASSERT_TRUE(writer.AddFile("empty", {}).ok());
  EXPECT_FALSE(fs::exists(path_));
  const auto size = writer.Finish();
  ASSERT_TRUE(size.ok()) << size.error().message;
  EXPECT_EQ(*size, fs::file_size(path_));

  const auto file = EcqFile::Open(path_);
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(file->file_bytes(), *size);
  EXPECT_EQ(file->matrices(), (std::vector<std::string>{"z.weight", "a.weight"}));
  EXPECT_EQ(file->info(), kInfo);
  ThreadPool pool(2);
  EXPECT_TRUE(file->VerifyHashes(pool).ok());
  const auto read = file->matrix("z.weight");
  ASSERT_TRUE(read.ok());
  EXPECT_TRUE(std::equal(read->payload.begin(), read->payload.end(), first.payload.begin(),
                         first.payload.end()));
  EXPECT_EQ(read->tables, first.tables);
  EXPECT_TRUE(read->storage->payload.empty()) << "an aligned payload must not be copied";
  const auto norm = file->plain_tensor("norm");
  ASSERT_TRUE(norm.ok());
  EXPECT_EQ(reinterpret_cast<uintptr_t>(norm->bytes.data()) % 4, 0u);
  EXPECT_EQ(file->side_file("config.json")->size(), 8u);
  EXPECT_EQ(file->side_file("empty")->size(), 0u);
  EXPECT_EQ(file->matrix("norm").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(file->plain_tensor("z.weight").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(file->plain_tensor("ecq.tables").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(file->side_file("x").error().code, ErrorCode::kNotFound);
}

TEST_F(EcqFileTest, WindowMatricesComeBackBesideOthers) {
  const PackedTensor window = MakeWindowMatrix();
  const PackedTensor rans = MakeMatrix(40, 64, 2, 1);
  EcqWriter writer = NewWriter();
  ASSERT_TRUE(writer.AddMatrix("a", rans).ok());
  ASSERT_TRUE(writer.AddMatrix("b", window).ok());
  ASSERT_TRUE(writer.AddMatrix("c", window).ok());
  ASSERT_TRUE(writer.AddFile("config.json", Bytes("{}")).ok());
  ASSERT_TRUE(writer.Finish().ok());
  const auto file = EcqFile::Open(path_);
  ASSERT_TRUE(file.ok()) << file.error().message;
  ThreadPool pool(1);
  EXPECT_TRUE(file->VerifyHashes(pool).ok());
  EXPECT_EQ(file->table_bytes(), rans.tables[0].SerializedBytes() + 2 * 516);
  EXPECT_EQ(file->matrix("a")->tables, rans.tables);
  for (const char* const name : {"b", "c"}) {
    const auto read = file->matrix(name);
    EXPECT_EQ(read->desc.codec, CodecId::kWindow);
    EXPECT_EQ(read->desc.has_memory, 1u);
    EXPECT_EQ(read->windows, window.windows);
    EXPECT_TRUE(std::ranges::equal(read->payload, window.payload));
    EXPECT_TRUE(DecodeWindowPayload(*read) == DecodeWindowPayload(window));
  }
}

// Old readers would stop at the records of the tables with a message that helps nobody.
TEST_F(EcqFileTest, OnlyFilesWithWindowNeedTheirVersion) {
  const auto header = [&](const PackedTensor& matrix) {
    const std::vector<uint8_t> bytes = FileOf(matrix);
    return std::string(bytes.begin(), bytes.end());
  };
  const std::string old = header(MakeMatrix(4, 4, 1, 1));
  EXPECT_NE(old.find(R"("ecq.version":"1","ecq.min_reader":"1")"), std::string::npos);
  const std::string window = header(MakeWindowMatrix());
  EXPECT_NE(window.find(R"("ecq.version":"2","ecq.min_reader":"2")"), std::string::npos);
  Rng rng(9);
  const std::string rans16 = header(MustPack(RandomTensor(rng, {}), {CodecId::kRans16}));
  EXPECT_NE(rans16.find(R"("ecq.version":"2","ecq.min_reader":"2")"), std::string::npos);
  PackedTensor matrix = MakeMatrix(4, 4, 1, 1);
  matrix.desc.rotation = 4;
  const std::string rotated = header(matrix);
  EXPECT_NE(rotated.find(R"("ecq.version":"2","ecq.min_reader":"2")"), std::string::npos);
  EXPECT_EQ(EcqFile::Open(path_)->matrix("w")->desc.rotation, 4u);
}

// A matrix whose fixes and order of columns take their short forms.
PackedTensor MakeMatrixWithShortForms() {
  Rng rng(3);
  RandomTensorOptions options;
  options.num_fixes = 5;
  QuantizedTensor tensor = RandomTensor(rng, options);
  for (Fix& fix : tensor.fixes) fix.delta = fix.delta % 30'000 + (fix.delta % 30'000 == 0);
  tensor.col_order.clear();
  for (uint32_t c = 1; c < tensor.cols; c += 2) tensor.col_order.push_back(c);
  for (uint32_t c = 0; c < tensor.cols; c += 2) tensor.col_order.push_back(c);
  return MustPack(tensor, {CodecId::kRaw});
}

TEST_F(EcqFileTest, ShortFormsComeBackAndNeedTheirVersion) {
  const PackedTensor matrix = MakeMatrixWithShortForms();
  const std::vector<uint8_t> bytes = FileOf(matrix);
  const std::string text(bytes.begin(), bytes.end());
  EXPECT_NE(text.find(R"("ecq.version":"3","ecq.min_reader":"3")"), std::string::npos);
  const auto file = EcqFile::Open(path_);
  ASSERT_TRUE(file.ok()) << file.error().message;
  const auto read = file->matrix("w");
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_FALSE(read->fixes.empty());
  EXPECT_TRUE(std::ranges::equal(read->fixes, matrix.fixes));
  EXPECT_TRUE(std::ranges::equal(read->col_order, matrix.col_order));
  ThreadPool pool(1);
  EXPECT_TRUE(file->VerifyHashes(pool).ok());
}

TEST_F(EcqFileTest, HostileShortFormsAreRefused) {
  const std::vector<uint8_t> good = FileOf(MakeMatrixWithShortForms());
  const auto code = [&](std::string_view part, const std::function<void(std::span<uint8_t>)>& f) {
    std::vector<uint8_t> bytes = good;
    const std::span<uint8_t> contents = std::span(bytes).first(size_);
    const auto tensors = Safetensors::Parse(contents, "f");
    EXPECT_TRUE(tensors.ok());
    const SafetensorsEntry* const entry = tensors->Find(part);
    EXPECT_NE(entry, nullptr) << part;
    const auto offset = static_cast<size_t>(entry->view.bytes.data() - bytes.data());
    f(contents.subspan(offset, entry->view.bytes.size()));
    const auto file = EcqFile::Parse(contents, "f");
    return file.ok() ? ErrorCode::kInternal : file.error().code;
  };
  const auto set = [](size_t at, uint8_t value) {
    return [at, value](std::span<uint8_t> part) { part[at] = value; };
  };
  EXPECT_EQ(code("w.ecq_fixes", set(0, 0)), ErrorCode::kInternal);  // another place, all valid
  EXPECT_EQ(code("w.ecq_fixes", set(1, 255)), ErrorCode::kBadLayout);
  EXPECT_EQ(code("w.ecq_fixes", [](std::span<uint8_t> part) { part[2] = part[3] = 0; }),
            ErrorCode::kBadLayout);
  // Of one type, under the name of the other.
  std::vector<uint8_t> bytes = good;
  const std::string_view from = "w.ecq_col_class";
  const std::string_view to = "w.ecq_col_order";
  for (auto at = bytes.begin();;) {
    at = std::search(at, bytes.end(), from.begin(), from.end());
    if (at == bytes.end()) break;
    std::copy(to.begin(), to.end(), at);
  }
  const auto file = EcqFile::Parse(std::span(bytes).first(size_), "f");
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.error().code, ErrorCode::kBadLayout);
}

TEST_F(EcqFileTest, HostileWindowMatricesAreRefused) {
  const auto code = [](const Status& status) {
    return status.ok() ? ErrorCode::kInternal : status.error().code;
  };
  const auto none = [](std::span<uint8_t>) {};
  const auto set = [](size_t at, uint8_t value) {
    return [at, value](std::span<uint8_t> tables) { tables[at] = value; };
  };
  EXPECT_TRUE(ParseWindowWith("", "", none).ok());
  const std::string spans = R"([[32,0],[38,1]])";
  for (const auto& [from, to, expected] :
       {std::tuple{std::string(R"(window\":12)"), R"(window\":11)", ErrorCode::kBadLayout},
        {std::string(R"(window\",)"), R"(windoW\",)", ErrorCode::kUnsupportedCodec},
        {std::string(R"("lanes\":32)"), R"("lanes\":16)", ErrorCode::kBadLayout},
        {spans, R"([[33,0],[37,1]])", ErrorCode::kBadLayout},
        {spans, R"([[64,0],[ 6,1]])", ErrorCode::kBadLayout},  // tiles of another size
        {spans, R"([[32,1],[38,0]])", ErrorCode::kBadLayout},
        {spans, R"([[32,0],[38,2]])", ErrorCode::kBadTable},  // a table of rans
        {spans, R"([[32,0],[38,9]])", ErrorCode::kBadTable}}) {
    const Status status = ParseWindowWith(from, to, none);
    EXPECT_EQ(code(status), expected) << to << ": " << (status.ok() ? "" : status.error().message);
  }
  EXPECT_EQ(code(ParseWindowWith("[[64,2]]", "[[64,0]]", none)), ErrorCode::kBadTable);
  for (const auto& damage : {set(0, 1), set(0, 9), set(1, 3), set(2, 1), set(3, 1), set(4, 0x80),
                             set(516 + 2, 255), set(516 + 1, 4)}) {
    EXPECT_EQ(code(ParseWindowWith("", "", damage)), ErrorCode::kBadTable);
  }
}

TEST_F(EcqFileTest, EqualTablesAreStoredOnce) {
  const PackedTensor matrix = MakeMatrix(64, 64, 3, 5);
  ASSERT_EQ(matrix.tables.size(), 1u);
  EcqWriter writer = NewWriter();
  ASSERT_TRUE(writer.AddMatrix("a", matrix).ok());
  ASSERT_TRUE(writer.AddMatrix("b", matrix).ok());
  ASSERT_TRUE(writer.AddFile("config.json", Bytes("{}")).ok());
  ASSERT_TRUE(writer.Finish().ok());
  const auto file = EcqFile::Open(path_);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->table_bytes(), matrix.tables[0].SerializedBytes());
  EXPECT_EQ(file->matrix("b")->tables, matrix.tables);
}

TEST_F(EcqFileTest, MeasuringTellsTheExactSizeAndWritesNothing) {
  std::filesystem::remove(path_);
  for (const int num_matrices : {0, 1, 200}) {
    const auto fill = [&](EcqWriter& writer) {
      EXPECT_TRUE(writer.AddFile("config.json", Bytes("{}")).ok());
      for (int i = 0; i < num_matrices; ++i) {
        const std::string name = "model.layers." + std::to_string(i) + ".weight";
        EXPECT_TRUE(
            writer.AddMatrix(name, MakeMatrix(64, 40 + i % 7, 2, static_cast<uint64_t>(i))).ok());
      }
      const auto size = writer.Seal();
      EXPECT_TRUE(size.ok());
      return *size;
    };
    auto measuring = EcqWriter::CreateMeasuring(kInfo);
    ASSERT_TRUE(measuring.ok());
    const uint64_t predicted = fill(*measuring);
    EXPECT_FALSE(std::filesystem::exists(path_));
    EcqWriter writer = NewWriter();
    EXPECT_EQ(fill(writer), predicted);
    ASSERT_TRUE(writer.Finish().ok());
    EXPECT_EQ(std::filesystem::file_size(path_), predicted);
    std::filesystem::remove(path_);
  }
  auto empty = EcqWriter::CreateMeasuring(kInfo);
  ASSERT_TRUE(empty.ok());
  EXPECT_EQ(empty->Seal().error().code, ErrorCode::kInvalidArgument);
}

TEST_F(EcqFileTest, WriterRefusesBadNamesAndShapes) {
  const PackedTensor matrix = MakeMatrix(4, 4, 1, 1);
  const auto code = [](const Status& status) {
    return status.ok() ? ErrorCode::kInternal : status.error().code;
  };
  EcqWriter writer = NewWriter();
  ASSERT_TRUE(writer.AddMatrix("a", matrix).ok());
  EXPECT_EQ(code(writer.AddMatrix("a", matrix)), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code(writer.AddMatrix("ecq.a", matrix)), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code(writer.AddMatrix("a\xff", matrix)), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code(writer.AddPlain("a", DType::kF32, {0}, {})), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code(writer.AddPlain("b.ecq_data", DType::kF32, {0}, {})), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code(writer.AddPlain("b", DType::kI32, {0}, {})), ErrorCode::kUnsupportedType);
  EXPECT_EQ(code(writer.AddPlain("b", DType::kF32, {1}, {})), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code(writer.AddFile("../x", {})), ErrorCode::kInvalidArgument);
  PackedTensor broken = matrix;
  broken.payload = broken.payload.first(broken.payload.size() - 16);
  EXPECT_EQ(code(writer.AddMatrix("c", broken)), ErrorCode::kBadLayout);
  EXPECT_EQ(writer.Finish().error().code, ErrorCode::kInvalidArgument) << "no config.json";
  EXPECT_FALSE(EcqWriter::Create(path_, {"\xff", "", {}}, true).ok());
}

TEST_F(EcqFileTest, WriterLeavesAnExistingFileAlone) {
  std::ofstream(path_) << "old";
  EXPECT_EQ(EcqWriter::Create(path_, kInfo, false).error().code, ErrorCode::kAlreadyExists);
  { EcqWriter abandoned = NewWriter(); }
  EXPECT_EQ(fs::file_size(path_), 3u);
  EXPECT_EQ(std::distance(fs::directory_iterator(directory_), fs::directory_iterator()), 1);
}

TEST_F(EcqFileTest, ReaderNamesWhatIsWrong) {
  const auto code = [](const Status& status) {
    return status.ok() ? ErrorCode::kInternal : status.error().code;
  };
  EXPECT_EQ(code(ParseWith(R"("format":"ecq")", R"("format":"pt" )")), ErrorCode::kBadMagic);
  EXPECT_EQ(code(ParseWith(R"("format":"ecq")", R"("formaT":"ecq")")), ErrorCode::kBadMagic);
  EXPECT_EQ(code(ParseWith(R"(min_reader":"1")", R"(min_reader":"4")")),
            ErrorCode::kUnsupportedVersion);
  EXPECT_EQ(code(ParseWith(R"(min_reader":"1")", R"(min_reader":"x")")), ErrorCode::kBadHeader);
  EXPECT_EQ(code(ParseWith("ecq.version", "ecq.verzion")), ErrorCode::kBadHeader);
  EXPECT_EQ(code(ParseWith("[9,20]", "[8,20]")), ErrorCode::kCorrupt);
  const EcqReadOptions unhashed{.check_records_hash = false};
  EXPECT_EQ(code(ParseWith("[9,20]", "[9,21]", unhashed)), ErrorCode::kBadLayout);
  EXPECT_EQ(code(ParseWith(R"(codec\":\"r)", R"(codec\":\"x)", unhashed)),
            ErrorCode::kUnsupportedCodec);
  EXPECT_EQ(code(ParseWith("config.json\":", "konfig.json\":")), ErrorCode::kBadHeader);
  EXPECT_TRUE(ParseWith("ecq test", "eCq tEst").ok());

  EXPECT_EQ(EcqFile::Parse({}, "f").error().code, ErrorCode::kTruncated);
  EXPECT_EQ(EcqFile::Parse(Bytes("GGUF and more bytes"), "f").error().code, ErrorCode::kBadMagic);
  EXPECT_EQ(EcqFile::Open(directory_ / "none").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(EcqFile::Open(directory_).error().code, ErrorCode::kInvalidArgument);
}

// The pages of the codestreams may not be read: touching one would end the test.
TEST_F(EcqFileTest, OpeningDoesNotReadThePayload) {
  EcqWriter writer = NewWriter();
  ASSERT_TRUE(writer.AddMatrix("w", MakeMatrix(512, 512, 3, 1)).ok());
  ASSERT_TRUE(writer.AddFile("config.json", Bytes("{}")).ok());
  ASSERT_TRUE(writer.Finish().ok());
  const auto mapped = MappedFile::Open(path_);
  ASSERT_TRUE(mapped.ok());
  const std::span<const uint8_t> file = mapped->bytes();
  void* memory = ::mmap(nullptr, file.size() + kPayloadReadPadding, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  const std::span<uint8_t> bytes(static_cast<uint8_t*>(memory), file.size());
  std::copy(file.begin(), file.end(), bytes.begin());

  const auto first = EcqFile::Parse(bytes, "f");
  ASSERT_TRUE(first.ok());
  const std::span<const uint8_t> payload = first->matrix("w")->payload;
  const size_t page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const size_t begin = AlignUp(static_cast<size_t>(payload.data() - bytes.data()), page);
  const size_t end =
      static_cast<size_t>(payload.data() + payload.size() - bytes.data()) / page * page;
  ASSERT_GT(end, begin + 8 * page);
  ASSERT_EQ(::mprotect(bytes.data() + begin, end - begin, PROT_NONE), 0);
  EXPECT_TRUE(EcqFile::Parse(bytes, "f").ok());
  ::munmap(memory, file.size() + kPayloadReadPadding);
}

}  // namespace
}  // namespace ecq
