#include "common/pickle/pickle_writer.h"

#include "absl/strings/str_cat.h"
#include "common/pickle/pickle_opcodes.h"

namespace cairn {
namespace {

constexpr uint64_t kBatch = 1000;  // Items for one SETITEMS, as in CPython.
constexpr size_t kFlushBytes = 64u << 10;

uint8_t Byte(PickleOp op) { return static_cast<uint8_t>(op); }

}  // namespace

PickleWriter::PickleWriter(ByteSink* sink, int protocol) : sink_(sink), protocol_(protocol) { Start(); }
PickleWriter::PickleWriter(std::string* out, int protocol) : out_(out), protocol_(protocol) { Start(); }

void PickleWriter::Start() {
  frames_.push_back({Part::kRoot});
  Op(Byte(PickleOp::kProto));
  Number(static_cast<uint64_t>(protocol_), 1);
  if (protocol_ != 2 && protocol_ != 4) Fail(absl::StrCat("protocol ", protocol_, " is not written, only 2 and 4"));
}

void PickleWriter::Fail(absl::string_view what) {
  if (status_.ok())
    status_ = absl::FailedPreconditionError(absl::StrCat("writing a pickle, offset ", size(), ": ", what));
}

void PickleWriter::Refuse(absl::string_view what) {
  if (status_.ok()) status_ = absl::InvalidArgumentError(absl::StrCat("writing a pickle, offset ", size(), ": ", what));
}

void PickleWriter::Number(uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) buffer_.push_back(static_cast<char>(value >> 8 * i));
}

void PickleWriter::Append(absl::string_view bytes) { buffer_.append(bytes.data(), bytes.size()); }

void PickleWriter::Flush() {
  if (!status_.ok()) return;
  if (sink_ != nullptr) {
    status_ = sink_->Append(buffer_);
  } else {
    out_->append(buffer_);
  }
  flushed_ += buffer_.size();
  buffer_.clear();
}

// The structure.

bool PickleWriter::BeforeValue() {
  if (!status_.ok()) return false;
  Frame& frame = frames_.back();
  switch (frame.part) {
    case Part::kRoot:
      if (frame.count != 0) Fail("a second value; a pickle is one");
      break;
    case Part::kObject:
      Fail(
          "a value within an object whose arguments are there; say SetItems(), AppendItems(), AddItems() or Build() "
          "before");
      break;
    case Part::kTuple:
      if (frame.size >= 0 && frame.count == static_cast<uint64_t>(frame.size))
        Fail("more items than the tuple was to have");
      if (!frame.marked && (frame.size < 0 || frame.size > 3)) {
        Op(Byte(PickleOp::kMark));
        frame.marked = true;
      }
      break;
    case Part::kList:
    case Part::kSetCall:
    case Part::kAppendItems:
    case Part::kSet:
    case Part::kAddItems:
    case Part::kDict:
    case Part::kSetItems: {
      const uint64_t batch = frame.part == Part::kDict || frame.part == Part::kSetItems ? 2 * kBatch : kBatch;
      if (frame.marked && frame.count % batch == 0 && !CloseItems()) return false;
      if (!frames_.back().marked) {
        Op(Byte(PickleOp::kMark));
        frames_.back().marked = true;
      }
      break;
    }
    case Part::kFrozenSet:
    case Part::kInstance:
      if (!frame.marked) Op(Byte(PickleOp::kMark));
      frame.marked = true;
      break;
    case Part::kReduce:
    case Part::kNewObj:
    case Part::kNewObjEx:
    case Part::kPersistentId:
    case Part::kBuild:
      break;
  }
  has_top_ = false;
  top_memo_.reset();
  return status_.ok();
}

bool PickleWriter::CloseItems() {
  Frame& frame = frames_.back();
  if (!frame.marked) return true;
  switch (frame.part) {
    case Part::kDict:
    case Part::kSetItems:
      if (frame.count % 2 != 0) {
        Fail("a key without a value");
        return false;
      }
      Op(Byte(PickleOp::kSetItems));
      break;
    case Part::kSet:
    case Part::kAddItems:
      Op(Byte(PickleOp::kAddItems));
      break;
    default:
      Op(Byte(PickleOp::kAppends));
      break;
  }
  frame.marked = false;
  return true;
}

