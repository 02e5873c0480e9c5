// DescribeOpaque of pickle_values.h.

#include <algorithm>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/pickle/pickle_reader.h"
#include "common/pickle/pickle_values.h"

namespace cairn {
namespace {

constexpr size_t kNamesShown = 4;
constexpr int kMaxNesting = 4;

// How objects are made and bytes are spelled, which tells nothing about what they are.
bool IsPlumbing(absl::string_view name) {
  static constexpr absl::string_view kNames[] = {
      "_codecs.encode",          "builtins.bytearray",    "builtins.bytes",        "builtins.frozenset",
      "builtins.getattr",        "builtins.object",       "builtins.set",          "collections.OrderedDict",
      "collections.defaultdict", "copyreg.__newobj_ex__", "copyreg._reconstructor"};
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

// The dotted name that the node stands for, if it stands for a global, a class within one or an object of one.
std::string NameOf(const PickleTree& tree, PickleNodeId node, int nesting) {
  if (tree.IsGlobal(node)) return PickleNodeName(tree, node);
  if (nesting == kMaxNesting || !tree.IsObject(node)) return "";
  const absl::Span<const PickleNodeId> args = tree.items(tree.args(node));
  if (tree.IsCallOf(node, "builtins", "getattr") && args.size() == 2 && tree.IsStr(args[1])) {
    const std::string owner = NameOf(tree, args[0], nesting + 1);
    return owner.empty() ? "" : absl::StrCat(owner, ".", tree.text(args[1]));
  }
  const bool is_made_by_copyreg =
      tree.IsCallOf(node, "copyreg", "_reconstructor") || tree.IsCallOf(node, "copyreg", "__newobj_ex__");
  return NameOf(tree, is_made_by_copyreg && !args.empty() ? args[0] : tree.callable(node), nesting + 1);
}

}  // namespace

std::string DescribeOpaque(absl::string_view pickle) {
  const absl::StatusOr<PickleTree> tree = ReadPickle(pickle, "opaque value");
  if (!tree.ok()) return "unreadable pickle";
  std::string root = NameOf(*tree, tree->root(), 0);
  absl::flat_hash_set<std::string> seen = {root};
  std::vector<std::string> others;
  size_t more = 0;
  for (PickleNodeId id = 0; id < tree->size(); ++id) {
    if (!tree->IsGlobal(id)) continue;
    std::string name = PickleNodeName(*tree, id);
    // The outer class of one within it.
    if (IsPlumbing(name) || absl::string_view(root).substr(0, name.size() + 1) == name + "." ||
        !seen.insert(name).second)
      continue;
    others.size() < kNamesShown ? others.push_back(std::move(name)) : static_cast<void>(++more);
  }
  if (root.empty()) root = PickleNodeName(*tree, tree->root());
  const std::string text = absl::StrCat(root, others.empty() ? "" : " with ", absl::StrJoin(others, ", "),
                                        more == 0 ? "" : absl::StrCat(" and ", more, " more"));
  return absl::Utf8SafeCHexEscape(text);
}

}  // namespace cairn
