#include "common/tensor/shared_value.h"

namespace cairn {

const Value& SharedValue::NoneAtAll() {
  static const auto* const none = new Value();
  return *none;
}

}  // namespace cairn
