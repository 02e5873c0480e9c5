#include "tests/testing/pickle_canonical.h"

#include <algorithm>
#include <bit>
#include <map>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/pickle/pickle_values.h"

namespace cairn::testing {
namespace {

class Printer {
 public:
  explicit Printer(const PickleTree& tree) : tree_(tree) {}

  std::string Print(PickleNodeId id) {
    switch (tree_.kind(id)) {
      case PickleKind::kNone:
        return "None";
      case PickleKind::kBool:
        return tree_.boolean(id) ? "True" : "False";
      case PickleKind::kInt:
        return absl::StrCat(tree_.integer(id));
      case PickleKind::kBigInt:
        return BigIntDecimal(tree_, id).value();
      case PickleKind::kFloat:
        return absl::StrCat("f", absl::Hex(std::bit_cast<uint64_t>(tree_.number(id)), absl::kZeroPad16));
      case PickleKind::kStr:
        return absl::StrCat("s\"", absl::BytesToHexString(tree_.text(id)), "\"");
      case PickleKind::kBytes:
        return absl::StrCat("b\"", absl::BytesToHexString(tree_.text(id)), "\"");
      case PickleKind::kByteArray:
        return absl::StrCat("a\"", absl::BytesToHexString(tree_.text(id)), "\"");
      case PickleKind::kGlobal:
        return absl::StrCat("G ", tree_.module(id), ".", tree_.name(id));
      case PickleKind::kSet:
        return absl::StrCat("S{", Sorted(id), "}");
      case PickleKind::kFrozenSet:
        return absl::StrCat("F{", Sorted(id), "}");
      case PickleKind::kPersistentId:
        return absl::StrCat("P(", Print(tree_.payload(id)), Effects(id), ")");
      default:
        break;
    }
    if (tree_.kind(id) == PickleKind::kTuple && tree_.items(id).empty()) return "()";
    std::string number;
    if (in_set_ == 0) {
      const auto [seen, is_new] = numbers_.emplace(id, numbers_.size());
      if (!is_new) return absl::StrCat("@", seen->second);
      number = absl::StrCat(seen->second);
    }
    switch (tree_.kind(id)) {
      case PickleKind::kList:
        return absl::StrCat("[", number, ":", Items(id), "]");
      case PickleKind::kTuple:
        return absl::StrCat("(", number, ":", Items(id), ")");
      case PickleKind::kDict:
        return absl::StrCat("{", number, ":", Pairs(id), "}");
      case PickleKind::kReduce:
        return absl::StrCat("R", number, Object(id));
      case PickleKind::kNewObj:
        return absl::StrCat("N", number, Object(id));
      case PickleKind::kInstance:
        return absl::StrCat("I", number, Object(id));
      default:
        return "?";
    }
  }

 private:
  std::string Items(PickleNodeId id) {
    std::vector<std::string> texts;
    for (const PickleNodeId item : tree_.items(id)) texts.push_back(Print(item));
    return absl::StrJoin(texts, ",");
  }
  std::string Sorted(PickleNodeId id) {
    ++in_set_;
    std::vector<std::string> texts;
    for (const PickleNodeId item : tree_.items(id)) texts.push_back(Print(item));
    --in_set_;
    std::sort(texts.begin(), texts.end());
    return absl::StrJoin(texts, ",");
  }
  std::string Pairs(PickleNodeId id) {
    std::string text;
    const auto items = tree_.items(id);
    for (size_t i = 0; i < items.size(); i += 2) {
      absl::StrAppend(&text, i == 0 ? "" : ",", Print(items[i]));
      absl::StrAppend(&text, "=", Print(items[i + 1]));
    }
    return text;
  }
  std::string Object(PickleNodeId id) {
    std::string text = absl::StrCat("(", Print(tree_.callable(id)));
    absl::StrAppend(&text, ",", Print(tree_.args(id)));
    if (tree_.has_kwargs(id)) absl::StrAppend(&text, ",", Print(tree_.kwargs(id)));
    return absl::StrCat(text, Effects(id), ")");
  }
  std::string Effects(PickleNodeId id) {
    std::string text;
    for (const PickleNodeId effect : tree_.effects(id)) {
      switch (tree_.kind(effect)) {
        case PickleKind::kAppendItems:
          absl::StrAppend(&text, " +[", Items(effect), "]");
          break;
        case PickleKind::kSetItems:
          absl::StrAppend(&text, " ={", Pairs(effect), "}");
          break;
        case PickleKind::kAddItems:
          absl::StrAppend(&text, " |{", Sorted(effect), "}");
          break;
        default:
          absl::StrAppend(&text, " !", Print(tree_.items(effect)[0]));
          break;
      }
    }
    return text;
  }

  const PickleTree& tree_;
  std::map<PickleNodeId, size_t> numbers_;
  int in_set_ = 0;
};

}  // namespace

std::string CanonicalPickle(const PickleTree& tree, PickleNodeId node) { return Printer(tree).Print(node); }

}  // namespace cairn::testing
