#include "common/diff/layers.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace cairn {
namespace {

bool IsNumber(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

void AppendPart(absl::string_view part, char separator, std::string* to) {
  if (!to->empty()) to->push_back(separator);
  absl::StrAppend(to, part);
}

void Accumulate(const LayerChange& from, LayerChange* to) {
  to->tensors += from.tensors;
  to->changed_tensors += from.changed_tensors;
  to->elements += from.elements;
  to->changed_elements += from.changed_elements;
  to->max_absolute = std::max(to->max_absolute, from.max_absolute);
  to->squares += from.squares;
  to->base_squares += from.base_squares;
  to->compared |= from.compared;
}

// "h.10" after "h.9".
bool NaturalLess(const std::string& a, const std::string& b) {
  if (a.empty() != b.empty()) return b.empty();
  size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (std::isdigit(static_cast<unsigned char>(a[i])) && std::isdigit(static_cast<unsigned char>(b[j]))) {
      const auto number = [](const std::string& text, size_t* at) {
        const size_t begin = *at;
        while (*at < text.size() && std::isdigit(static_cast<unsigned char>(text[*at]))) ++*at;
        return text.substr(begin, *at - begin);
      };
      const std::string left = number(a, &i), right = number(b, &j);
      if (left.size() != right.size()) return left.size() < right.size();
      if (left != right) return left < right;
    } else if (a[i] != b[j]) {
      return a[i] < b[j];
    } else {
      ++i;
      ++j;
    }
  }
  return a.size() - i < b.size() - j;
}

}  // namespace

LayerName SplitLayer(const KeyPath& path) {
  LayerName name;
  std::string before;
  bool found = false;
  const auto add = [&](absl::string_view part, char separator, bool number) {
    AppendPart(part, separator, found ? &name.kind : &before);
    if (number && !found) {
      found = true;
      name.layer = before;
    }
  };
  for (const KeyPath::Segment& segment : path.segments()) {
    if (const int64_t* position = std::get_if<int64_t>(&segment)) {
      add(absl::StrCat(*position), '/', true);
      continue;
    }
    char separator = '/';
    for (const absl::string_view part : absl::StrSplit(std::get<std::string>(segment), '.')) {
      add(part, separator, IsNumber(part));
      separator = '.';
    }
  }
  if (!found) name.kind = before;
  return name;
}

double LayerChange::RelativeNorm() const {
  if (squares == 0) return 0;
  return base_squares == 0 ? std::numeric_limits<double>::infinity() : std::sqrt(squares / base_squares);
}

void LayerTable::Add(const EntryComparison& entry) {
  if (entry.entry().kind != EntryKind::kTensor) return;
  const LayerName name = SplitLayer(entry.entry().path);
  if (seen_layers_.insert(name.layer).second) layers_.push_back(name.layer);
  if (seen_kinds_.insert(name.kind).second) kinds_.push_back(name.kind);
  LayerChange change;
  change.tensors = 1;
  change.changed_tensors = entry.difference != EntryDifference::kEqual;
  change.elements = ElementCount(entry.entry().shape).value_or(0);
  change.compared = entry.difference == EntryDifference::kEqual;
  if (entry.statistics) {
    change.changed_elements = entry.statistics->changed;
    change.max_absolute = entry.statistics->max_absolute;
    change.squares = entry.statistics->norm * entry.statistics->norm;
    change.base_squares = entry.statistics->base_norm * entry.statistics->base_norm;
    change.compared = entry.statistics->has_values;
  } else if (entry.difference != EntryDifference::kEqual) {
    change.changed_elements = change.elements;
  }
  Accumulate(change, &changes_[{name.layer, name.kind}]);
}

const LayerChange* LayerTable::Find(const std::string& layer, const std::string& kind) const {
  const auto found = changes_.find({layer, kind});
  return found == changes_.end() ? nullptr : &found->second;
}

LayerChange LayerTable::Total(const std::string& layer) const {
  LayerChange total;
  for (auto it = changes_.lower_bound({layer, ""}); it != changes_.end() && it->first.first == layer; ++it) {
    Accumulate(it->second, &total);
  }
  return total;
}

void LayerTable::Sort() { std::stable_sort(layers_.begin(), layers_.end(), NaturalLess); }

}  // namespace cairn
