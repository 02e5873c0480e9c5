#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace cairn {

// Appends msgpack to a string, each item in the shortest header and every float as 64 bits: byte for byte what
// msgpack-python's Packer writes. (The packer of msgpack-cxx turns floats without a fraction into integers.)
// Lengths are below 2^32: the caller sees to that.
class MsgpackEmitter {
 public:
  explicit MsgpackEmitter(std::string* out) : out_(*out) {}

  void Nil();
  void Bool(bool value);
  void Int(int64_t value);
  void Uint(uint64_t value);
  void Float(double value);
  void Str(absl::string_view text);
  void Bin(absl::string_view bytes);
  // Headers, behind which the caller puts as much as they announce.
  void ArrayHeader(uint64_t items);
  void MapHeader(uint64_t pairs);
  void BinHeader(uint64_t bytes);
  void ExtHeader(int8_t type, uint64_t bytes);

 private:
  void Code(uint8_t code, uint64_t value, int value_bytes);

  std::string& out_;
};

}  // namespace cairn
