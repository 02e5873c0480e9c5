#include <cstdint>
#include <cstdlib>
#include <string>

#include "common/io/memory_io.h"
#include "common/pickle/pickle_reader.h"
#include "common/pickle/pickle_subtree.h"
#include "common/pickle/pickle_values.h"
#include "common/tensor/value.h"

// First corpus: `write_pickle_seeds`. What can be read can be written, unless persistent ids are in it or it grows too
// big, and can be read again; as a value it can be written too, unless it is too big; and nothing takes long.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string pickle(reinterpret_cast<const char*>(bytes), size);
  const cairn::PickleLimits limits{.max_memory_bytes = 64u << 20, .max_text_bytes = 1u << 20};
  const auto tree = cairn::ReadPickle(pickle, "fuzz", limits);
  const auto through_window = cairn::ReadPickle(cairn::MemorySource(pickle), 0, limits);
  if (tree.ok() != through_window.ok()) std::abort();
  (void)cairn::DescribeOpaque(pickle);
  if (!tree.ok()) return 0;
  if (tree->size() != through_window->size() || tree->end_offset() > size) std::abort();
  const cairn::PicklePersistentIds ids(*tree);
  for (const int protocol : {2, 4}) {
    const auto written = cairn::SubtreeAsPickle(*tree, tree->root(), 4u << 20, protocol);
    if (!written.ok()) {
      const bool has_ids = ids.IsReachedFrom(tree->root());
      const bool refused_ids = written.status().code() == absl::StatusCode::kFailedPrecondition;
      const bool too_big = written.status().code() == absl::StatusCode::kResourceExhausted;
      if (has_ids != refused_ids && !too_big) std::abort();
      continue;
    }
    const auto again = cairn::ReadPickle(*written, "again");
    if (!again.ok() || again->end_offset() != written->size()) std::abort();
  }
  cairn::PickleValues values(*tree, {.max_values = 1u << 16, .max_value_bytes = 1u << 20, .max_total_bytes = 8u << 20});
  const auto value = values.ToValue(tree->root());
  if (!value.ok()) return 0;
  const std::string encoded = cairn::EncodeValue(*value);
  const auto decoded = cairn::DecodeValue(encoded);
  if (!decoded.ok() || !(*decoded == *value)) std::abort();
  std::string rewritten;
  cairn::PickleWriter writer(&rewritten, 2);
  if (!cairn::WriteValue(*value, writer).ok() || !writer.Finish().ok()) std::abort();
  return 0;
}
