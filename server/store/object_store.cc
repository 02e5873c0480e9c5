#include "server/store/object_store.h"

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

constexpr size_t kMaxKeyBytes = 512;
constexpr size_t kMaxSegmentBytes = 255;  // What file systems take.

// Hostile keys reach logs and terminals.
std::string Quoted(absl::string_view key) {
  constexpr size_t kShown = 80;
  return absl::StrCat("object key \"", absl::CHexEscape(key.substr(0, kShown)),
                      key.size() > kShown ? "...\"" : "\"");
}

bool IsKeyCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-';
}

}  // namespace

absl::Status CheckObjectKey(absl::string_view key) {
  if (key.empty()) return absl::InvalidArgumentError("object key is empty");
  if (key.size() > kMaxKeyBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(Quoted(key), ": ", key.size(), " bytes, expected at most ", kMaxKeyBytes));
  }
  for (const absl::string_view segment : absl::StrSplit(key, '/')) {
    if (segment.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(Quoted(key), ": expected segments joined with one '/', found an empty one"));
    }
    if (segment == "." || segment == "..") {
      return absl::InvalidArgumentError(
          absl::StrCat(Quoted(key), ": segment \"", segment, "\" is not allowed"));
    }
    if (segment.size() > kMaxSegmentBytes) {
      return absl::InvalidArgumentError(absl::StrCat(Quoted(key), ": segment of ", segment.size(),
                                                     " bytes, expected at most ", kMaxSegmentBytes));
    }
    for (const char c : segment) {
      if (!IsKeyCharacter(c)) {
        return absl::InvalidArgumentError(absl::StrCat(Quoted(key),
                                                       ": expected only [A-Za-z0-9._-] and '/', found \"",
                                                       absl::CHexEscape(absl::string_view(&c, 1)), "\""));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status ObjectStore::ReadInPieces(absl::string_view key, uint64_t offset, absl::Span<char> dst,
                                       absl::FunctionRef<void(absl::string_view)> seen) {
  CAIRN_RETURN_IF_ERROR(Read(key, offset, dst));
  seen(absl::string_view(dst.data(), dst.size()));
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> ObjectStore::OpenAsFile(absl::string_view) {
  return absl::UnimplementedError(absl::StrCat(Describe(), ": objects are no files"));
}

absl::Status PutObject(ObjectStore& store, absl::string_view key, absl::string_view bytes) {
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<ObjectWriter> writer, store.Create(key, bytes.size()));
  // No owner: the caller's bytes outlive the call.
  const Buffer piece(bytes, nullptr);
  CAIRN_RETURN_IF_ERROR(writer->Append({piece}));
  return writer->Seal();
}

absl::StatusOr<std::string> GetObject(ObjectStore& store, absl::string_view key, uint64_t max_bytes) {
  CAIRN_ASSIGN_OR_RETURN(const uint64_t size, store.Size(key));
  if (size > max_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("object \"", key, "\": ", size, " bytes, expected at most ", max_bytes));
  }
  std::string bytes(size, '\0');
  CAIRN_RETURN_IF_ERROR(store.Read(key, 0, absl::MakeSpan(bytes)));
  return bytes;
}

}  // namespace cairn
