#include "common/format/flax_msgpack/msgpack_emit.h"

#include <bit>

namespace cairn {

// A code and a big-endian number behind it.
void MsgpackEmitter::Code(uint8_t code, uint64_t value, int value_bytes) {
  out_.push_back(static_cast<char>(code));
  for (int i = value_bytes - 1; i >= 0; --i) out_.push_back(static_cast<char>(value >> (8 * i) & 0xff));
}

void MsgpackEmitter::Nil() { Code(0xc0, 0, 0); }

void MsgpackEmitter::Bool(bool value) { Code(value ? 0xc3 : 0xc2, 0, 0); }

void MsgpackEmitter::Uint(uint64_t value) {
  if (value < 0x80) {
    Code(static_cast<uint8_t>(value), 0, 0);
  } else if (value <= 0xff) {
    Code(0xcc, value, 1);
  } else if (value <= 0xffff) {
    Code(0xcd, value, 2);
  } else if (value <= 0xffffffff) {
    Code(0xce, value, 4);
  } else {
    Code(0xcf, value, 8);
  }
}

void MsgpackEmitter::Int(int64_t value) {
  const auto bits = static_cast<uint64_t>(value);
  if (value >= 0) {
    Uint(bits);
  } else if (value >= -32) {
    Code(static_cast<uint8_t>(bits), 0, 0);
  } else if (value >= INT8_MIN) {
    Code(0xd0, bits, 1);
  } else if (value >= INT16_MIN) {
    Code(0xd1, bits, 2);
  } else if (value >= INT32_MIN) {
    Code(0xd2, bits, 4);
  } else {
    Code(0xd3, bits, 8);
  }
}

void MsgpackEmitter::Float(double value) { Code(0xcb, std::bit_cast<uint64_t>(value), 8); }

void MsgpackEmitter::Str(absl::string_view text) {
  if (text.size() < 32) {
    Code(static_cast<uint8_t>(0xa0 | text.size()), 0, 0);
  } else if (text.size() <= 0xff) {
    Code(0xd9, text.size(), 1);
  } else if (text.size() <= 0xffff) {
    Code(0xda, text.size(), 2);
  } else {
    Code(0xdb, text.size(), 4);
  }
  out_.append(text.data(), text.size());
}

void MsgpackEmitter::Bin(absl::string_view bytes) {
  BinHeader(bytes.size());
  out_.append(bytes.data(), bytes.size());
}

void MsgpackEmitter::BinHeader(uint64_t bytes) {
  if (bytes <= 0xff) {
    Code(0xc4, bytes, 1);
  } else if (bytes <= 0xffff) {
    Code(0xc5, bytes, 2);
  } else {
    Code(0xc6, bytes, 4);
  }
}

void MsgpackEmitter::ArrayHeader(uint64_t items) {
  if (items < 16) {
    Code(static_cast<uint8_t>(0x90 | items), 0, 0);
  } else if (items <= 0xffff) {
    Code(0xdc, items, 2);
  } else {
    Code(0xdd, items, 4);
  }
}

void MsgpackEmitter::MapHeader(uint64_t pairs) {
  if (pairs < 16) {
    Code(static_cast<uint8_t>(0x80 | pairs), 0, 0);
  } else if (pairs <= 0xffff) {
    Code(0xde, pairs, 2);
  } else {
    Code(0xdf, pairs, 4);
  }
}

void MsgpackEmitter::ExtHeader(int8_t type, uint64_t bytes) {
  if (bytes != 0 && bytes <= 16 && std::has_single_bit(bytes)) {
    Code(static_cast<uint8_t>(0xd4 + std::countr_zero(bytes)), 0, 0);
  } else if (bytes <= 0xff) {
    Code(0xc7, bytes, 1);
  } else if (bytes <= 0xffff) {
    Code(0xc8, bytes, 2);
  } else {
    Code(0xc9, bytes, 4);
  }
  out_.push_back(static_cast<char>(type));
}

}  // namespace cairn
