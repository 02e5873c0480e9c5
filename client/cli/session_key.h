#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/tensor/dtype.h"

namespace cairn::cli {

// All that decides which bytes a push sends and where.
struct PushIdentity {
  std::string ref;
  std::string source;         // As given: the prefix may choose a variant.
  std::string file_identity;  // FileIdentity().
  std::optional<Dtype> float_dtype;
  std::vector<std::string> select;
  std::string recipe;  // RecipeRequest::Identity().
  std::map<std::string, std::string> metadata;
  std::string parent;
  bool overwrite = false;
};

// The key of the save session: the same for a repeated command, which then goes on where the last one
// stopped, and another as soon as the file or an option differs.
std::string SessionKey(const PushIdentity& identity);

}  // namespace cairn::cli
