#include "common/pickle/pickle_machine.h"

#include "absl/strings/numbers.h"
#include "common/base/annotate.h"
#include "common/pickle/pickle_opcodes.h"
#include "common/pickle/python2_names.h"

namespace cairn {

bool PickleMachine::FailWith(absl::StatusCode code, absl::string_view what) {
  status_ = absl::Status(code, absl::StrCat(name_, ": pickle at offset ", begin_, ": ", PickleOpName(op_),
                                            " at offset ", begin_ + op_offset_, ": ", what));
  return false;
}

bool PickleMachine::FailTruncated(uint64_t size) {
  if (!in_.status().ok()) {
    status_ = Annotate(in_.status(), absl::StrCat(name_, ": pickle at offset ", begin_));
    return false;
  }
  return Fail(absl::StrCat("truncated: expected ", size, " more bytes, found ", in_.left()));
}

bool PickleMachine::Mark() {
  if (marks_.size() == marks_.capacity()) {
    const size_t capacity = std::max<size_t>(64, 2 * marks_.capacity());
    if (!build_.Charge((capacity - marks_.capacity()) * sizeof(size_t))) return false;
    marks_.reserve(capacity);
  }
  marks_.push_back(stack_.size());
  return true;
}

bool PickleMachine::Collect(PickleKind kind, size_t count) {
  if (!Need(count)) return false;
  const PickleNodeId id = build_.Add(kind, absl::MakeConstSpan(stack_).last(count));
  stack_.resize(stack_.size() - count);
  return Push(id);
}

bool PickleMachine::CollectMarked(PickleKind kind) {
  PickleNodeId id = 0;
  return WithMarked([&](absl::Span<const PickleNodeId> items) {
           if (kind == PickleKind::kDict && items.size() % 2 != 0) return FailOdd(items.size());
           id = kind == PickleKind::kTuple && items.empty() ? PickleTreeBuilder::kEmptyTuple : build_.Add(kind, items);
           return true;
         }) &&
         Push(id);
}

std::optional<PickleNodeId> PickleMachine::Global(absl::string_view module, absl::string_view name) {
  PickledName global(module, name);
  if (protocol_ < 3) global = FromPython2Name(global);
  return build_.AddGlobal(global.first, global.second);
}

bool PickleMachine::PushStackGlobal() {
  if (!Need(2)) return false;
  const PickleNodeId name = Pop(), module = Pop();
  const PickleTree& tree = build_.tree();
  if (!tree.IsStr(module) || !tree.IsStr(name)) {
    return Fail(absl::StrCat("expected module and name as str, found ", PickleNodeName(tree, module), " and ",
                             PickleNodeName(tree, name)));
  }
  const std::optional<PickleNodeId> global = Global(tree.text(module), tree.text(name));
  return global.has_value() && Push(*global);
}

bool PickleMachine::IsKind(PickleNodeId id, PickleKind kind, absl::string_view what) {
  if (build_.tree().kind(id) == kind) return true;
  return Fail(absl::StrCat("expected ", what, ", found ", PickleNodeName(build_.tree(), id)));
}

bool PickleMachine::MakeObject(PickleKind kind) {
  return Need(2) && IsKind(Top(), PickleKind::kTuple, "a tuple of arguments") && Collect(kind, 2);
}

bool PickleMachine::MakeNewObjEx() {
  if (!Need(3)) return false;
  const PickleNodeId kwargs = Pop(), args = Pop(), cls = Pop();
  return IsKind(args, PickleKind::kTuple, "a tuple of arguments") &&
         IsKind(kwargs, PickleKind::kDict, "a dict of keyword arguments") &&
         Push(build_.AddNewObjEx(cls, args, kwargs));
}

bool PickleMachine::MakeInstance(PickleNodeId cls, absl::Span<const PickleNodeId> args, PickleNodeId* made) {
  const PickleNodeId tuple = args.empty() ? PickleTreeBuilder::kEmptyTuple : build_.Add(PickleKind::kTuple, args);
  const PickleNodeId children[] = {cls, tuple};
  *made = build_.Add(PickleKind::kInstance, children);
  return true;
}

bool PickleMachine::Affect(PickleNodeId target, PickleKind effect, absl::Span<const PickleNodeId> items) {
  const PickleTree& tree = build_.tree();
  const PickleKind kind = tree.kind(target);
  if (effect == PickleKind::kSetItems && items.size() % 2 != 0) return FailOdd(items.size());
  if ((effect == PickleKind::kAppendItems && kind == PickleKind::kList) ||
      (effect == PickleKind::kSetItems && kind == PickleKind::kDict) ||
      (effect == PickleKind::kAddItems && kind == PickleKind::kSet)) {
    build_.Extend(target, items);
    return true;
  }
  if (tree.IsObject(target) || kind == PickleKind::kPersistentId) {
    build_.AddEffect(target, effect, items);
    return true;
  }
  return Fail(absl::StrCat("does not apply to ", PickleNodeName(tree, target)));
}

bool PickleMachine::AffectByTop(PickleKind effect, size_t count) {
  if (!Need(count + 1)) return false;
  const size_t first = stack_.size() - count;
  const bool affected = Affect(stack_[first - 1], effect, absl::MakeConstSpan(stack_).subspan(first));
  stack_.resize(first);
  return affected;
}

bool PickleMachine::AffectByMarked(PickleKind effect) {
  if (marks_.empty()) return Fail("no mark on the stack");
  const size_t mark = marks_.back();
  marks_.pop_back();
  const bool affected = mark > Fence() && Affect(stack_[mark - 1], effect, absl::MakeConstSpan(stack_).subspan(mark));
  const bool has_target = mark > Fence();
  stack_.resize(mark);
  return has_target ? affected : Need(1);
}

bool PickleMachine::PutAt(uint64_t index) {
  if (!Need(1)) return false;
  if (index > limits_.max_memo_index) {
    return FailWith(absl::StatusCode::kResourceExhausted,
                    absl::StrCat("memo entry ", index, ", beyond the limit of ", limits_.max_memo_index));
  }
  const uint64_t before = memo_.memory_bytes();
  memo_.Put(index, Top());
  const uint64_t after = memo_.memory_bytes();
  return after == before || build_.Charge(after - before);
}

bool PickleMachine::WithIndexLine(bool put) {
  absl::string_view line;
  if (!WithLine("a memo entry", kMaxLine, &line)) return false;
  uint64_t index;
  if (line.empty() || line[0] == '+' || !absl::SimpleAtoi(line, &index))
    return Fail("expected the number of a memo entry");
  return put ? PutAt(index) : GetAt(index);
}

bool PickleMachine::PopOne() {
  if (stack_.size() > Fence()) {
    stack_.pop_back();
  } else if (!marks_.empty()) {
    marks_.pop_back();
  } else {
    return Need(1);
  }
  return true;
}

}  // namespace cairn
