#include "client/transfer/diff_entries.h"

namespace cairn::transfer {
namespace {

using client::Difference;

EntryDifference ToCommon(Difference difference) {
  switch (difference) {
    case Difference::kEqual:
      return EntryDifference::kEqual;
    case Difference::kChanged:
      return EntryDifference::kChanged;
    case Difference::kValueChanged:
      return EntryDifference::kValueChanged;
    case Difference::kAdded:
      return EntryDifference::kAdded;
    case Difference::kRemoved:
      return EntryDifference::kRemoved;
    case Difference::kReshaped:
      return EntryDifference::kReshaped;
    case Difference::kRecast:
      return EntryDifference::kRecast;
  }
  return EntryDifference::kChanged;
}

Difference FromCommon(EntryDifference difference) {
  switch (difference) {
    case EntryDifference::kSameLayout:
    case EntryDifference::kEqual:
      return Difference::kEqual;
    case EntryDifference::kChanged:
      return Difference::kChanged;
    case EntryDifference::kValueChanged:
      return Difference::kValueChanged;
    case EntryDifference::kAdded:
      return Difference::kAdded;
    case EntryDifference::kRemoved:
      return Difference::kRemoved;
    case EntryDifference::kReshaped:
      return Difference::kReshaped;
    case EntryDifference::kRecast:
      return Difference::kRecast;
  }
  return Difference::kChanged;
}

// Both have the same fields.
template <class To, class From>
To Statistics(const From& from) {
  To to;
  to.has_values = from.has_values;
  to.elements = from.elements;
  to.changed = from.changed;
  to.outside = from.outside;
  to.base_nan = from.base_nan;
  to.base_infinite = from.base_infinite;
  to.target_nan = from.target_nan;
  to.target_infinite = from.target_infinite;
  to.max_absolute = from.max_absolute;
  to.max_relative = from.max_relative;
  to.mean_absolute = from.mean_absolute;
  to.mean_relative = from.mean_relative;
  to.norm = from.norm;
  to.base_norm = from.base_norm;
  to.cosine = from.cosine;
  return to;
}

}  // namespace

EntryComparison ToComparison(const client::EntryDiff& diff) {
  EntryComparison comparison;
  comparison.difference = ToCommon(diff.difference);
  comparison.base = diff.base.has_value() ? &*diff.base : nullptr;
  comparison.target = diff.target.has_value() ? &*diff.target : nullptr;
  if (diff.statistics.has_value()) comparison.statistics = Statistics<TensorSummary>(*diff.statistics);
  comparison.close = diff.close;
  return comparison;
}

client::EntryDiff ToEntryDiff(const EntryComparison& comparison) {
  client::EntryDiff diff;
  diff.difference = FromCommon(comparison.difference);
  if (comparison.base != nullptr) diff.base = *comparison.base;
  if (comparison.target != nullptr) diff.target = *comparison.target;
  if (comparison.statistics.has_value()) diff.statistics = Statistics<client::DiffStatistics>(*comparison.statistics);
  diff.close = comparison.close;
  return diff;
}

}  // namespace cairn::transfer