void PickleWriter::AfterValue() {
  Frame& frame = frames_.back();
  ++frame.count;
  has_top_ = true;
  const auto make = [&](PickleOp op) {
    Op(Byte(op));
    frame.part = Part::kObject;
    top_memo_.reset();
  };
  if (frame.part == Part::kReduce && frame.count == 2) {
    make(PickleOp::kReduce);
  } else if (frame.part == Part::kNewObj && frame.count == 2) {
    make(PickleOp::kNewObj);
  } else if (frame.part == Part::kNewObjEx && frame.count == 3) {
    if (protocol_ < 4) Op(Byte(PickleOp::kTuple3));
    make(protocol_ < 4 ? PickleOp::kReduce : PickleOp::kNewObjEx);
  } else if (frame.part == Part::kPersistentId) {
    make(PickleOp::kBinPersId);
  } else if (frame.part == Part::kBuild) {
    make(PickleOp::kBuild);
  }
  if (buffer_.size() >= kFlushBytes) Flush();
  if (size() > max_bytes_ && status_.ok()) {
    status_ = absl::ResourceExhaustedError(absl::StrCat("the pickle takes more than ", max_bytes_, " bytes"));
  }
}

void PickleWriter::Begin(Part part, bool is_value) {
  frames_.push_back({part});
  has_top_ = is_value;
  top_memo_.reset();
}

void PickleWriter::BeginList() {
  if (!BeforeValue()) return;
  Op(Byte(PickleOp::kEmptyList));
  Begin(Part::kList, true);
}

void PickleWriter::BeginTuple(int32_t size) {
  if (!BeforeValue()) return;
  Begin(Part::kTuple, false);
  frames_.back().size = size;
}

void PickleWriter::BeginDict() {
  if (!BeforeValue()) return;
  Op(Byte(PickleOp::kEmptyDict));
  Begin(Part::kDict, true);
}

void PickleWriter::BeginSet() {
  if (!BeforeValue()) return;
  if (protocol_ < 4) {
    EmitGlobal("builtins", "set");
    Op(Byte(PickleOp::kEmptyList));
    return Begin(Part::kSetCall, false);
  }
  Op(Byte(PickleOp::kEmptySet));
  Begin(Part::kSet, true);
}

void PickleWriter::BeginFrozenSet() {
  if (!BeforeValue()) return;
  if (protocol_ < 4) {
    EmitGlobal("builtins", "frozenset");
    Op(Byte(PickleOp::kEmptyList));
    return Begin(Part::kSetCall, false);
  }
  Begin(Part::kFrozenSet, false);
}

void PickleWriter::BeginReduce() {
  if (BeforeValue()) Begin(Part::kReduce, false);
}

void PickleWriter::BeginNewObj() {
  if (BeforeValue()) Begin(Part::kNewObj, false);
}

void PickleWriter::BeginNewObjEx() {
  if (!BeforeValue()) return;
  // Before protocol 4: a function that does the same.
  if (protocol_ < 4) EmitGlobal("copyreg", "__newobj_ex__");
  Begin(Part::kNewObjEx, false);
}

void PickleWriter::BeginInstance() {
  if (BeforeValue()) Begin(Part::kInstance, false);
}

void PickleWriter::ObjectMade() {
  if (!status_.ok()) return;
  Frame& frame = frames_.back();
  if (frame.part != Part::kInstance || frame.count == 0) return Fail("ObjectMade() without a class");
  Op(Byte(PickleOp::kObj));
  frame.part = Part::kObject;
  has_top_ = true;
  top_memo_.reset();
}

void PickleWriter::BeginPersistentId() {
  if (BeforeValue()) Begin(Part::kPersistentId, false);
}

bool PickleWriter::StartEffect(Part part) {
  if (!status_.ok()) return false;
  const Part now = frames_.back().part;
  const bool is_items = now == Part::kSetItems || now == Part::kAppendItems || now == Part::kAddItems;
  if (is_items && !CloseItems()) return false;
  if (!is_items && now != Part::kObject) {
    Fail("items or state for what is no object, or not yet one");
    return false;
  }
  frames_.back() = {part};
  has_top_ = part == Part::kObject;
  top_memo_.reset();
  return true;
}

