#include "tests/golden_models.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <utility>

#include "ecq/backend/packed_matrix.h"
#include "ecq/base/bytes.h"
#include "ecq/base/half.h"
#include "ecq/base/rng.h"
#include "ecq/base/thread_pool.h"
#include "ecq/codec/codec.h"
#include "ecq/format/ecq_writer.h"
#include "ecq/format/sha256.h"
#include "ecq/pack/random_window_for_test.h"
#include "ecq/pack/window_encoder.h"

namespace ecq {
namespace {

// A matrix before coding: what a test wants it to be.
struct Recipe {
  std::string name;
  uint32_t rows;
  uint32_t cols;
  uint32_t lanes;
  uint32_t blocks_per_tile;
  uint32_t raw_bits = 0;  // 0: rans or rans16
  int32_t raw_level_min = 0;
  std::vector<ColumnSpan> spans = {};  // rans: with a table each
  std::vector<FrequencyTable> tables = {};
  ScaleKind scale_kind = ScaleKind::kRow;
  uint32_t group_size = 0;
  int32_t scale_exponent = -6;
  bool biases = false;
  std::vector<Fix> fixes = {};
  bool columns = false;  // column scales and an order
  uint32_t classes = 0;  // with `columns`: the order is that of so many classes
  uint32_t rotation = 0;
  std::vector<int8_t> levels = {};         // drawn at random if empty
  std::optional<uint32_t> low_bits = {};   // if so, rans16
  std::optional<WindowCodes> window = {};  // if so, `levels` are what it decodes to

