#pragma once

#include <memory>
#include <utility>

#include "common/tensor/value.h"

namespace cairn {

// A value as an entry holds it: one pointer, for most entries have none. None by itself; copies share the value, which
// nobody changes. A reference to it lives as long as one of them.
class SharedValue {
 public:
  SharedValue() = default;
  SharedValue(Value value)  // NOLINT: a value wherever one is given.
      : value_(value.kind == Value::Kind::kNone ? nullptr : std::make_shared<const Value>(std::move(value))) {}

  const Value& operator*() const { return value_ == nullptr ? NoneAtAll() : *value_; }
  const Value* operator->() const { return &**this; }
  operator const Value&() const { return **this; }  // NOLINT

  friend bool operator==(const SharedValue& a, const SharedValue& b) { return a.value_ == b.value_ || *a == *b; }
  friend bool operator==(const SharedValue& a, const Value& b) { return *a == b; }

 private:
  static const Value& NoneAtAll();

  std::shared_ptr<const Value> value_;
};

}  // namespace cairn
