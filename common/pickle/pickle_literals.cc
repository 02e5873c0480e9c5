// Numbers, texts and names of pickle_machine.h.

#include "absl/strings/numbers.h"
#include "common/pickle/pickle_machine.h"
#include "common/pickle/pickle_opcodes.h"
#include "common/pickle/pickle_text.h"

namespace cairn {

bool PickleMachine::WithLine(absl::string_view what, size_t max_size, absl::string_view* line) {
  const uint64_t left = in_.left();
  const std::optional<absl::string_view> found = in_.Line(max_size);
  if (found.has_value()) {
    *line = *found;
    return true;
  }
  if (!in_.status().ok()) return FailTruncated(0);
  if (in_.left() != 0 || left > max_size) {
    return FailWith(absl::StatusCode::kResourceExhausted,
                    absl::StrCat("expected a line of at most ", max_size, " bytes with ", what));
  }
  return Fail(absl::StrCat("truncated: expected a line with ", what, ", found no end of it in ", left, " bytes"));
}

char* PickleMachine::Text(uint64_t size) {
  if (size > in_.left()) {
    FailTruncated(size);
    return nullptr;
  }
  if (size > limits_.max_text_bytes) {
    FailWith(absl::StatusCode::kResourceExhausted,
             absl::StrCat(size, " bytes, more than the limit of ", limits_.max_text_bytes));
    return nullptr;
  }
  return build_.AllocateText(size);
}

bool PickleMachine::PushText(PickleKind kind, uint64_t size) {
  char* const data = Text(size);
  if (data == nullptr) return false;
  if (!in_.Read(data, size)) return FailTruncated(size);
  return PushText(kind, data, size);
}

bool PickleMachine::PushText(PickleKind kind, const char* data, size_t size) {
  uint8_t flags = 0;
  if (kind == PickleKind::kStr) {
    const Utf8Form form = Utf8FormOf({data, size});
    if (form == Utf8Form::kNone) return Fail("expected UTF-8, found other bytes");
    if (form == Utf8Form::kWithSurrogates) flags = PickleTreeBuilder::kSurrogates;
  }
  return Push(build_.AddText(kind, data, size, flags));
}

bool PickleMachine::PushPython2Str(const char* data, size_t size) {
  const bool is_text = Utf8FormOf({data, size}) == Utf8Form::kStrict;
  return Push(
      build_.AddText(is_text ? PickleKind::kStr : PickleKind::kBytes, data, size, PickleTreeBuilder::kPython2Str));
}

bool PickleMachine::ReadPython2Str(uint64_t size) {
  char* const data = Text(size);
  if (data == nullptr) return false;
  if (!in_.Read(data, size)) return FailTruncated(size);
  return PushPython2Str(data, size);
}

const char* PickleMachine::Copy(absl::string_view text) {
  char* const data = build_.AllocateText(text.size());
  if (data != nullptr) std::copy(text.begin(), text.end(), data);
  return data;
}

bool PickleMachine::PushTwosComplement(uint64_t size) {
  char* const data = Text(size);
  if (data == nullptr) return false;
  if (!in_.Read(data, size)) return FailTruncated(size);
  // Without bytes that only repeat the sign.
  while (size > 1 && ((data[size - 1] == 0 && data[size - 2] >= 0) || (data[size - 1] == -1 && data[size - 2] < 0)))
    --size;
  if (size > 8) return Push(build_.AddText(PickleKind::kBigInt, data, size));
  uint64_t bits = LittleEndian(data, size);
  if (size != 0 && size < 8 && data[size - 1] < 0) bits |= ~uint64_t{0} << 8 * size;
  return Push(build_.AddInt(static_cast<int64_t>(bits)));
}

bool PickleMachine::PushDecimal() {
  absl::string_view line;
  if (!WithLine("an int", limits_.max_text_bytes, &line)) return false;
  if (op_ == static_cast<uint8_t>(PickleOp::kInt) && (line == "00" || line == "01")) {
    return Push(line == "01" ? PickleTreeBuilder::kTrue : PickleTreeBuilder::kFalse);
  }
  const std::optional<std::string> decimal = NormalDecimal(line);
  if (!decimal.has_value()) return Fail("expected a decimal number");
  int64_t number;
  if (absl::SimpleAtoi(*decimal, &number)) return Push(build_.AddInt(number));
  const char* const data = Copy(*decimal);
  return data != nullptr &&
         Push(build_.AddText(PickleKind::kBigInt, data, decimal->size(), PickleTreeBuilder::kDecimal));
}

bool PickleMachine::PushFloat() {
  absl::string_view line;
  if (!WithLine("a float", kMaxLine, &line)) return false;
  double number;
  // 1e999 is infinite in Python, and SimpleAtod says so too.
  if (!absl::SimpleAtod(line, &number)) return Fail("expected a float");
  return Push(build_.AddFloat(number));
}

bool PickleMachine::PushString() {
  absl::string_view line;
  if (!WithLine("a str", limits_.max_text_bytes, &line)) return false;
  const std::optional<std::string> text = UnquotePickleString(line);
  if (!text.has_value()) return Fail("expected a quoted str");
  const char* const data = Copy(*text);
  return data != nullptr && PushPython2Str(data, text->size());
}

bool PickleMachine::PushUnicode() {
  absl::string_view line;
  if (!WithLine("a str", limits_.max_text_bytes, &line)) return false;
  const std::optional<std::string> text = UnescapePickleUnicode(line);
  if (!text.has_value()) return Fail("expected \\u with 4 hex digits or \\U with 8");
  const char* const data = Copy(*text);
  return data != nullptr && PushText(PickleKind::kStr, data, text->size());
}

std::optional<PickleNodeId> PickleMachine::ReadGlobal() {
  absl::string_view line;
  if (!WithLine("a module", kMaxLine, &line)) return std::nullopt;
  const std::string module(line);
  if (!WithLine("a name", kMaxLine, &line)) return std::nullopt;
  if (Utf8FormOf(module) != Utf8Form::kStrict || Utf8FormOf(line) != Utf8Form::kStrict) {
    Fail("expected module and name in UTF-8");
    return std::nullopt;
  }
  return Global(module, line);
}

}  // namespace cairn
