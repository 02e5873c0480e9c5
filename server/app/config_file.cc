#include "server/app/config_file.h"

#include <errno.h>
#include <stdio.h>
#include <yaml-cpp/yaml.h>

#include <map>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "server/app/option_error.h"
#include "server/app/utf8.h"

namespace cairn {
namespace {

constexpr size_t kMaxConfigBytes = size_t{1} << 20;

absl::StatusOr<std::string> ReadSmallFile(const std::string& path) {
  const auto failed = [&](int error) {
    return absl::ErrnoToStatus(error, absl::StrCat("configuration file ", OneLine(path), ": cannot be read"));
  };
  const std::unique_ptr<FILE, int (*)(FILE*)> file(fopen(path.c_str(), "re"), fclose);
  if (file == nullptr) return failed(errno);
  std::string bytes(kMaxConfigBytes + 1, '\0');
  errno = 0;
  bytes.resize(fread(bytes.data(), 1, bytes.size(), file.get()));
  if (ferror(file.get()) != 0) return failed(errno);
  if (bytes.size() > kMaxConfigBytes) {
    return BadOption(OneLine(path), "a configuration file of at most 1MiB", "more");
  }
  return bytes;
}

std::string At(const std::string& path, const YAML::Mark& mark) {
  return absl::StrCat(OneLine(path), ":", mark.line + 1);
}

const char* KindName(const YAML::Node& node) {
  switch (node.Type()) {
    case YAML::NodeType::Map:
      return "a map";
    case YAML::NodeType::Sequence:
      return "a list";
    case YAML::NodeType::Scalar:
      return "a value";
    default:
      return "nothing";
  }
}

absl::StatusOr<const OptionSpec*> FindKey(const std::string& key, const std::string& source) {
  std::vector<std::string> known;
  for (const OptionSpec& spec : OptionTable()) {
    if (key == spec.key) return &spec;
    known.emplace_back(spec.key);
  }
  return BadOption(source,
                   absl::StrCat("the name of an option (", DidYouMean(key, known, "see cairnd --help"), ")"),
                   JsonQuoted(key));
}

absl::StatusOr<std::vector<std::string>> Values(const OptionSpec& spec, const YAML::Node& node,
                                                const std::string& source) {
  if (node.IsScalar()) return std::vector<std::string>{node.Scalar()};
  const std::string named = absl::StrCat(source, ": ", spec.key);
  if (!spec.IsList() || !node.IsSequence()) {
    // `key:` alone is a null, which might be meant as empty or be a forgotten value.
    return BadOption(named, ExpectedText(spec),
                     node.IsNull() ? "nothing (an empty text is written \"\")" : KindName(node));
  }
  std::vector<std::string> values;
  for (const YAML::Node& item : node) {
    if (!item.IsScalar())
      return BadOption(named, ExpectedText(spec), absl::StrCat(KindName(item), " in the list"));
    values.push_back(item.Scalar());
  }
  return values;
}

absl::StatusOr<std::vector<ConfigEntry>> ReadEntries(const std::string& path, const YAML::Node& root) {
  std::vector<ConfigEntry> entries;
  if (root.IsNull()) return entries;  // An empty file, or comments only.
  if (!root.IsMap()) return BadOption(At(path, root.Mark()), "lines of `key: value`", KindName(root));
  std::map<std::string, std::string> first_at;
  for (const auto& pair : root) {
    const std::string source = At(path, pair.first.Mark());
    if (!pair.first.IsScalar()) return BadOption(source, "the name of an option", KindName(pair.first));
    const std::string key = pair.first.Scalar();
    CAIRN_ASSIGN_OR_RETURN(const OptionSpec* spec, FindKey(key, source));
    const auto [earlier, is_new] = first_at.emplace(key, source);
    if (!is_new)
      return BadOption(source, absl::StrCat(key, " once"), absl::StrCat("it again after ", earlier->second));
    CAIRN_ASSIGN_OR_RETURN(std::vector<std::string> values, Values(*spec, pair.second, source));
    entries.push_back({spec, source, std::move(values)});
  }
  return entries;
}

}  // namespace

absl::StatusOr<std::vector<ConfigEntry>> ReadConfigFile(const std::string& path) {
  CAIRN_ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(path));
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(text);
    if (documents.size() > 1) {
      return BadOption(At(path, documents[1].Mark()), "one YAML document", "a second one");
    }
    return ReadEntries(path, documents.empty() ? YAML::Node() : documents[0]);
  } catch (const YAML::Exception& error) {
    return BadOption(At(path, error.mark), "YAML", error.msg);
  }
}

}  // namespace cairn
