#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace cairn {

struct JsonLimits {
  uint32_t max_depth = 64;
  uint64_t max_string_bytes = 16u << 20;  // One string, as it stands in the text.
};

// Takes the events of one JSON document. `depth` counts the containers around the event: 0 for the document
// itself. A status that is not OK ends the parse and is what ParseJson returns.
class JsonHandler {
 public:
  virtual ~JsonHandler() = default;
  virtual absl::Status OnKey(uint32_t depth, std::string key) = 0;
  virtual absl::Status OnString(uint32_t depth, std::string value) = 0;
  virtual absl::Status OnUnsigned(uint32_t depth, uint64_t value) = 0;
  // null, a Boolean, or a number that is negative, fractional or beyond 64 bits; `what` says which.
  virtual absl::Status OnOther(uint32_t depth, absl::string_view what) = 0;
  virtual absl::Status OnStart(uint32_t depth, bool is_object) = 0;
  virtual absl::Status OnEnd(uint32_t depth) = 0;
};

// Parses `text`, which must be one JSON document in UTF-8 with nothing but white space around it. Memory is
// bounded by the limits and by what the handler keeps, whatever the text says. INVALID_ARGUMENT with the byte
// offset.
absl::Status ParseJson(absl::string_view text, const JsonLimits& limits, JsonHandler* handler);

// `text` as a JSON string, quotes included. `text` is UTF-8.
std::string JsonQuote(absl::string_view text);

// A name from a file, for a message: quoted, printable, of bounded length.
std::string NameForMessage(absl::string_view name);

}  // namespace cairn
