#include "client/cli/session_key.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/digest.h"

namespace cairn::cli {

std::string SessionKey(const PushIdentity& identity) {
  Digester digester(DigestAlgorithm::kSha256);
  // Each part with its length, so that no two identities run into the same text.
  const auto add = [&](absl::string_view part) {
    digester.Update(absl::StrCat(part.size(), ":", part, ";"));
  };
  add(identity.ref);
  add(identity.source);
  add(identity.file_identity);
  add(identity.float_dtype.has_value() ? DtypeName(*identity.float_dtype) : "keep");
  add(absl::StrCat(identity.select.size()));
  for (const std::string& pattern : identity.select) add(pattern);
  add(identity.recipe);
  for (const auto& [key, value] : identity.metadata) {
    add(key);
    add(value);
  }
  add(identity.parent);
  add(identity.overwrite ? "overwrite" : "");
  return absl::StrCat("cli-", digester.Finish().ToHex().substr(0, 40));
}

}  // namespace cairn::cli
