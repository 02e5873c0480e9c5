#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cairn {

// What S3 answers in XML.

struct S3Error {
  std::string code;  // Empty: none.
  std::string message;
  std::string region;  // Where it says that another one is meant.
};
// Of anything that is no such document: an empty one.
S3Error ParseS3Error(absl::string_view xml);

struct S3Listing {
  std::vector<std::string> keys;
  std::vector<std::string> prefixes;  // With a delimiter: what is common to keys, up to it.
  std::string next;                   // The token for the rest; empty: there is none.
};
absl::StatusOr<S3Listing> ParseS3Listing(absl::string_view xml);

// Of InitiateMultipartUpload.
absl::StatusOr<std::string> ParseS3UploadId(absl::string_view xml);

// The body of CompleteMultipartUpload, for parts from 1 on.
std::string MakeS3Completion(const std::vector<std::string>& etags);
// CompleteMultipartUpload answers 200 before it knows whether it can: an error may stand in the body.
bool IsS3Completion(absl::string_view xml);

}  // namespace cairn
