#include "common/pickle/pickle_subtree.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

// A pickle can name an object again once it has been made: a list before its items, a tuple only after them. So a cycle
// through a tuple (or the arguments of a call) meets it a second time while it is being written. It is then written
// again, which ends, because what its items lead to is known by now; and the first one, when it is done, is thrown away
// for it. This is what CPython's pickler does. So where there is a cycle, everything is remembered, not only what is
// shared.
class SubtreeWriter {
 public:
  SubtreeWriter(const PickleTree& tree, PickleWriter& writer) : tree_(tree), writer_(writer) {}

  // `max_nodes` bounds the work before the first byte is written.
  absl::Status Write(PickleNodeId root, uint64_t max_nodes) {
    CAIRN_RETURN_IF_ERROR(FindShared(root, max_nodes));
    Start(root);
    while (!open_.empty() && writer_.status().ok()) Continue();
    return writer_.status();
  }

 private:
  using Memo = PickleWriter::Memo;

  struct Known {
    bool shared = false;
    bool searched = false;  // By FindShared, with all that it leads to.
    std::optional<Memo> memo;
  };
  // A container or object that is being written.
  struct Open {
    PickleNodeId id;
    uint32_t next = 0;        // Of its children, then of its effects.
    PickleNodeId effect = 0;  // If `in_effect`; `next_item` counts its items.
    uint32_t next_item = 0;
    bool named = false;  // Remembered, if it has to be, before its items or effects.
    bool made = false;
    bool in_effect = false;
  };

  static bool IsAtomic(PickleKind kind) {
    return kind == PickleKind::kNone || kind == PickleKind::kBool || kind == PickleKind::kInt ||
           kind == PickleKind::kFloat;
  }

  absl::Status FindShared(PickleNodeId root, uint64_t max_nodes) {
    struct Step {
      PickleNodeId id;
      bool leaving;
    };
    std::vector<Step> open = {{root, false}};
    while (!open.empty()) {
      const auto [id, leaving] = open.back();
      open.pop_back();
      if (leaving) {
        known_[id].searched = true;
        continue;
      }
      const PickleKind kind = tree_.kind(id);
      if (IsAtomic(kind)) continue;
      if (kind == PickleKind::kPersistentId) {
        return absl::FailedPreconditionError(
            absl::StrCat(tree_.source_name(), ": ", PickleNodeName(tree_, root), " at offset ", tree_.offset(root),
                         " holds what lies outside of the pickle (a persistent id at offset ", tree_.offset(id),
                         ", a tensor for example), so that no copy of it would be whole"));
      }
      const auto [known, is_new] = known_.try_emplace(id);
      if (!is_new) {
        known->second.shared = true;
        if (!known->second.searched) has_cycle_ = true;
        continue;
      }
      if (known_.size() > max_nodes) {
        return absl::ResourceExhaustedError(absl::StrCat(tree_.source_name(), ": ", PickleNodeName(tree_, root),
                                                         " at offset ", tree_.offset(root), " leads to more than ",
                                                         max_nodes, " objects"));
      }
      open.push_back({id, true});
      tree_.ForEachChild(id, [&](PickleNodeId child) { open.push_back({child, false}); });
    }
    return absl::OkStatus();
  }

  void Remember(PickleNodeId id) {
    Known& known = known_[id];
    if ((known.shared || has_cycle_) && !known.memo.has_value()) known.memo = writer_.Memoize();
  }

