#pragma once

#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/unit/common/diff/memory_checkpoint.h"

namespace cairn::testing {

// Pairs of checkpoints that differ in every way there is.
class RandomPair {
 public:
  explicit RandomPair(unsigned seed) : random_(seed) {
    const int entries = Below(12);
    for (int i = 0; i < entries; ++i) AddEntry(i);
    base.mutable_index().metadata["from"] = "base";
    target.mutable_index().metadata["step"] = absl::StrCat(seed);
  }

  MemoryCheckpoint base, target;

 private:
  int Below(int limit) { return limit <= 1 ? 0 : static_cast<int>(random_() % static_cast<unsigned>(limit)); }

  std::string Bytes(Dtype dtype, uint64_t size) {
    std::string bytes(size, '\0');
    const int kind = Below(4);
    if (kind == 0) return bytes;  // Zeros.
    for (char& byte : bytes) byte = static_cast<char>(random_());
    // Extreme exponents: infinities, NaNs with payloads, subnormals, minus zero.
    const size_t element = std::max(BitWidth(dtype) / 8, 1);
    static const std::vector<std::string> kTops = {"\x7f\x80", "\x7f\xc0", "\xff\x81", "\x7f\xf0", "\x7c\x01",
                                                   "\xff\xff", std::string("\x80\x00", 2), std::string("\x00\x01", 2)};
    if (kind == 1) {
      for (size_t i = 0; i + element <= bytes.size(); i += element) {
        const std::string& top = kTops[static_cast<size_t>(Below(static_cast<int>(kTops.size())))];
        bytes[i + element - 1] = top[0];
        if (element > 1) bytes[i + element - 2] = top[1];
      }
    }
    if (dtype == Dtype::kBool) {
      for (char& byte : bytes) byte = static_cast<char>(byte & 1);
    }
    return bytes;
  }

  Shape RandomShape(Dtype dtype) {
    // Packed types need whole bytes; now and then more than one piece.
    const bool packed = BitWidth(dtype) % 8 != 0;
    if (Below(20) == 0) return {4 * 300'000};
    if (packed) return {Below(5), 4 * Below(50)};
    switch (Below(4)) {
      case 0:
        return {};
      case 1:
        return {Below(300)};
      default:
        return {Below(40), Below(40)};
    }
  }

  Value RandomValue() {
    switch (Below(7)) {
      case 0:
        return Value::None();
      case 1:
        return Value::Bool(Below(2) == 1);
      case 2:
        return Value::Int(static_cast<int64_t>(random_()));
      case 3:
        return Value::Float(Below(2) == 1 ? -0.0 : std::nan("7"));
      case 4:
        return Value::String(absl::StrCat("text ", Below(3)));
      case 5:
        return Value::Bytes(std::string("\x00\xff", 2));
      default: {
        Value list;
        list.kind = Value::Kind::kList;
        list.items = {Value::Int(Below(3)), Value::None()};
        return list;
      }
    }
  }

  void AddEntry(int number) {
    const std::string path = absl::StrCat("layers/[", number, "]/w.", number);
    const int kind = Below(10);
    if (kind == 0) {
      const Value value = RandomValue();
      if (Below(4) > 0) base.OfValue(path, value);
      if (Below(4) > 0) target.OfValue(path, Below(2) == 0 ? value : RandomValue());
      return;
    }
    if (kind == 1) {
      const std::string text = Bytes(Dtype::kUint8, static_cast<uint64_t>(Below(3000)));
      if (Below(4) > 0) base.Asset(absl::StrCat(number, ".json"), text);
      if (Below(4) > 0) target.Asset(absl::StrCat(number, ".json"), Below(2) == 0 ? text : text + "x");
      return;
    }
    const Dtype dtype = AllDtypes()[static_cast<size_t>(Below(static_cast<int>(AllDtypes().size())))];
    const Shape shape = RandomShape(dtype);
    const std::string bytes = Bytes(dtype, *ByteSize(dtype, shape));
    if (kind != 2) base.Tensor(path, dtype, shape, bytes);
    switch (Below(7)) {
      case 0:  // Removed.
        return;
      case 1:  // Reshaped.
        target.Tensor(path, dtype, {static_cast<int64_t>(*ElementCount(shape)), 1}, bytes);
        return;
      case 2: {  // Recast, or another number of elements.
        const Dtype other = Below(2) == 0 ? Dtype::kFloat32 : dtype;
        const Shape larger = BitWidth(other) % 8 == 0 ? Shape{3, 5} : Shape{4, 8};
        target.Tensor(path, other, larger, Bytes(other, *ByteSize(other, larger)));
        return;
      }
      case 3:  // Equal.
        target.Tensor(path, dtype, shape, bytes);
        return;
      case 4:  // Unrelated.
        target.Tensor(path, dtype, shape, Bytes(dtype, bytes.size()));
        return;
      default: {  // Some bytes changed.
        std::string changed = bytes;
        const int changes = changed.empty() ? 0 : Below(static_cast<int>(std::min<size_t>(changed.size(), 5000)));
        for (int i = 0; i < changes; ++i) changed[random_() % changed.size()] = static_cast<char>(Below(2));
        target.Tensor(path, dtype, shape, changed);
      }
    }
  }

  std::mt19937_64 random_;
};

}  // namespace cairn::testing
