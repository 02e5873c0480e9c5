#include "common/pickle/pickle_reader.h"

#include <bit>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/pickle/pickle_machine.h"
#include "common/pickle/pickle_opcodes.h"

namespace cairn {
namespace {

constexpr uint8_t kHighestProtocol = 5;

class Reader : private PickleMachine {
 public:
  Reader(PickleInput input, std::string name, uint64_t begin, const PickleLimits& limits)
      : PickleMachine(std::move(input), std::move(name), begin, limits) {}

  absl::StatusOr<PickleTree> Read() {
    while (!done_) {
      op_offset_ = in_.consumed();
      const char* const op = in_.Take(1);
      if (op == nullptr) {
        op_ = 0;
        const std::string where = absl::StrCat(name_, ": pickle at offset ", begin_);
        if (!in_.status().ok()) return Annotate(in_.status(), where);
        return absl::InvalidArgumentError(
            absl::StrCat(where, ": ends at offset ", begin_ + op_offset_, " without STOP: truncated, or no pickle"));
      }
      op_ = static_cast<uint8_t>(*op);
      if (op_offset_ > std::numeric_limits<uint32_t>::max()) {
        FailWith(absl::StatusCode::kResourceExhausted, "pickles of 4 GiB and more are not read");
        return status_;
      }
      build_.set_offset(static_cast<uint32_t>(op_offset_));
      const bool stepped = Step(static_cast<PickleOp>(op_));
      if (build_.exhausted()) {
        FailWith(absl::StatusCode::kResourceExhausted,
                 absl::StrCat("takes more than ", limits_.max_memory_bytes, " bytes of memory"));
        return status_;
      }
      if (!stepped && !done_) return status_;
    }
    return build_.Finish(result_, begin_ + in_.consumed());
  }

