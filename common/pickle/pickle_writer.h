#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/io/byte_sink.h"

namespace cairn {

// Writes one pickle, front to back: protocol 2 (torch's data.pkl) or 4 (DCP's .metadata). The same calls make the same
// bytes. Equal strings and equal globals are written once and referred to afterwards.
//
// Each value is one call, or Begin...() its parts End():
//
//   writer.BeginDict();
//     writer.Str("lr");   writer.Float(0.1);
//     writer.Str("hook"); writer.BeginReduce();              // collections.OrderedDict(), then its items
//                           writer.Global("collections", "OrderedDict");
//                           writer.BeginTuple(); writer.End();
//                           writer.SetItems();
//                           writer.Str("a"); writer.Int(1);
//                         writer.End();
//   writer.End();
//   CAIRN_RETURN_IF_ERROR(writer.Finish());
//
// Errors stick: calls after one do nothing, and Finish() returns it. Not thread-safe.
class PickleWriter {
 public:
  // `sink` or `out` must outlive the writer. Bytes go to the sink in pieces of 64 KiB or so, the last in Finish(),
  // which does not close it.
  PickleWriter(ByteSink* sink, int protocol);
  PickleWriter(std::string* out, int protocol);

  int protocol() const { return protocol_; }
  const absl::Status& status() const { return status_; }
  // Bytes so far.
  uint64_t size() const { return flushed_ + buffer_.size(); }
  // Beyond this, RESOURCE_EXHAUSTED.
  void set_max_bytes(uint64_t bytes) { max_bytes_ = bytes; }

  void None();
  void Bool(bool value);
  void Int(int64_t value);
  void BigInt(absl::string_view decimal);               // `-` and digits, 100,000 at most.
  void BigIntBytes(absl::string_view twos_complement);  // Little-endian.
  void Float(double value);
  void Complex(double real, double imaginary);
  // Well-formed UTF-8; lone surrogates may be in it as three bytes each.
  void Str(absl::string_view utf8);
  void Bytes(absl::string_view bytes);
  void ByteArray(absl::string_view bytes);
  // A str of Python 2.
  void Python2Str(absl::string_view bytes);
  // By its Python-3 name. Protocol 2 writes builtins and copyreg as Python 2 named them, as CPython and torch do, and a
  // class within a class ("A.B") as the getattr() that it takes there.
  void Global(absl::string_view module, absl::string_view name);

  // Containers and objects go on up to their End().
  void BeginList();
  // With the number of items, if it is known: one byte less for up to three.
  void BeginTuple(int32_t size = -1);
  void BeginDict();  // Then key, value, key, value ...
  void BeginSet();
  void BeginFrozenSet();
  // Then the callable (or class), and a tuple of its arguments; BeginNewObjEx: and a dict of keywords. After those, any
  // number of SetItems() (key, value, ...), AppendItems(), AddItems() and Build() (one state).
  void BeginReduce();
  void BeginNewObj();
  void BeginNewObjEx();
  // What INST and OBJ make: the class, then arguments up to ObjectMade(), then perhaps the above.
  void BeginInstance();
  void ObjectMade();
  // Then the payload, then perhaps SetItems() and so on.
  void BeginPersistentId();
  void SetItems();
  void AppendItems();
  void AddItems();
  void Build();
  void End();

  // Shorthands.
  void IntTuple(absl::Span<const int64_t> values);
  void EmptyOrderedDict();

  // Sharing. Remembers the value that was completed last, and Get() writes it again. Right after BeginList or BeginDict
  // (and BeginSet in protocol 4) that is the container which has just been begun; within an object, once its arguments
  // are there or an effect has ended, the object. So can a value be within itself.
  using Memo = uint32_t;
  Memo Memoize();
  void Get(Memo memo);
  // Puts `memo` in the place of the value completed last, which was written for nothing.
  void ReplaceWith(Memo memo);

  // Writes STOP and hands over what is still here. FAILED_PRECONDITION unless exactly one value was written, whole;
  // INVALID_ARGUMENT for data that no pickle of this protocol holds; the sink's errors as they are.
  absl::Status Finish();

 private:
  // What the values that come next are for.
  enum class Part : uint8_t {
    kRoot,
    kList,
    kTuple,
    kDict,
    kSet,
    kSetCall,  // Protocol 2 has no sets: a call of set with a list.
    kFrozenSet,
    kReduce,  // Until the arguments are there; then kObject.
    kNewObj,
    kNewObjEx,
    kInstance,
    kPersistentId,
    kObject,  // Made; no value may come.
    kSetItems,
    kAppendItems,
    kAddItems,
    kBuild,
  };
  struct Frame {
    Part part;
    bool marked = false;  // MARK is on the stack, for the items so far.
    int32_t size = -1;    // BeginTuple's.
    uint64_t count = 0;   // Of values in this part.
  };

  void Start();
  // Around each value. BeforeValue is false once there is an error.
  bool BeforeValue();
  void AfterValue();
  void Begin(Part part, bool is_value);
  // Ends a run of items, and the effect that it is of.
  bool CloseItems();
  bool StartEffect(Part part);
  void Fail(absl::string_view what);    // The calls are wrong.
  void Refuse(absl::string_view what);  // The data is.

  void Op(uint8_t op) { buffer_.push_back(static_cast<char>(op)); }
  void Number(uint64_t value, int bytes);
  // Without BeforeValue and AfterValue.
  void EmitStr(absl::string_view utf8);
  void EmitGlobal(absl::string_view module, absl::string_view name);
  void EmitGet(Memo memo);
  Memo EmitPut();
  void Append(absl::string_view bytes);
  void Flush();

  ByteSink* const sink_ = nullptr;
  std::string* const out_ = nullptr;
  const int protocol_;
  std::string buffer_;
  uint64_t flushed_ = 0;
  uint64_t max_bytes_ = UINT64_MAX;
  absl::Status status_;
  std::vector<Frame> frames_;
  // On top of the reader's stack is a value that Memoize() may name; its memo if it has one already.
  bool has_top_ = false;
  std::optional<Memo> top_memo_;
  Memo memos_ = 0;
  absl::flat_hash_map<std::string, Memo> strings_;
  absl::flat_hash_map<std::pair<std::string, std::string>, Memo> globals_;
};

}  // namespace cairn