void PickleWriter::SetItems() { StartEffect(Part::kSetItems); }
void PickleWriter::AppendItems() { StartEffect(Part::kAppendItems); }
void PickleWriter::AddItems() { StartEffect(Part::kAddItems); }
void PickleWriter::Build() { StartEffect(Part::kBuild); }

void PickleWriter::End() {
  if (!status_.ok()) return;
  Frame& frame = frames_.back();
  switch (frame.part) {
    case Part::kRoot:
      return Fail("End() without a Begin");
    case Part::kReduce:
    case Part::kNewObj:
    case Part::kNewObjEx:
    case Part::kPersistentId:
    case Part::kBuild:
      return Fail("an object that ends before its parts are there");
    case Part::kList:
    case Part::kDict:
    case Part::kSet:
    case Part::kSetCall:
      if (!CloseItems()) return;
      if (frame.part == Part::kSetCall) {
        Op(Byte(PickleOp::kTuple1));
        Op(Byte(PickleOp::kReduce));
      }
      break;
    case Part::kTuple:
      if (frame.size >= 0 && frame.count != static_cast<uint64_t>(frame.size))
        return Fail("fewer items than the tuple was to have");
      if (frame.marked) {
        Op(Byte(PickleOp::kTuple));
      } else if (frame.count == 0) {
        Op(Byte(PickleOp::kEmptyTuple));
      } else {
        Op(Byte(PickleOp::kTuple1) + static_cast<uint8_t>(frame.count - 1));
      }
      break;
    case Part::kFrozenSet:
      if (!frame.marked) Op(Byte(PickleOp::kMark));
      Op(Byte(PickleOp::kFrozenSet));
      break;
    case Part::kInstance:
      ObjectMade();
      if (!status_.ok()) return;
      break;
    case Part::kSetItems:
    case Part::kAppendItems:
    case Part::kAddItems:
      if (!StartEffect(Part::kObject)) return;
      break;
    case Part::kObject:
      break;
  }
  // Of a container that was memoized when it began the caller knows the memo.
  top_memo_.reset();
  frames_.pop_back();
  AfterValue();
}

// Sharing.

PickleWriter::Memo PickleWriter::EmitPut() {
  const Memo memo = memos_++;
  if (protocol_ >= 4) {
    Op(Byte(PickleOp::kMemoize));
  } else if (memo <= 0xff) {
    Op(Byte(PickleOp::kBinPut));
    Number(memo, 1);
  } else {
    Op(Byte(PickleOp::kLongBinPut));
    Number(memo, 4);
  }
  return memo;
}

void PickleWriter::EmitGet(Memo memo) {
  const bool is_short = memo <= 0xff;
  Op(Byte(is_short ? PickleOp::kBinGet : PickleOp::kLongBinGet));
  Number(memo, is_short ? 1 : 4);
}

PickleWriter::Memo PickleWriter::Memoize() {
  if (!status_.ok()) return 0;
  if (!has_top_) {
    Fail("Memoize() where no value has just been written");
    return 0;
  }
  if (!top_memo_.has_value()) top_memo_ = EmitPut();
  return *top_memo_;
}

void PickleWriter::Get(Memo memo) {
  if (!BeforeValue()) return;
  if (memo >= memos_) return Fail(absl::StrCat("memo ", memo, ", which is not there"));
  EmitGet(memo);
  AfterValue();
  top_memo_ = memo;
}

void PickleWriter::ReplaceWith(Memo memo) {
  if (!status_.ok()) return;
  if (!has_top_ || frames_.back().count == 0 || memo >= memos_)
    return Fail("ReplaceWith() where no value has just been written");
  Op(Byte(PickleOp::kPop));
  EmitGet(memo);
  top_memo_ = memo;
}

absl::Status PickleWriter::Finish() {
  if (status_.ok() && (frames_.size() != 1 || frames_.back().count != 1))
    Fail("finished before one whole value was written");
  Op(Byte(PickleOp::kStop));
  Flush();
  return status_;
}

}  // namespace cairn
