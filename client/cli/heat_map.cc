#include "client/cli/heat_map.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "client/cli/text.h"

namespace cairn::cli {
namespace {

constexpr int kCell = 22, kGap = 2, kFont = 12, kPerCharacter = 7;
constexpr int kMargin = 16, kTitle = 28, kLegend = 56;
constexpr char kEqualColour[] = "#e8eaed", kOddColour[] = "#b3261e";

std::string Xml(absl::string_view text) {
  return absl::StrReplaceAll(SafeText(text), {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}});
}

// From pale to dark, for 0 to 1: readable in print and for the colour-blind.
std::string Colour(double share) {
  static constexpr std::array<std::array<int, 3>, 5> kStops = {
      {{255, 247, 188}, {254, 196, 79}, {236, 112, 20}, {153, 52, 4}, {60, 10, 2}}};
  const double place = std::clamp(share, 0.0, 1.0) * (kStops.size() - 1);
  const auto stop = std::min(static_cast<size_t>(place), kStops.size() - 2);
  const double rest = place - static_cast<double>(stop);
  std::array<int, 3> mixed;
  for (size_t i = 0; i < 3; ++i) {
    mixed[i] = static_cast<int>(std::lround(kStops[stop][i] + rest * (kStops[stop + 1][i] - kStops[stop][i])));
  }
  return absl::StrFormat("#%02x%02x%02x", mixed[0], mixed[1], mixed[2]);
}

// The powers of ten between which the colours lie.
struct Scale {
  double low = -6, high = 0;
  double Place(double norm) const { return (std::log10(norm) - low) / (high - low); }
};

Scale ScaleOf(const LayerTable& layers) {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const std::string& layer : layers.layers()) {
    for (const std::string& kind : layers.kinds()) {
      const LayerChange* const change = layers.Find(layer, kind);
      if (change == nullptr) continue;
      const double norm = change->RelativeNorm();
      if (norm == 0 || !std::isfinite(norm)) continue;
      low = std::min(low, std::log10(norm));
      high = std::max(high, std::log10(norm));
    }
  }
  if (low > high) return {};
  return {std::floor(low), std::max(std::ceil(high), std::floor(low) + 1)};
}

std::string CellColour(const LayerChange& change, const Scale& scale) {
  const double norm = change.RelativeNorm();
  if (!change.compared || !std::isfinite(norm)) return kOddColour;
  if (norm == 0) return change.changed_tensors == 0 ? kEqualColour : Colour(0);
  return Colour(scale.Place(norm));
}

void AppendText(int x, int y, absl::string_view text, absl::string_view more, std::string* svg) {
  absl::StrAppend(svg, "<text x=\"", x, "\" y=\"", y, "\"", more, ">", Xml(text), "</text>\n");
}

void AppendBox(int x, int y, int width, int height, absl::string_view colour, absl::string_view hint, std::string* svg) {
  absl::StrAppend(svg, "<rect x=\"", x, "\" y=\"", y, "\" width=\"", width, "\" height=\"", height, "\" rx=\"2\" fill=\"",
                  colour, "\">", hint.empty() ? "" : absl::StrCat("<title>", Xml(hint), "</title>"), "</rect>\n");
}

void AppendLegend(int x, int y, const Scale& scale, std::string* svg) {
  constexpr int kSteps = 24, kStep = 6;
  for (int i = 0; i < kSteps; ++i) {
    AppendBox(x + i * kStep, y, kStep, 10, Colour(static_cast<double>(i) / (kSteps - 1)), "", svg);
  }
  AppendText(x, y + 26, absl::StrFormat("1e%.0f", scale.low), "", svg);
  AppendText(x + kSteps * kStep, y + 26, absl::StrFormat("1e%.0f", scale.high), " text-anchor=\"end\"", svg);
  const int equal = x + kSteps * kStep + 24;
  AppendBox(equal, y, 10, 10, kEqualColour, "", svg);
  AppendText(equal + 16, y + 10, "equal", "", svg);
  AppendBox(equal, y + 16, 10, 10, kOddColour, "", svg);
  AppendText(equal + 16, y + 26, "added, removed, reshaped, not finite, or from zero", "", svg);
}

}  // namespace

std::string HeatMapSvg(const LayerTable& layers, absl::string_view title) {
  const Scale scale = ScaleOf(layers);
  int label_width = 6 * kPerCharacter, kind_width = 0;
  for (const std::string& layer : layers.layers()) label_width = std::max(label_width, DisplayWidth(layer) * kPerCharacter);
  for (const std::string& kind : layers.kinds()) kind_width = std::max(kind_width, DisplayWidth(kind) * kPerCharacter);
  const int left = kMargin + label_width + 8;
  // Names of kinds stand slanted over their columns.
  const int top = kMargin + kTitle + static_cast<int>(kind_width * 0.8) + 8;
  const int columns = static_cast<int>(layers.kinds().size()), rows = static_cast<int>(layers.layers().size());
  const int right = left + columns * (kCell + kGap) + static_cast<int>(kind_width * 0.65) + kMargin;
  const int width = std::max(right, left + 520);
  const int height = top + rows * (kCell + kGap) + kLegend + kMargin;
  std::string svg = absl::StrCat("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"", width, "\" height=\"", height,
                                 "\" viewBox=\"0 0 ", width, " ", height,
                                 "\" font-family=\"sans-serif\" font-size=\"", kFont, "\" fill=\"#202124\">\n");
  absl::StrAppend(&svg, "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n");
  AppendText(kMargin, kMargin + 14, title, " font-size=\"15\" font-weight=\"bold\"", &svg);
  for (int column = 0; column < columns; ++column) {
    const int x = left + column * (kCell + kGap) + kCell / 2, y = top - 6;
    AppendText(x, y, layers.kinds()[static_cast<size_t>(column)], absl::StrCat(" transform=\"rotate(-50 ", x, " ", y, ")\""), &svg);
  }
  for (int row = 0; row < rows; ++row) {
    const std::string& layer = layers.layers()[static_cast<size_t>(row)];
    const int y = top + row * (kCell + kGap);
    AppendText(left - 8, y + kCell - 7, layer.empty() ? "(none)" : layer, " text-anchor=\"end\"", &svg);
    for (int column = 0; column < columns; ++column) {
      const std::string& kind = layers.kinds()[static_cast<size_t>(column)];
      const LayerChange* const change = layers.Find(layer, kind);
      if (change == nullptr) continue;
      AppendBox(left + column * (kCell + kGap), y, kCell, kCell, CellColour(*change, scale),
                absl::StrCat(layer, layer.empty() ? "" : " ", kind, ": ", change->changed_elements, " of ", change->elements,
                             " elements changed, max abs ", absl::StrFormat("%.4g", change->max_absolute),
                             ", L2 / base L2 ", absl::StrFormat("%.4g", change->RelativeNorm())),
                &svg);
    }
  }
  AppendText(left, height - kLegend + 4, "L2 of the difference / L2 of the base", "", &svg);
  AppendLegend(left, height - kLegend + 12, scale, &svg);
  return svg + "</svg>\n";
}

}  // namespace cairn::cli
