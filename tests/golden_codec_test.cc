// Encoders and decoders against the golden codestreams of tests/golden/codec, which a second
// implementation wrote (tests/reference/make_golden_codec.py describes the format).
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "ecq/backend/packed_matrix.h"
#include "ecq/base/bytes.h"
#include "ecq/base/cpu_target.h"
#include "ecq/codec/codec.h"
#include "ecq/codec/window_table.h"
#include "ecq/pack/packed_tensor.h"
#include "ecq/pack/window_encoder.h"

namespace ecq {
namespace {

struct GoldenTable {
  uint32_t prob_bits = 0;
  int32_t level_min = 0;
  std::vector<uint32_t> freqs;
  std::optional<uint32_t> rho;
  std::vector<uint8_t> record;
};

struct GoldenCase {
  std::string name;
  std::string codec;
  uint32_t raw_bits = 0;
  int32_t raw_level_min = 0;
  uint32_t low_bits = 0;
  uint32_t window_bits = 0;
  uint32_t lanes = 0;
  uint32_t blocks_per_tile = 0;
  uint32_t rows = 0;
  uint32_t cols = 0;
  std::vector<GoldenTable> tables;
  std::vector<ColumnSpan> spans;  // table: index in `tables`
  WindowCodes codes;              // window: without tables
  std::vector<int8_t> levels;
  std::vector<std::vector<uint8_t>> tiles;
};

template <typename T, typename As = T>
void ReadNumbers(std::istream& line, std::vector<T>& out) {
  for (As value; line >> value;) out.push_back(static_cast<T>(value));
}

void ReadHex(std::istream& line, std::vector<uint8_t>& out) {
  line >> std::hex;
  ReadNumbers<uint8_t, uint32_t>(line, out);
}

// Reads one line into `c`. False if the keyword is unknown.
bool ReadField(const std::string& keyword, std::istream& line, GoldenCase& c) {
  if (keyword == "codec") {
    line >> c.codec;
    if (c.codec == "raw") line >> c.raw_bits >> c.raw_level_min;
    if (c.codec == "rans16") line >> c.low_bits;
    if (c.codec == "window") line >> c.window_bits;
  } else if (keyword == "lanes") {
    line >> c.lanes;
  } else if (keyword == "blocks_per_tile") {
    line >> c.blocks_per_tile;
  } else if (keyword == "shape") {
    line >> c.rows >> c.cols;
  } else if (keyword == "table") {
    GoldenTable& table = c.tables.emplace_back();
    line >> table.prob_bits >> table.level_min;
    ReadNumbers(line, table.freqs);
  } else if (keyword == "gaussian") {
    line >> c.tables.back().rho.emplace();
  } else if (keyword == "record") {
    ReadHex(line, c.tables.back().record);
  } else if (keyword == "span") {
    uint32_t columns, table;
    line >> columns >> table;
    const uint32_t begin = c.spans.empty() ? 0 : c.spans.back().end;
    c.spans.push_back({begin, begin + columns, table, c.tables.at(table).prob_bits});
  } else if (keyword == "tuple") {
    ReadHex(line, c.codes.bytes);
  } else if (keyword == "raw") {
    ReadHex(line, c.codes.raw);
  } else if (keyword == "level") {
    ReadNumbers<int8_t, int32_t>(line, c.levels);
  } else if (keyword == "tile") {
    c.tiles.emplace_back();
  } else if (keyword == "bytes") {
    ReadHex(line, c.tiles.back());
  } else {
    return false;
  }
  return true;
}

std::vector<GoldenCase> ReadCases(const std::string& file) {
  const auto path = std::filesystem::path(ECQ_SOURCE_DIR) / "tests/golden/codec" / file;
  std::ifstream in(path);
  EXPECT_TRUE(in.good()) << path;
  std::vector<GoldenCase> cases;
  for (std::string text; std::getline(in, text);) {
    std::istringstream line(text.substr(0, text.find('#')));
    std::string keyword;
    if (!(line >> keyword) || keyword == "end") continue;
    if (keyword == "case") {
      line >> cases.emplace_back().name;
    } else {
      EXPECT_TRUE(ReadField(keyword, line, cases.back())) << file << ": " << text;
    }
  }
  return cases;
}

// The table of the file, checked against its frequencies and, for a Gaussian, its parameter.
FrequencyTable MakeTable(const GoldenTable& golden) {
  std::span<const uint8_t> bytes = golden.record;
  auto table = FrequencyTable::Parse(bytes);
  EXPECT_TRUE(table.ok()) << table.error().message;
  EXPECT_TRUE(bytes.empty());
  EXPECT_EQ(table->prob_bits(), golden.prob_bits);
  EXPECT_EQ(table->level_min(), golden.level_min);
  EXPECT_EQ(table->num_levels(), golden.freqs.size());
  for (size_t i = 0; i < golden.freqs.size(); ++i) {
    EXPECT_EQ(table->Freq(golden.level_min + static_cast<int32_t>(i)), golden.freqs[i]);
  }
  std::vector<uint8_t> record;
  table->AppendTo(record);
  EXPECT_EQ(record, golden.record);
  if (golden.rho) {
    const auto made =
        FrequencyTable::Gaussian(*golden.rho, golden.level_min,
                                 static_cast<uint32_t>(golden.freqs.size()), golden.prob_bits);
    EXPECT_TRUE(made.ok() && *made == *table);
  }
  return std::move(table).value();
}

WindowTable MakeWindowTable(const GoldenTable& golden) {
  std::span<const uint8_t> bytes = golden.record;
  const auto table = ParseWindowTable(bytes);
  EXPECT_TRUE(table.ok()) << table.error().message;
  EXPECT_TRUE(bytes.empty());
  std::vector<uint8_t> record;
  AppendWindowTable(*table, record);
  EXPECT_EQ(record, golden.record);
  return *table;
}

// The case as a matrix whose codestreams are the golden bytes.
PackedTensor MakeMatrix(const GoldenCase& c) {
  PackedTensor matrix;
  PackedDesc& desc = matrix.desc;
  desc.rows = c.rows;
  desc.cols = c.cols;
  desc.lanes = c.lanes;
  desc.blocks_per_tile = c.blocks_per_tile;
  desc.num_tiles = static_cast<uint32_t>(c.tiles.size());
  const auto codec = CodecFromName(c.codec);
  EXPECT_TRUE(codec.ok());
  desc.codec = *codec;
  desc.raw_bits = c.raw_bits;
  desc.raw_level_min = c.raw_level_min;
  desc.has_memory = c.window_bits == 12;
  desc.low_bits = c.low_bits;
  desc.scale_groups = 1;
  desc.group_size = c.cols;
  matrix.spans = c.spans;
  if (matrix.spans.empty()) matrix.spans.push_back({0, c.cols, 0, 0});
  desc.num_spans = static_cast<uint32_t>(matrix.spans.size());
  for (size_t i = 0; i < c.spans.size(); ++i) {
    const GoldenTable& table = c.tables.at(c.spans[i].table);
    matrix.spans[i].table = static_cast<uint32_t>(i);
    if (desc.codec == CodecId::kRans || desc.codec == CodecId::kRans16)
      matrix.tables.push_back(MakeTable(table));
    if (desc.codec == CodecId::kWindow) matrix.windows.push_back(MakeWindowTable(table));
  }
  auto storage = std::make_shared<PackedTensor::Storage>();
  storage->index.push_back(0);
  for (const std::vector<uint8_t>& tile : c.tiles) {
    storage->payload.insert(storage->payload.end(), tile.begin(), tile.end());
    storage->index.push_back(static_cast<uint32_t>(storage->payload.size() / kIndexUnitBytes));
  }
  const size_t payload_bytes = AlignUp(storage->payload.size(), kPayloadAlignment);
  // What follows the codestreams must not matter.
  storage->payload.resize(payload_bytes + kPayloadReadPadding, 0xa5);
  storage->scales = {0x3c00};
  matrix.scale_kind = ScaleKind::kTensor;
  matrix.payload = std::span(storage->payload).first(payload_bytes);
  matrix.index = storage->index;
  matrix.scales = storage->scales;
  matrix.storage = std::move(storage);
  return matrix;
}

void ExpectWindowEncoderGivesTheBytes(const GoldenCase& c, const PackedTensor& matrix) {
  WindowCodes codes = c.codes;
  codes.has_memory = matrix.desc.has_memory;
  codes.tables = matrix.windows;
  for (uint32_t tile = 0; tile < c.tiles.size(); ++tile) {
    EXPECT_EQ(EncodeWindowTile(codes, matrix.spans, TileRowBegin(matrix.desc, tile),
                               TileRowEnd(matrix.desc, tile)),
              c.tiles[tile])
        << "tile " << tile;
  }
}

void ExpectEncodersGiveTheBytes(const GoldenCase& c, const PackedTensor& matrix) {
  CodecPlan plan;
  plan.codec = matrix.desc.codec;
  plan.raw_bits = c.raw_bits;
  plan.raw_level_min = c.raw_level_min;
  plan.low_bits = c.low_bits;
  plan.tables = matrix.tables;
  const auto encoder = GetCodec(plan.codec).make_encoder(plan, matrix.spans, c.lanes);
  for (uint32_t tile = 0; tile < c.tiles.size(); ++tile) {
    const uint32_t row = TileRowBegin(matrix.desc, tile);
    std::vector<uint8_t> stream;
    encoder->Encode({c.levels.data() + size_t{row} * c.cols, c.cols,
                     TileRowEnd(matrix.desc, tile) - row, c.cols},
                    stream);
    EXPECT_EQ(stream, c.tiles[tile]) << "tile " << tile;
  }
}

void ExpectDecodersGiveTheLevels(const GoldenCase& c, const PackedTensor& tensor) {
  const PackedMatrix matrix(tensor);
  for (const CpuTarget target : kAllCpuTargets) {
    if (!CpuTargetSupported(target)) continue;
    ASSERT_TRUE(SetActiveCpuTarget(target).ok());
    std::vector<int32_t> decoded(c.levels.size());
    const Status status = matrix.DecodeIntegers(0, c.rows, decoded.data());
    EXPECT_TRUE(status.ok()) << CpuTargetName(target) << ": " << status.error().message;
    EXPECT_TRUE(std::equal(decoded.begin(), decoded.end(), c.levels.begin()))
        << CpuTargetName(target);
  }
  ASSERT_TRUE(SetActiveCpuTarget(BestCpuTarget()).ok());
}

class GoldenCodecTest : public testing::TestWithParam<const char*> {};

TEST_P(GoldenCodecTest, LevelsAndBytesBelongTogether) {
  const std::vector<GoldenCase> cases = ReadCases(GetParam());
  EXPECT_GE(cases.size(), 10u);
  for (const GoldenCase& c : cases) {
    SCOPED_TRACE(c.name);
    ASSERT_EQ(c.levels.size(), size_t{c.rows} * c.cols);
    const PackedTensor matrix = MakeMatrix(c);
    const Status valid = ValidatePackedTensor(matrix, c.name);
    ASSERT_TRUE(valid.ok()) << valid.error().message;
    if (matrix.desc.codec == CodecId::kWindow) {
      ExpectWindowEncoderGivesTheBytes(c, matrix);
    } else {
      ExpectEncodersGiveTheBytes(c, matrix);
    }
    ExpectDecodersGiveTheLevels(c, matrix);
  }
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenCodecTest,
                         testing::Values("rans_counts.txt", "rans_tables.txt", "rans_shapes.txt",
                                         "rans16.txt", "raw.txt", "window.txt", "window_rates.txt"),
                         [](const auto& param) {
                           const std::string file = param.param;
                           return file.substr(0, file.find('.'));
                         });

}  // namespace
}  // namespace ecq
