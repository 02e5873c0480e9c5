// What common/pickle makes of pickles, for test_pickle.py. One request after another on the standard input, until its
// end: a letter, the length as 4 bytes (little-endian), a pickle. Each answer on the standard output: `+` or `-`,
// length, bytes.
//
//   t  the tree as text (pickle_canonical.h)
//   2, 4  the whole written again in that protocol
//   v  as a value: its text, with opaque ones described
//   w  as a value, written as protocol 2
//   d  the description of an opaque value
//   m  writes a checkpoint of torch with two tensors of one storage (the pickle that came is ignored)

#include <cstdint>
#include <iostream>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/io/memory_io.h"
#include "common/pickle/pickle_reader.h"
#include "common/pickle/pickle_subtree.h"
#include "common/pickle/pickle_values.h"
#include "tests/testing/pickle_canonical.h"

namespace cairn {
namespace {

void Tensor(PickleWriter& writer, int64_t offset, const std::vector<int64_t>& size,
            const std::vector<int64_t>& stride) {
  writer.BeginReduce();
  writer.Global("torch._utils", "_rebuild_tensor_v2");
  writer.BeginTuple();
  writer.BeginPersistentId();
  writer.BeginTuple();
  writer.Str("storage");
  writer.Global("torch", "FloatStorage");
  writer.Str("0");
  writer.Str("cpu");
  writer.Int(6);
  writer.End();
  writer.End();
  writer.Int(offset);
  writer.IntTuple(size);
  writer.IntTuple(stride);
  writer.Bool(false);
  writer.EmptyOrderedDict();
  writer.End();
  writer.End();
}

absl::StatusOr<std::string> TorchCheckpoint() {
  std::string pickle;
  MemorySink sink(&pickle);
  PickleWriter writer(&sink, 2);
  writer.BeginDict();
  writer.Str("w");
  Tensor(writer, 0, {2, 3}, {3, 1});
  const PickleWriter::Memo tied = writer.Memoize();
  writer.Str("tied");
  writer.Get(tied);
  writer.Str("view");
  Tensor(writer, 4, {2}, {1});
  writer.Str("state");
  writer.BeginReduce();
  writer.Global("collections", "OrderedDict");
  writer.IntTuple({});
  writer.SetItems();
  writer.Str("betas");
  CAIRN_RETURN_IF_ERROR(WriteValue(Value::Bytes("\xff"), writer));
  writer.Build();
  writer.BeginDict();
  writer.Str("_metadata");
  writer.EmptyOrderedDict();
  writer.End();
  writer.End();
  writer.End();
  CAIRN_RETURN_IF_ERROR(writer.Finish());
  CAIRN_RETURN_IF_ERROR(sink.Close());
  return pickle;
}

absl::StatusOr<std::string> Answer(char request, const std::string& pickle) {
  if (request == 'd') return DescribeOpaque(pickle);
  if (request == 'm') return TorchCheckpoint();
  CAIRN_ASSIGN_OR_RETURN(const PickleTree tree, ReadPickle(MemorySource(pickle, "probe"), 0));
  switch (request) {
    case 't':
      return testing::CanonicalPickle(tree, tree.root());
    case '2':
      return SubtreeAsPickle(tree, tree.root(), uint64_t{1} << 30, 2);
    case '4':
      return SubtreeAsPickle(tree, tree.root(), uint64_t{1} << 30, 4);
    default:
      break;
  }
  CAIRN_ASSIGN_OR_RETURN(const Value value, PickleValues(tree).ToValue(tree.root()));
  if (request == 'v') return ValueToString(value, DescribeOpaque);
  std::string written;
  PickleWriter writer(&written, 2);
  CAIRN_RETURN_IF_ERROR(WriteValue(value, writer));
  CAIRN_RETURN_IF_ERROR(writer.Finish());
  return written;
}

}  // namespace
}  // namespace cairn

int main() {
  std::ios::sync_with_stdio(false);
  char header[5];
  while (std::cin.read(header, sizeof(header))) {
    uint32_t size = 0;
    for (int i = 0; i < 4; ++i) size |= uint32_t{static_cast<unsigned char>(header[1 + i])} << 8 * i;
    std::string pickle(size, '\0');
    if (!std::cin.read(pickle.data(), size)) return 2;
    const absl::StatusOr<std::string> answer = cairn::Answer(header[0], pickle);
    const std::string text = answer.ok() ? *answer : answer.status().ToString();
    std::cout.put(answer.ok() ? '+' : '-');
    for (int shift = 0; shift < 32; shift += 8) std::cout.put(static_cast<char>(text.size() >> shift));
    std::cout.write(text.data(), static_cast<std::streamsize>(text.size()));
    std::cout.flush();
  }
  return 0;
}
