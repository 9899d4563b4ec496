// Charts: what is drawn where, and that foreign text cannot break out.
#include "app/analyze/analysis_charts.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "app/analyze/model_analysis.h"
#include "app/analyze/synthetic_weights.h"
#include "app/tensor_type.h"

namespace ecq {
namespace {

size_t Count(std::string_view text, std::string_view what) {
  size_t count = 0;
  for (size_t at = text.find(what); at != std::string_view::npos; at = text.find(what, at + 1)) {
    ++count;
  }
  return count;
}

TEST(SvgChartTest, PlacesPointsOnTheAxes) {
  Chart chart;
  chart.title = "t";
  chart.x = {"x", 0, 10, 5};
  chart.y = {"y", 1e-2, 1, 1, true};
  chart.series = {{"line", "#123456", ChartMark::kLine, false, {{0, 1e-2}, {5, 0.1}, {10, 1}}}};
  const std::string svg = RenderSvg(chart);
  // The plot spans 80 to 640 across and 510 to 50 upwards.
  EXPECT_NE(svg.find("points=\"80.0,510.0 360.0,280.0 640.0,50.0 \""), std::string::npos) << svg;
  EXPECT_NE(svg.find(">1e-2</text>"), std::string::npos);
  EXPECT_NE(svg.find(">10</text>"), std::string::npos);
}

TEST(SvgChartTest, BarsStandOnTheAxisAndValuesOutsideAreHarmless) {
  Chart chart;
  chart.x = {"x", 0, 4, 1};
  chart.y = {"y", 1e-3, 1, 1, true};
  chart.series = {{"bars", "#123456", ChartMark::kBars, false, {{1, 0}, {2, 0.1}, {3, 1e30}}}};
  const std::string svg = RenderSvg(chart);
  EXPECT_EQ(Count(svg, "fill=\"#123456\""), 3u) << svg;  // two bars and the legend: zero has none
  EXPECT_EQ(svg.find("inf"), std::string::npos);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
}

TEST(SvgChartTest, EscapesForeignText) {
  Chart chart;
  chart.title = "</text><script>&\"\x1b\xff";
  const std::string svg = RenderSvg(chart);
  EXPECT_EQ(svg.find("<script>"), std::string::npos);
  EXPECT_NE(svg.find("&lt;/text&gt;&lt;script&gt;&amp;&quot;??"), std::string::npos) << svg;
}

TEST(AnalysisChartsTest, ShowEveryGridAndTheBound) {
  ThreadPool pool(1);
  const auto weights = MakeSyntheticWeights(SyntheticKind::kGaussian, 16, 1024, 1, pool);
  const auto analysis = AnalyzeWeights({weights.data(), 16, 1024}, pool);
  ASSERT_TRUE(analysis.ok());
  const Chart chart = RateDistortionChart("model", *analysis);
  const std::string svg = RenderSvg(chart);
  for (const GridAnalysis& grid : analysis->grids) {
    EXPECT_EQ(Count(svg, fmt::format(">{}</text>", grid.grid)), 1u) << grid.grid;
  }
  EXPECT_EQ(Count(svg, ">Gaussian bound</text>"), 1u);
  for (const ChartSeries& series : chart.series) {
    for (const auto& [x, y] : series.points) {
      EXPECT_GE(x, chart.x.min) << series.name;
      EXPECT_GE(y, chart.y.min) << series.name;
    }
  }
  EXPECT_EQ(WeightChart("model", *analysis).series[0].points.size(), WeightHistogram::kNumBins);
  const Chart levels = LevelChart("model", *analysis);
  double share = 0;
  for (const auto& [level, percent] : levels.series[0].points) share += percent;
  EXPECT_NEAR(share, 100, 0.1);
}

TEST(TensorTypeTest, SaysWhatAMatrixIs) {
  EXPECT_EQ(TensorTypeOf("model.layers.3.self_attn.q_proj.weight"), "q_proj");
  EXPECT_EQ(TensorTypeOf("model.embed_tokens.weight"), "embedding");
  EXPECT_EQ(TensorTypeOf("lm_head.weight"), "head");
  EXPECT_EQ(TensorTypeOf("encoder.layer.0.attention.self.query.weight"), "query");
  EXPECT_EQ(TensorTypeOf("encoder.layer.0.attention.output.dense.weight"),
            "attention.output.dense");
  EXPECT_EQ(TensorTypeOf("encoder.layer.11.output.dense.weight"), "output.dense");
  EXPECT_EQ(TensorTypeOf("pooler.dense.weight"), "pooler.dense");
  EXPECT_EQ(TensorTypeOf("embeddings.word_embeddings.weight"), "embedding");
  EXPECT_EQ(TensorTypeOf("weight"), "weight");
  EXPECT_EQ(TensorTypeOf(".weight"), "");
  EXPECT_EQ(TensorTypeOf(""), "");
}

}  // namespace
}  // namespace ecq
