#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/pickle/pickle_input.h"
#include "common/pickle/pickle_memo.h"
#include "common/pickle/pickle_reader.h"
#include "common/pickle/pickle_tree_builder.h"

namespace cairn {

inline uint64_t LittleEndian(const char* bytes, size_t size) {
  uint64_t number = 0;
  for (size_t i = 0; i < size; ++i) number |= uint64_t{static_cast<unsigned char>(bytes[i])} << 8 * i;
  return number;
}

// What the opcodes of a pickle do: a stack machine whose values are nodes. The reader's loop (pickle_reader.cc) derives
// from it. Each step says whether to go on; if not, status_ tells why, unless the builder is exhausted. Nothing
// recurses.
class PickleMachine {
 protected:
  static constexpr size_t kMaxLine = 4096;  // Of numbers and names.

  PickleMachine(PickleInput input, std::string name, uint64_t begin, const PickleLimits& limits)
      : in_(std::move(input)),
        name_(std::move(name)),
        begin_(begin),
        limits_(limits),
        build_(name_, begin, limits.max_memory_bytes) {}

  bool FailWith(absl::StatusCode code, absl::string_view what);
  bool Fail(absl::string_view what) { return FailWith(absl::StatusCode::kInvalidArgument, what); }

  // The opcode's argument of that many bytes is not there.
  bool FailTruncated(uint64_t size);

  // The stack.

  size_t Fence() const { return marks_.empty() ? 0 : marks_.back(); }
  bool Need(size_t count) {
    if (stack_.size() - Fence() >= count) return true;
    return Fail(absl::StrCat("stack underflow: expected ", count, count == 1 ? " object" : " objects", " on the stack",
                             marks_.empty() ? "" : " above the last mark", ", found ", stack_.size() - Fence()));
  }
  bool Push(PickleNodeId id) {
    if (stack_.size() == stack_.capacity()) {
      const size_t capacity = std::max<size_t>(64, 2 * stack_.capacity());
      if (!build_.Charge((capacity - stack_.capacity()) * sizeof(PickleNodeId))) return false;
      stack_.reserve(capacity);
    }
    stack_.push_back(id);
    return true;
  }
  PickleNodeId Pop() {
    const PickleNodeId id = stack_.back();
    stack_.pop_back();
    return id;
  }
  PickleNodeId& Top() { return stack_.back(); }

  bool Mark();
  // Calls `take` with what lies above the last mark, and removes both.
  template <typename Take>
  bool WithMarked(Take take) {
    if (marks_.empty()) return Fail("no mark on the stack");
    const size_t mark = marks_.back();
    marks_.pop_back();
    // `take` must not touch the stack.
    const bool taken = take(absl::MakeConstSpan(stack_).subspan(mark));
    stack_.resize(mark);
    return taken;
  }
  // Replaces the `count` topmost objects, or those above the mark, by one node of them.
  bool Collect(PickleKind kind, size_t count);
  bool CollectMarked(PickleKind kind);
  bool FailOdd(size_t count) { return Fail(absl::StrCat("expected key and value in turn, found ", count, " objects")); }

  // Numbers and texts.

  template <typename Use>
  bool WithNumber(size_t size, Use use) {
    const char* const bytes = in_.Take(size);
    if (bytes == nullptr) return FailTruncated(size);
    return use(LittleEndian(bytes, size));
  }
  bool WithLine(absl::string_view what, size_t max_size, absl::string_view* line);

  // Reserves memory for a text of a length that the pickle claims.
  char* Text(uint64_t size);
  bool PushText(PickleKind kind, uint64_t size);
  bool PushText(PickleKind kind, const char* data, size_t size);
  bool PushPython2Str(const char* data, size_t size);
  bool ReadPython2Str(uint64_t size);
  const char* Copy(absl::string_view text);

  bool PushTwosComplement(uint64_t size);
  bool PushDecimal();
  bool PushFloat();
  bool PushString();
  bool PushUnicode();

  // Globals and objects.

  std::optional<PickleNodeId> Global(absl::string_view module, absl::string_view name);
  // Two lines.
  std::optional<PickleNodeId> ReadGlobal();
  bool PushStackGlobal();
  bool IsKind(PickleNodeId id, PickleKind kind, absl::string_view what);
  bool MakeObject(PickleKind kind);
  bool MakeNewObjEx();
  // INST and OBJ.
  bool MakeInstance(PickleNodeId cls, absl::Span<const PickleNodeId> args, PickleNodeId* made);

  // Does to the target what `effect` says: a container gets the items, an object remembers it. `items` may lie on the
  // stack.
  bool Affect(PickleNodeId target, PickleKind effect, absl::Span<const PickleNodeId> items);
  bool AffectByTop(PickleKind effect, size_t count);
  bool AffectByMarked(PickleKind effect);

  // The memo.

  bool PutAt(uint64_t index);
  bool GetAt(uint64_t index) {
    const PickleNodeId id = memo_.Get(index);
    if (id == PickleMemo::kNothing) return Fail(absl::StrCat("no memo entry ", index));
    return Push(id);
  }
  bool WithIndexLine(bool put);

  bool PopOne();

  PickleInput in_;
  const std::string name_;
  const uint64_t begin_;
  const PickleLimits limits_;
  PickleTreeBuilder build_;
  std::vector<PickleNodeId> stack_;
  std::vector<size_t> marks_;
  PickleMemo memo_;
  int protocol_ = 0;
  uint8_t op_ = 0;
  uint64_t op_offset_ = 0;
  PickleNodeId result_ = 0;
  bool done_ = false;
  absl::Status status_;
};

}  // namespace cairn
