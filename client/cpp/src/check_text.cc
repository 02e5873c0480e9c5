#include "client/cpp/src/check_text.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/utf8.h"
#include "google/protobuf/descriptor.h"

namespace cairn::client {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr size_t kMostShown = 64;

absl::Status CheckOne(const std::string& text, const std::string& field) {
  if (IsUtf8(text)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, ": expected UTF-8, found \"", text.substr(0, kMostShown), "\""));
}

absl::Status Check(const Message& message, const std::string& parent) {
  const Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const std::string name = absl::StrCat(parent, field->name());
    const bool is_message = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
    if (!is_message && field->type() != FieldDescriptor::TYPE_STRING) continue;
    const int count = field->is_repeated() ? reflection.FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i) {
      if (is_message) {
        CAIRN_RETURN_IF_ERROR(Check(field->is_repeated() ? reflection.GetRepeatedMessage(message, field, i)
                                                         : reflection.GetMessage(message, field),
                                    absl::StrCat(name, ".")));
      } else {
        CAIRN_RETURN_IF_ERROR(CheckOne(field->is_repeated() ? reflection.GetRepeatedString(message, field, i)
                                                            : reflection.GetString(message, field),
                                       name));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckText(const Message& request) { return Check(request, ""); }

}  // namespace cairn::client