 private:
  bool Step(PickleOp op);
};

bool Reader::Step(PickleOp op) {
  using Kind = PickleKind;
  const auto push_int = [&](uint64_t number) { return Push(build_.AddInt(static_cast<int64_t>(number))); };
  switch (op) {
    case PickleOp::kProto:
      return WithNumber(1, [&](uint64_t protocol) {
        if (protocol > kHighestProtocol) return Fail(absl::StrCat("unknown protocol ", protocol));
        protocol_ = static_cast<int>(protocol);
        return true;
      });
    case PickleOp::kFrame:
      // A hint for buffering; only its honesty matters.
      return WithNumber(8, [&](uint64_t size) { return size <= in_.left() || FailTruncated(size); });
    case PickleOp::kStop:
      if (!Need(1)) return false;
      result_ = Pop();
      done_ = true;
      return false;

    case PickleOp::kMark:
      return Mark();
    case PickleOp::kPop:
      return PopOne();
    case PickleOp::kPopMark:
      return WithMarked([](absl::Span<const PickleNodeId>) { return true; });
    case PickleOp::kDup:
      return Need(1) && Push(Top());

    case PickleOp::kNone:
      return Push(PickleTreeBuilder::kNone);
    case PickleOp::kNewTrue:
      return Push(PickleTreeBuilder::kTrue);
    case PickleOp::kNewFalse:
      return Push(PickleTreeBuilder::kFalse);
    case PickleOp::kBinInt1:
      return WithNumber(1, push_int);
    case PickleOp::kBinInt2:
      return WithNumber(2, push_int);
    case PickleOp::kBinInt:
      return WithNumber(4, [&](uint64_t bits) { return Push(build_.AddInt(static_cast<int32_t>(bits))); });
    case PickleOp::kInt:
    case PickleOp::kLong:
      return PushDecimal();
    case PickleOp::kLong1:
      return WithNumber(1, [&](uint64_t size) { return PushTwosComplement(size); });
    case PickleOp::kLong4:
      return WithNumber(4, [&](uint64_t bits) {
        const auto size = static_cast<int32_t>(bits);
        return size < 0 ? Fail(absl::StrCat("negative length ", size))
                        : PushTwosComplement(static_cast<uint64_t>(size));
      });
    case PickleOp::kFloat:
      return PushFloat();
    case PickleOp::kBinFloat:
      return WithNumber(
          8, [&](uint64_t bits) { return Push(build_.AddFloat(std::bit_cast<double>(__builtin_bswap64(bits)))); });

    case PickleOp::kString:
      return PushString();
    case PickleOp::kShortBinString:
      return WithNumber(1, [&](uint64_t size) { return ReadPython2Str(size); });
    case PickleOp::kBinString:
      return WithNumber(4, [&](uint64_t bits) {
        const auto size = static_cast<int32_t>(bits);
        return size < 0 ? Fail(absl::StrCat("negative length ", size)) : ReadPython2Str(static_cast<uint64_t>(size));
      });
    case PickleOp::kUnicode:
      return PushUnicode();
    case PickleOp::kShortBinUnicode:
      return WithNumber(1, [&](uint64_t size) { return PushText(Kind::kStr, size); });
    case PickleOp::kBinUnicode:
      return WithNumber(4, [&](uint64_t size) { return PushText(Kind::kStr, size); });
    case PickleOp::kBinUnicode8:
      return WithNumber(8, [&](uint64_t size) { return PushText(Kind::kStr, size); });
    case PickleOp::kShortBinBytes:
      return WithNumber(1, [&](uint64_t size) { return PushText(Kind::kBytes, size); });
    case PickleOp::kBinBytes:
      return WithNumber(4, [&](uint64_t size) { return PushText(Kind::kBytes, size); });
    case PickleOp::kBinBytes8:
      return WithNumber(8, [&](uint64_t size) { return PushText(Kind::kBytes, size); });
    case PickleOp::kByteArray8:
      return WithNumber(8, [&](uint64_t size) { return PushText(Kind::kByteArray, size); });

    case PickleOp::kEmptyTuple:
      return Push(PickleTreeBuilder::kEmptyTuple);
    case PickleOp::kTuple1:
      return Collect(Kind::kTuple, 1);
    case PickleOp::kTuple2:
      return Collect(Kind::kTuple, 2);
    case PickleOp::kTuple3:
      return Collect(Kind::kTuple, 3);
    case PickleOp::kTuple:
      return CollectMarked(Kind::kTuple);
    case PickleOp::kEmptyList:
      return Push(build_.Add(Kind::kList, {}));
    case PickleOp::kList:
      return CollectMarked(Kind::kList);
    case PickleOp::kEmptyDict:
      return Push(build_.Add(Kind::kDict, {}));
    case PickleOp::kDict:
      return CollectMarked(Kind::kDict);
    case PickleOp::kEmptySet:
      return Push(build_.Add(Kind::kSet, {}));
    case PickleOp::kFrozenSet:
      return CollectMarked(Kind::kFrozenSet);
    case PickleOp::kAppend:
      return AffectByTop(Kind::kAppendItems, 1);
    case PickleOp::kAppends:
      return AffectByMarked(Kind::kAppendItems);
    case PickleOp::kSetItem:
      return AffectByTop(Kind::kSetItems, 2);
    case PickleOp::kSetItems:
      return AffectByMarked(Kind::kSetItems);
    case PickleOp::kAddItems:
      return AffectByMarked(Kind::kAddItems);

    case PickleOp::kGlobal: {
      const std::optional<PickleNodeId> global = ReadGlobal();
      return global.has_value() && Push(*global);
    }
    case PickleOp::kStackGlobal:
      return PushStackGlobal();
    case PickleOp::kReduce:
      return MakeObject(Kind::kReduce);
    case PickleOp::kNewObj:
      return MakeObject(Kind::kNewObj);
    case PickleOp::kNewObjEx:
      return MakeNewObjEx();
    case PickleOp::kInst: {
      const std::optional<PickleNodeId> global = ReadGlobal();
      PickleNodeId made = 0;
      return global.has_value() &&
             WithMarked([&](absl::Span<const PickleNodeId> args) { return MakeInstance(*global, args, &made); }) &&
             Push(made);
    }
    case PickleOp::kObj: {
      PickleNodeId made = 0;
      return WithMarked([&](absl::Span<const PickleNodeId> items) {
               if (items.empty()) return Fail("stack underflow: expected a class above the last mark, found nothing");
               return MakeInstance(items[0], items.subspan(1), &made);
             }) &&
             Push(made);
    }
    case PickleOp::kBuild:
      return AffectByTop(Kind::kBuild, 1);

    case PickleOp::kPersId: {
      absl::string_view line;
      if (!WithLine("a persistent id", kMaxLine, &line)) return false;
      const char* const data = Copy(line);
      return data != nullptr && PushText(Kind::kStr, data, line.size()) && Collect(Kind::kPersistentId, 1);
    }
    case PickleOp::kBinPersId:
      return Collect(Kind::kPersistentId, 1);

    case PickleOp::kMemoize:
      return PutAt(memo_.size());
    case PickleOp::kPut:
      return WithIndexLine(true);
    case PickleOp::kBinPut:
      return WithNumber(1, [&](uint64_t index) { return PutAt(index); });
    case PickleOp::kLongBinPut:
      return WithNumber(4, [&](uint64_t index) { return PutAt(index); });
    case PickleOp::kGet:
      return WithIndexLine(false);
    case PickleOp::kBinGet:
      return WithNumber(1, [&](uint64_t index) { return GetAt(index); });
    case PickleOp::kLongBinGet:
      return WithNumber(4, [&](uint64_t index) { return GetAt(index); });

    case PickleOp::kExt1:
    case PickleOp::kExt2:
    case PickleOp::kExt4:
      return FailWith(absl::StatusCode::kUnimplemented,
                      "an extension code, which only the Python that wrote it can resolve (copyreg.add_extension)");
    case PickleOp::kNextBuffer:
    case PickleOp::kReadonlyBuffer:
      return FailWith(absl::StatusCode::kUnimplemented, "an out-of-band buffer, whose bytes are not in the pickle");
  }
  return Fail("unknown opcode: damaged, or no pickle");
}

}  // namespace

absl::StatusOr<PickleTree> ReadPickle(const ByteSource& source, uint64_t offset, const PickleLimits& limits) {
  if (offset > source.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(source.name(), ": expected a pickle at offset ", offset, ", found the end at ", source.size()));
  }
  return Reader(PickleInput(source, offset), source.name(), offset, limits).Read();
}

absl::StatusOr<PickleTree> ReadPickle(absl::string_view bytes, absl::string_view name, const PickleLimits& limits) {
  return Reader(PickleInput(bytes), std::string(name), 0, limits).Read();
}

}  // namespace cairn