  CodecId codec() const {
    if (window) return CodecId::kWindow;
    if (raw_bits > 0) return CodecId::kRaw;
    return low_bits ? CodecId::kRans16 : CodecId::kRans;
  }
};

FrequencyTable Gaussian(uint32_t rho_q32, int32_t reach, uint32_t prob_bits) {
  return *FrequencyTable::Gaussian(rho_q32, -reach, static_cast<uint32_t>(2 * reach + 1),
                                   prob_bits);
}

std::vector<int8_t> DrawLevels(const Recipe& recipe, Rng& rng) {
  std::vector<int8_t> levels(size_t{recipe.rows} * recipe.cols);
  if (recipe.raw_bits > 0) {
    for (int8_t& level : levels) {
      level = static_cast<int8_t>(recipe.raw_level_min +
                                  static_cast<int32_t>(rng.Below(1u << recipe.raw_bits)));
    }
    return levels;
  }
  for (const ColumnSpan& span : recipe.spans) {
    const std::vector<RansSlot> slots = recipe.tables[span.table].Slots();
    for (uint32_t row = 0; row < recipe.rows; ++row) {
      for (uint32_t col = span.begin; col < span.end; ++col) {
        levels[size_t{row} * recipe.cols + col] =
            static_cast<int8_t>(slots[rng.Below(slots.size())].level);
        if (recipe.low_bits) {
          int8_t& level = levels[size_t{row} * recipe.cols + col];
          level = static_cast<int8_t>(level * (1 << *recipe.low_bits) +
                                      static_cast<int32_t>(rng.Below(1u << *recipe.low_bits)));
        }
      }
    }
  }
  return levels;
}

std::vector<uint16_t> DrawHalves(size_t size, float low, Rng& rng) {
  std::vector<uint16_t> halves(size);
  for (uint16_t& half : halves) half = FloatToHalf(low + static_cast<float>(rng.Below(64)) / 64.0f);
  return halves;
}

PackedDesc DescOf(const Recipe& recipe) {
  PackedDesc desc{};
  desc.rows = recipe.rows;
  desc.cols = recipe.cols;
  desc.lanes = recipe.lanes;
  desc.blocks_per_tile = recipe.blocks_per_tile;
  desc.num_tiles = static_cast<uint32_t>(DivideRoundUp(desc.rows, TileRows(desc)));
  desc.codec = recipe.codec();
  desc.raw_bits = recipe.raw_bits;
  desc.raw_level_min = recipe.raw_level_min;
  desc.has_memory = recipe.window && recipe.window->has_memory;
  desc.low_bits = recipe.low_bits.value_or(0);
  const bool group = recipe.scale_kind == ScaleKind::kGroup;
  desc.group_size = group ? recipe.group_size : recipe.cols;
  desc.scale_groups = static_cast<uint32_t>(DivideRoundUp(recipe.cols, desc.group_size));
  desc.has_bias = recipe.biases;
  desc.rotation = recipe.rotation;
  return desc;
}

void EncodeTiles(const Recipe& recipe, const std::vector<int8_t>& levels,
                 const PackedTensor& packed, PackedTensor::Storage& storage) {
  const PackedDesc& desc = packed.desc;
  CodecPlan plan;
  plan.codec = desc.codec;
  plan.raw_bits = desc.raw_bits;
  plan.raw_level_min = desc.raw_level_min;
  plan.low_bits = desc.low_bits;
  plan.tables = packed.tables;
  std::unique_ptr<TileEncoder> encoder;
  if (!recipe.window) {
    encoder = GetCodec(desc.codec).make_encoder(plan, packed.spans, desc.lanes);
  }
  storage.index.push_back(0);
  for (uint32_t tile = 0; tile < desc.num_tiles; ++tile) {
    const uint32_t row = TileRowBegin(desc, tile);
    const uint32_t row_end = TileRowEnd(desc, tile);
    if (recipe.window) {
      const std::vector<uint8_t> stream =
          EncodeWindowTile(*recipe.window, packed.spans, row, row_end);
      storage.payload.insert(storage.payload.end(), stream.begin(), stream.end());
    } else {
      encoder->Encode(
          {levels.data() + size_t{row} * recipe.cols, recipe.cols, row_end - row, recipe.cols},
          storage.payload);
    }
    storage.index.push_back(static_cast<uint32_t>(storage.payload.size() / kIndexUnitBytes));
  }
  storage.payload.resize(AlignUp(storage.payload.size(), kPayloadAlignment) + kPayloadReadPadding);
}

GoldenMatrix Make(const Recipe& recipe, uint64_t seed) {
  Rng rng(seed);
  const std::vector<int8_t> levels =
      recipe.levels.empty() ? DrawLevels(recipe, rng) : recipe.levels;
  GoldenMatrix matrix;
  matrix.name = recipe.name;
  matrix.integers.assign(levels.begin(), levels.end());
  for (const Fix& fix : recipe.fixes) {
    matrix.integers[size_t{fix.row} * recipe.cols + fix.col] += fix.delta;
  }

  PackedTensor& packed = matrix.packed;
  packed.grid = "golden";
  packed.desc = DescOf(recipe);
  packed.scale_kind = recipe.scale_kind;
  packed.scale_exponent = recipe.scale_exponent;
  packed.spans = recipe.spans;
  if (packed.spans.empty()) packed.spans.push_back({0, recipe.cols, 0, 0});
  packed.desc.num_spans = static_cast<uint32_t>(packed.spans.size());
  if (recipe.window) packed.windows = recipe.window->tables;
  if (!recipe.tables.empty()) {
    for (ColumnSpan& span : packed.spans) {
      packed.tables.push_back(recipe.tables[span.table]);
      span.prob_bits = packed.tables.back().prob_bits();
      span.table = static_cast<uint32_t>(packed.tables.size() - 1);
    }
  }
  auto storage = std::make_shared<PackedTensor::Storage>();
  EncodeTiles(recipe, levels, packed, *storage);
  const size_t num_scales =
      recipe.scale_kind == ScaleKind::kTensor ? 1 : size_t{recipe.rows} * packed.desc.scale_groups;
  storage->scales = DrawHalves(num_scales, 0.5f, rng);
  if (recipe.biases) storage->biases = DrawHalves(num_scales, -0.5f, rng);
  storage->fixes = recipe.fixes;
  if (recipe.columns) {
    storage->col_scales = DrawHalves(recipe.cols, 1.0f, rng);
    for (uint32_t i = 0; i < recipe.cols; ++i) storage->col_order.push_back(i);
    for (uint32_t i = recipe.cols; i > 1 && recipe.classes == 0; --i) {
      std::swap(storage->col_order[i - 1], storage->col_order[rng.Below(i)]);
    }
    if (recipe.classes > 0) {
      std::vector<uint32_t> class_of(recipe.cols);
      for (uint32_t& c : class_of) c = static_cast<uint32_t>(rng.Below(recipe.classes));
      std::stable_sort(storage->col_order.begin(), storage->col_order.end(),
                       [&](uint32_t a, uint32_t b) { return class_of[a] < class_of[b]; });
    }
  }
  packed.payload = std::span(storage->payload).first(storage->payload.size() - kPayloadReadPadding);
  packed.index = storage->index;
  packed.scales = storage->scales;
  packed.biases = storage->biases;
  packed.fixes = storage->fixes;
  packed.col_scales = storage->col_scales;
  packed.col_order = storage->col_order;
  packed.storage = std::move(storage);
  return matrix;
}

// The worked example of docs/format.md.
GoldenModel Example() {
  const uint64_t counts[] = {16, 224, 16};
  Recipe recipe{.name = "w", .rows = 3, .cols = 4, .lanes = 2, .blocks_per_tile = 2};
  recipe.spans = {{0, 4, 0, 0}};
  recipe.tables = {*FrequencyTable::FromCounts(counts, -1, 8)};
  recipe.levels = {1, -1, 0, 1, 0, 0, -1, 0, -1, 1, 0, 0};
  recipe.scale_kind = ScaleKind::kTensor;
  return {"example.ecq", {Make(recipe, 1)}};
}

GoldenModel Raw() {
  Recipe narrow{.name = "narrow.weight", .rows = 9, .cols = 37, .lanes = 4, .blocks_per_tile = 2};
  narrow.raw_bits = 3;
  narrow.raw_level_min = -4;
  narrow.scale_kind = ScaleKind::kTensor;
  Recipe wide{.name = "wide.weight", .rows = 33, .cols = 64, .lanes = 32, .blocks_per_tile = 1};
  wide.raw_bits = 8;
  wide.raw_level_min = -128;
  return {"raw.ecq", {Make(narrow, 2), Make(wide, 3)}};
}

GoldenModel Rans() {
  const FrequencyTable table = Gaussian(3'900'000'000u, 12, 12);
  Recipe lanes4{.name = "lanes4.weight", .rows = 31, .cols = 20, .lanes = 4, .blocks_per_tile = 3};
  lanes4.spans = {{0, 20, 0, 0}};
  lanes4.tables = {table};
  Recipe lanes32 = lanes4;
  lanes32.name = "lanes32.weight";
  lanes32.rows = 65;
  lanes32.cols = 48;
  lanes32.lanes = 32;
  lanes32.blocks_per_tile = 1;
  lanes32.spans = {{0, 48, 0, 0}};
  Recipe lane1 = lanes4;
  lane1.name = "lane1.weight";
  lane1.rows = 1;
  lane1.cols = 100;
  lane1.lanes = 1;
  lane1.blocks_per_tile = 1;
  lane1.spans = {{0, 100, 0, 0}};
  lane1.tables = {Gaussian(3'000'000'000u, 3, 14)};
  return {"rans.ecq", {Make(lanes4, 4), Make(lanes32, 5), Make(lane1, 6)}};
}

GoldenModel Groups() {
  Recipe raw{.name = "raw.weight", .rows = 10, .cols = 36, .lanes = 8, .blocks_per_tile = 1};
  raw.raw_bits = 4;
  raw.scale_kind = ScaleKind::kGroup;
  raw.group_size = 8;
  raw.biases = true;
  Recipe rans = raw;
  rans.name = "rans.weight";
  rans.raw_bits = 0;
  rans.spans = {{0, 36, 0, 0}};
  rans.tables = {Gaussian(4'000'000'000u, 8, 10)};
  rans.scale_exponent = 3;
  return {"groups.ecq", {Make(raw, 7), Make(rans, 8)}};
}

GoldenModel Columns() {
  Recipe recipe{.name = "w.weight", .rows = 18, .cols = 30, .lanes = 4, .blocks_per_tile = 2};
  recipe.spans = {{0, 17, 0, 0}, {17, 30, 1, 0}};
  recipe.tables = {Gaussian(3'800'000'000u, 6, 11), Gaussian(4'200'000'000u, 20, 12)};
  recipe.fixes = {{0, 0, 300}, {3, 29, -12'000}, {17, 0, 1}, {17, 1, -1}};
  recipe.columns = true;
  Recipe other{.name = "v.weight", .rows = 5, .cols = 3, .lanes = 1, .blocks_per_tile = 4};
  other.raw_bits = 1;
  other.fixes = {{4, 2, 1 << 24}};
  return {"columns.ecq", {Make(recipe, 9), Make(other, 10)}};
}

Recipe WindowRecipe(std::string name, const RandomWindowOptions& options, Rng& rng) {
  QuantizedTensor tensor = RandomWindowTensor(rng, options);
  Recipe made{.name = std::move(name),
              .rows = options.rows,
              .cols = options.cols,
              .lanes = kMaxLanes,
              .blocks_per_tile = 2};
  uint32_t begin = 0;
  for (const uint32_t end : options.span_ends) {
    made.spans.push_back({begin, end, static_cast<uint32_t>(made.spans.size()), 0});
    begin = end;
  }
  if (made.spans.empty()) made.spans.push_back({0, options.cols, 0, 0});
  made.levels = std::move(tensor.levels);
  made.window = std::move(tensor.window);
  return made;
}

// Most numbers of raw bits, with and without memory, rotated and not, beside matrices of another
// codec. f32 holds the weights of the rotated ones exactly: levels and scales are short, and 1 /
// sqrt(16) is 1/4.
GoldenModel Window() {
  Rng rng(11);
  RandomWindowOptions mixed;
  mixed.rows = 75;
  mixed.cols = 102;
  mixed.span_ends = {32, 64, 96, 102};
  mixed.tuple_bits = {8, 12, 16, 10};
  RandomWindowOptions plain;
  plain.rows = 2;
  plain.cols = 5;
  plain.has_memory = false;
  Recipe first = WindowRecipe("mixed.weight", mixed, rng);
  first.fixes = {{0, 0, 1000}, {74, 101, -3}};
  first.columns = true;
  Recipe rans{.name = "rans.weight", .rows = 4, .cols = 8, .lanes = 4, .blocks_per_tile = 1};
  rans.spans = {{0, 8, 0, 0}};
  rans.tables = {Gaussian(3'000'000'000u, 3, 10)};
  RandomWindowOptions narrow;
  narrow.rows = 3;
  narrow.cols = 48;
  Recipe rotated = WindowRecipe("rotated.weight", narrow, rng);
  rotated.fixes = {{1, 17, -700}};
  rotated.rotation = 16;
  Recipe rotated_rans = rans;
  rotated_rans.name = "rotated_rans.weight";
  rotated_rans.rotation = 4;
  return {"window.ecq",
          {Make(first, 12), Make(rans, 13), Make(WindowRecipe("plain.weight", plain, rng), 14),
           Make(rotated, 15), Make(rotated_rans, 16)}};
}

GoldenModel Rans16() {
  const uint64_t counts[] = {3, 241, 12};
  Recipe lanes32{
      .name = "lanes32.weight", .rows = 75, .cols = 70, .lanes = 32, .blocks_per_tile = 2};
  lanes32.spans = {{0, 32, 0, 0}, {32, 70, 1, 0}};
  lanes32.tables = {Gaussian(3'900'000'000u, 12, 8), *FrequencyTable::FromCounts(counts, -1, 8)};
  lanes32.fixes = {{0, 0, 1000}, {74, 69, -3}};
  lanes32.columns = true;
  lanes32.low_bits = 0;
  Recipe lane1{.name = "lane1.weight", .rows = 3, .cols = 9, .lanes = 1, .blocks_per_tile = 2};
  lane1.spans = {{0, 9, 0, 0}};
  lane1.tables = {Gaussian(3'000'000'000u, 3, 8)};
  lane1.low_bits = 2;
  return {"rans16.ecq", {Make(lanes32, 17), Make(lane1, 18)}};
}

// Classes of columns, and fixes so far apart that entries skip.
GoldenModel Classes() {
  Recipe sixteen{.name = "sixteen.weight", .rows = 5, .cols = 65, .lanes = 1, .blocks_per_tile = 8};
  sixteen.raw_bits = 2;
  sixteen.raw_level_min = -1;
  sixteen.columns = true;
  sixteen.classes = 16;
  Recipe two = sixteen;
  two.name = "two.weight";
  two.cols = 8;
  two.classes = 2;
  Recipe large{.name = "large.weight", .rows = 600, .cols = 512, .lanes = 32, .blocks_per_tile = 4};
  large.raw_bits = 1;
  const auto fix_at = [&](uint64_t place, int32_t delta) {
    large.fixes.push_back({static_cast<uint32_t>(place / large.cols),
                           static_cast<uint32_t>(place % large.cols), delta});
    return place + 1;
  };
  uint64_t next = fix_at(65'534, 32'767);
  next = fix_at(next + 65'535, -32'767);
  next = fix_at(next + 2 * 65'535, 1);
  next = fix_at(next, -1);
  fix_at(uint64_t{large.rows} * large.cols - 1, 5);
  return {"classes.ecq", {Make(sixteen, 19), Make(two, 20), Make(large, 21)}};
}

// The kinds of codes that Window() lacks.
GoldenModel WindowRates() {
  Rng rng(17);
  RandomWindowOptions mixed;
  mixed.rows = 37;
  mixed.cols = 134;
  mixed.span_ends = {32, 64, 96, 134};
  mixed.tuple_bits = {4, 14, 8, 6};
  RandomWindowOptions narrow;
  narrow.rows = 3;
  narrow.cols = 6;
  narrow.has_memory = false;
  narrow.tuple_bits = {6};
  return {"window_rates.ecq",
          {Make(WindowRecipe("mixed.weight", mixed, rng), 17),
           Make(WindowRecipe("narrow.weight", narrow, rng), 18)}};
}

}  // namespace

Result<std::string> WeightsSha256(const PackedTensor& matrix) {
  std::vector<uint32_t> rows(matrix.desc.rows);
  std::iota(rows.begin(), rows.end(), 0u);
  std::vector<float> weights(size_t{matrix.desc.rows} * matrix.desc.cols);
  ThreadPool pool(1);
  ECQ_RETURN_IF_ERROR(PackedMatrix(matrix).GatherRows(pool, rows, weights.data()));
  return Sha256Hex(
      {reinterpret_cast<const uint8_t*>(weights.data()), weights.size() * sizeof(float)});
}

std::vector<GoldenModel> GoldenModels() {
  return {Example(), Raw(),         Rans(),   Groups(), Columns(),
          Window(),  WindowRates(), Rans16(), Classes()};
}

Status WriteGoldenModel(const GoldenModel& model, const std::filesystem::path& path) {
  const EcqFileInfo info{"ecq golden", "test", {{"none", 0, std::string(64, '0')}}};
  ECQ_TRY(EcqWriter writer, EcqWriter::Create(path, info, /*overwrite=*/true));
  for (const GoldenMatrix& matrix : model.matrices) {
    ECQ_RETURN_IF_ERROR(writer.AddMatrix(matrix.name, matrix.packed));
  }
  const float norm[] = {1.0f, -0.5f, 0.25f};
  std::vector<uint8_t> norm_bytes(sizeof(norm));
  std::memcpy(norm_bytes.data(), norm, sizeof(norm));
  ECQ_RETURN_IF_ERROR(writer.AddPlain("norm", DType::kF32, {3}, norm_bytes));
  const std::string config = "{}\n";
  ECQ_RETURN_IF_ERROR(writer.AddFile(
      kConfigFile, {reinterpret_cast<const uint8_t*>(config.data()), config.size()}));
  ECQ_RETURN_IF_ERROR(writer.Finish());
  return OkStatus();
}

}  // namespace ecq