  // Writes a leaf, or begins something that Continue() goes on with.
  void Start(PickleNodeId id) {
    const PickleKind kind = tree_.kind(id);
    if (!IsAtomic(kind)) {
      if (const std::optional<Memo>& memo = known_[id].memo; memo.has_value()) return writer_.Get(*memo);
    }
    Open open{id};
    switch (kind) {
      case PickleKind::kNone:
        return writer_.None();
      case PickleKind::kBool:
        return writer_.Bool(tree_.boolean(id));
      case PickleKind::kInt:
        return writer_.Int(tree_.integer(id));
      case PickleKind::kFloat:
        return writer_.Float(tree_.number(id));
      case PickleKind::kBigInt:
        tree_.big_int_is_decimal(id) ? writer_.BigInt(tree_.text(id)) : writer_.BigIntBytes(tree_.text(id));
        return Remember(id);
      case PickleKind::kStr:
        tree_.is_python2_str(id) ? writer_.Python2Str(tree_.text(id)) : writer_.Str(tree_.text(id));
        return Remember(id);
      case PickleKind::kBytes:
        tree_.is_python2_str(id) ? writer_.Python2Str(tree_.text(id)) : writer_.Bytes(tree_.text(id));
        return Remember(id);
      case PickleKind::kByteArray:
        writer_.ByteArray(tree_.text(id));
        return Remember(id);
      case PickleKind::kGlobal:
        return writer_.Global(tree_.module(id), tree_.name(id));
      case PickleKind::kList:
        writer_.BeginList();
        open.named = true;
        break;
      case PickleKind::kDict:
        writer_.BeginDict();
        open.named = true;
        break;
      case PickleKind::kSet:
        writer_.BeginSet();
        open.named = writer_.protocol() >= 4;
        break;
      case PickleKind::kTuple: {
        const size_t size = tree_.items(id).size();
        if (size == 0) return writer_.IntTuple({});
        writer_.BeginTuple(size <= 3 ? static_cast<int32_t>(size) : -1);
        break;
      }
      case PickleKind::kFrozenSet:
        writer_.BeginFrozenSet();
        break;
      case PickleKind::kReduce:
        writer_.BeginReduce();
        break;
      case PickleKind::kNewObj:
        tree_.has_kwargs(id) ? writer_.BeginNewObjEx() : writer_.BeginNewObj();
        break;
      case PickleKind::kInstance:
        writer_.BeginInstance();
        break;
      case PickleKind::kPersistentId:  // FindShared has refused it.
      case PickleKind::kAppendItems:
      case PickleKind::kSetItems:
      case PickleKind::kAddItems:
      case PickleKind::kBuild:
        return;
    }
    if (open.named) Remember(id);
    open_.push_back(open);
  }

  void Continue() {
    Open& open = open_.back();
    const PickleNodeId id = open.id;
    if (!tree_.IsObject(id)) {
      const absl::Span<const PickleNodeId> items = tree_.items(id);
      return open.next < items.size() ? Start(items[open.next++]) : Finish();
    }
    if (!open.made) {
      const std::optional<PickleNodeId> part = NextPart(open);
      if (part.has_value()) {
        ++open.next;
        return Start(*part);
      }
      open.made = true;
      open.next = 0;
      if (tree_.kind(id) == PickleKind::kInstance) writer_.ObjectMade();
      // Written in its own arguments already: that one has the effects.
      if (known_[id].memo.has_value()) return Finish();
      open.named = true;
      Remember(id);
    }
    if (open.in_effect) {
      const absl::Span<const PickleNodeId> items = tree_.items(open.effect);
      if (open.next_item < items.size()) return Start(items[open.next_item++]);
      open.in_effect = false;
    }
    const absl::Span<const PickleNodeId> effects = tree_.effects(id);
    if (open.next == effects.size()) return Finish();
    open.effect = effects[open.next++];
    open.next_item = 0;
    open.in_effect = true;
    switch (tree_.kind(open.effect)) {
      case PickleKind::kAppendItems:
        return writer_.AppendItems();
      case PickleKind::kSetItems:
        return writer_.SetItems();
      case PickleKind::kAddItems:
        return writer_.AddItems();
      default:
        return writer_.Build();
    }
  }

  // What comes next before the object is made.
  std::optional<PickleNodeId> NextPart(const Open& open) const {
    if (open.next == 0) return tree_.callable(open.id);
    if (tree_.kind(open.id) == PickleKind::kInstance) {
      const absl::Span<const PickleNodeId> args = tree_.items(tree_.args(open.id));
      if (open.next - 1 < args.size()) return args[open.next - 1];
      return std::nullopt;
    }
    if (open.next == 1) return tree_.args(open.id);
    if (open.next == 2 && tree_.has_kwargs(open.id)) return tree_.kwargs(open.id);
    return std::nullopt;
  }

  void Finish() {
    const Open done = open_.back();
    open_.pop_back();
    writer_.End();
    if (done.named) return;
    if (const std::optional<Memo>& memo = known_[done.id].memo; memo.has_value()) return writer_.ReplaceWith(*memo);
    Remember(done.id);
  }

  const PickleTree& tree_;
  PickleWriter& writer_;
  absl::flat_hash_map<PickleNodeId, Known> known_;
  std::vector<Open> open_;
  bool has_cycle_ = false;
};

}  // namespace

absl::Status WriteSubtree(const PickleTree& tree, PickleNodeId node, PickleWriter& writer) {
  CAIRN_RETURN_IF_ERROR(writer.status());
  return SubtreeWriter(tree, writer).Write(node, tree.size());
}

absl::StatusOr<std::string> SubtreeAsPickle(const PickleTree& tree, PickleNodeId node, uint64_t max_bytes,
                                            int protocol) {
  std::string pickle;
  PickleWriter writer(&pickle, protocol);
  writer.set_max_bytes(max_bytes);
  CAIRN_RETURN_IF_ERROR(SubtreeWriter(tree, writer).Write(node, max_bytes));
  CAIRN_RETURN_IF_ERROR(writer.Finish());
  return pickle;
}

}  // namespace cairn
